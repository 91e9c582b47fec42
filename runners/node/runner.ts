/** The local device: this machine's processor through ONNX Runtime, native or WebAssembly, in a process of its own. */
import { DeviceError } from "../errors.js";
import type {
  DeviceFacts,
  DeviceRunner,
  Feeds,
  GraphOptimizationLevel,
  LoadedModel,
  LoadOptions,
  MeasureJob,
  Measurement,
  NodeProfile,
  WireTensor,
} from "../runner.js";
import { WorkerChannel } from "./channel.js";
import type { EngineName } from "./engine.js";
import { machineFacts } from "./facts.js";

export interface LocalOptions {
  /** `wasm`: onnxruntime-web's WebAssembly, as browsers on phones run it. Default `native`. */
  engine?: EngineName;
  /** Threads inside one operator. Default 1. */
  threads?: number;
  /** Default `all`, as in ONNX Runtime. */
  graphOptimizationLevel?: GraphOptimizationLevel;
  /** Receives what the runtime writes, warnings included. Without it the runtime is asked for errors only, and they are kept for crash messages. */
  log?: (line: string) => void;
}

/** The local runner also tells its process, for tests and tools. */
export interface LocalRunner extends DeviceRunner {
  readonly pid: number | undefined;
}

/**
 * Starts the process and waits until the runtime is loaded. Throws DeviceError where ONNX Runtime has no binary for this
 * platform, or for a thread count that is no positive whole number.
 */
export async function openLocalRunner(o: LocalOptions = {}): Promise<LocalRunner> {
  const threads = o.threads ?? 1;
  const graphOptimizationLevel = o.graphOptimizationLevel ?? "all";
  if (!Number.isInteger(threads) || threads < 1) {
    throw new DeviceError("threads", `the number of threads must be a positive whole number, not ${threads}`);
  }
  const engine = o.engine ?? "native";
  const channel = await WorkerChannel.open(engine, threads, o.log);
  const { ready } = channel;

  return {
    pid: channel.pid,

    async describe(): Promise<DeviceFacts> {
      const machine = await machineFacts();
      return {
        id: `local-${machine.os.arch}-${engine === "native" ? "cpu" : "wasm"}-t${threads}`,
        kind: engine === "native" ? "node-cpu" : "node-wasm",
        ...machine,
        runtime: { ...ready.runtime, threads, graphOptimizationLevel },
        clockMs: ready.clockMs,
      };
    },

    load: (bytes: Uint8Array, l: LoadOptions = {}): Promise<LoadedModel> =>
      channel.ask<"load">({
        type: "load",
        bytes,
        threads: l.threads ?? threads,
        graphOptimizationLevel: l.graphOptimizationLevel ?? graphOptimizationLevel,
        profiling: l.profiling ?? false,
      }),

    run: (model: number, feeds: Feeds): Promise<Record<string, WireTensor>> =>
      channel.ask<"run">({ type: "run", model, feeds: wire(feeds) }),

    measure: (job: MeasureJob, signal?: AbortSignal): Promise<Measurement[]> =>
      channel.ask<"measure">(
        { ...job, type: "measure", models: job.models.map((m) => ({ id: m.id, feeds: wire(m.feeds) })) },
        signal,
      ),

    profile: (model: number, feeds: Feeds, calls: number, warmup: number, signal?: AbortSignal): Promise<NodeProfile> =>
      channel.ask<"profile">({ type: "profile", model, feeds: wire(feeds), calls, warmup }, signal),

    async unload(model: number): Promise<void> {
      await channel.ask<"unload">({ type: "unload", model });
    },

    close: () => channel.close(),
  };
}

const wire = (feeds: Feeds) =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, t]) => [name, { elemType: t.elemType, dims: [...t.dims], data: t.data }]),
  );
