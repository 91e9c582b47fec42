/** A DeviceRunner whose runtime is at the other end of a link. */
import type { Answers, RequestOf } from "./protocol.js";
import type { DeviceFacts, DeviceRunner, Feeds, GraphOptimizationLevel } from "./runner.js";

export interface Link {
  ask<T extends keyof Answers>(request: RequestOf<T>, signal?: AbortSignal): Promise<Answers[T]>;
  close(): Promise<void>;
}

export interface RemoteOptions {
  describe(): Promise<DeviceFacts>;
  threads: number;
  graphOptimizationLevel: GraphOptimizationLevel;
}

/** Turns the interface's calls into requests. */
export function runnerOver(link: Link, o: RemoteOptions): DeviceRunner {
  return {
    describe: () => o.describe(),
    load: (bytes, l = {}) =>
      link.ask<"load">({
        type: "load",
        bytes,
        threads: l.threads ?? o.threads,
        graphOptimizationLevel: l.graphOptimizationLevel ?? o.graphOptimizationLevel,
        profiling: l.profiling ?? false,
      }),
    run: (model, feeds) => link.ask<"run">({ type: "run", model, feeds: wire(feeds) }),
    measure: (job, signal) =>
      link.ask<"measure">(
        { ...job, type: "measure", models: job.models.map((m) => ({ id: m.id, feeds: wire(m.feeds) })) },
        signal,
      ),
    profile: (model, feeds, calls, warmup, signal) =>
      link.ask<"profile">({ type: "profile", model, feeds: wire(feeds), calls, warmup }, signal),
    async unload(model) {
      await link.ask<"unload">({ type: "unload", model });
    },
    close: () => link.close(),
  };
}

const wire = (feeds: Feeds) =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, t]) => [name, { elemType: t.elemType, dims: [...t.dims], data: t.data }]),
  );
