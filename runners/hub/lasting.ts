/**
 * A runner that outlives its device's connection. What is asked while the device goes is asked again when it, or another of its
 * kin, has come back; models are loaded anew as they are needed. So a table goes on where it stopped.
 */
import { DeviceError } from "../errors.js";
import type { Answers, Request, RequestOf } from "../protocol.js";
import { type Link, runnerOver } from "../remote.js";
import type { DeviceFacts, DeviceRunner, GraphOptimizationLevel } from "../runner.js";
import type { Hello, Note } from "../web/hello.js";
import { factsOf } from "./facts.js";
import type { Lease } from "./registry.js";

export interface LastingOptions {
  /** The device, held; called again after a loss, with the reason. Rejecting ends the runner with that error. */
  attach(lost?: DeviceError): Promise<Lease>;
  graphOptimizationLevel: GraphOptimizationLevel;
  /** Facts, where more is known than the device says. Default: what its greeting says. */
  describe?(hello: Hello): Promise<DeviceFacts>;
  /** Told of a loss before the wait begins. */
  onLost?(reason: DeviceError): void;
}

/** A request during which the device went this many times is what brings it down. */
const LOSSES = 3;
const LOST: readonly string[] = ["device-lost", "device-crashed", "device-silent"];

/** Whether the device went, and may come back. */
export const isLoss = (e: unknown): e is DeviceError => LOST.includes((e as Partial<DeviceError> | null)?.code ?? "");

interface Model {
  request: RequestOf<"load">;
  /** On which connection it is loaded, and its number there. */
  loaded: { lease: Lease; id: number } | null;
}

/** Waits for the device. Throws what `attach` throws. */
export async function openLastingRunner(o: LastingOptions): Promise<DeviceRunner> {
  const first = await o.attach();
  const link = new LastingLink(first, o);
  const threads = (hello: Hello) => hello.page?.threads ?? hello.machine!.threads;
  return {
    ...runnerOver(link, {
      describe: async () => o.describe?.(first.hello) ?? factsOf(first.hello, o.graphOptimizationLevel, first.name),
      threads: threads(first.hello),
      graphOptimizationLevel: o.graphOptimizationLevel,
    }),
    tell: (note) => link.tell(note),
  };
}

class LastingLink implements Link {
  private readonly models = new Map<number, Model>();
  private last = 0;
  private current: Promise<Lease>;
  private held: Lease;
  private broken: Lease | undefined;
  private closed = false;

  constructor(
    first: Lease,
    private readonly o: LastingOptions,
  ) {
    this.held = first;
    this.current = Promise.resolve(first);
  }

  tell(note: Note): void {
    this.held.tell(note);
  }

  async ask<T extends keyof Answers>(request: RequestOf<T>, signal?: AbortSignal): Promise<Answers[T]> {
    for (let losses = 0; ; ) {
      const lease = await this.current;
      try {
        return (await this.askOnce(lease, request, signal)) as Answers[T];
      } catch (error) {
        signal?.throwIfAborted();
        if (!isLoss(error) || this.closed) throw error;
        // A model that is gone needs no unloading.
        const asked: Request = request;
        if (asked.type === "unload") {
          this.models.delete(asked.model);
          return undefined as Answers[T];
        }
        if (++losses >= LOSSES) throw brought(request.type, losses, error);
        this.recover(lease, error);
      }
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.models.clear();
    const lease = await this.current.catch(() => undefined);
    await lease?.link.close();
  }

  private async askOnce(lease: Lease, request: RequestOf<keyof Answers>, signal?: AbortSignal): Promise<unknown> {
    switch (request.type) {
      case "load": {
        const answer = await lease.link.ask<"load">(request, signal);
        const id = ++this.last;
        this.models.set(id, { request, loaded: { lease, id: answer.id } });
        return { ...answer, id };
      }
      case "measure": {
        const models = [];
        for (const m of request.models) models.push({ ...m, id: await this.loadedOn(lease, m.id, signal) });
        const rows = await lease.link.ask<"measure">({ ...request, models }, signal);
        return rows.map((row, i) => ({ ...row, model: request.models[i].id }));
      }
      case "run":
        return lease.link.ask<"run">({ ...request, model: await this.loadedOn(lease, request.model, signal) }, signal);
      case "profile": {
        const model = await this.loadedOn(lease, request.model, signal);
        try {
          const profile = await lease.link.ask<"profile">({ ...request, model }, signal);
          this.models.delete(request.model);
          return profile;
        } catch (error) {
          if (!isLoss(error)) this.models.delete(request.model); // profiling unloads, also where it fails
          throw error;
        }
      }
      case "unload": {
        const model = this.models.get(request.model);
        if (model && model.loaded?.lease === lease)
          await lease.link.ask<"unload">({ ...request, model: model.loaded.id }, signal);
        else if (!model) throw unknown(request.model);
        this.models.delete(request.model);
        return undefined;
      }
      case "configure":
        return lease.link.ask<"configure">(request, signal);
    }
  }

  /** Number of the model on this connection, where it is loaded if it is not yet. */
  private async loadedOn(lease: Lease, number: number, signal?: AbortSignal): Promise<number> {
    const model = this.models.get(number);
    if (!model) throw unknown(number);
    if (model.loaded?.lease !== lease) {
      const { id } = await lease.link.ask<"load">(model.request, signal);
      model.loaded = { lease, id };
    }
    return model.loaded.id;
  }

  /** Several requests may find the same loss; only the first of them looks for the device. */
  private recover(lost: Lease, reason: DeviceError): void {
    if (this.broken === lost) return;
    this.broken = lost;
    this.o.onLost?.(reason);
    this.current = (async () => {
      await lost.link.close();
      const lease = await this.o.attach(reason);
      this.held = lease;
      if (this.closed) await lease.link.close();
      return lease;
    })();
    this.current.catch(() => {}); // every later request finds the error
  }
}

const unknown = (id: number): DeviceError =>
  new DeviceError("model-unknown", `the device has no loaded model number ${id}; it was unloaded or never loaded`);

const brought = (what: string, times: number, last: DeviceError): DeviceError =>
  new DeviceError(
    "device-crashed",
    `the device went ${times} times while it was asked to ${what}; the last time: ${last.message}`,
    {
      hint: "this work brings it down: the model may need more memory than a tab gets, or the runtime has a defect for it",
    },
  );
