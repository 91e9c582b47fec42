/**
 * ONNX Runtime sessions of the process or page this runs in: load, run, time, profile. Knows nothing of messages, processes
 * or files; whoever owns it puts it behind a link.
 */
import type * as ort from "onnxruntime-common";
import { breather } from "./breath.js";
import type { Engine } from "./engine.js";
import { DeviceError } from "./errors.js";
import { assertProvider } from "./placement.js";
import { placedNodes, readTrace } from "./profileTrace.js";
import { type RequestOf, storedAs } from "./protocol.js";
import type { Conditions, FallenNode, Feeds, LoadedModel, Measurement, NodeProfile, WireTensor } from "./runner.js";
import { sample } from "./sampler.js";

export const now = (): number => performance.now();

/** What a process can tell of itself and its machine. */
export interface Surroundings {
  /** Now and at its highest, in bytes; null where it cannot be read. */
  residentBytes(): { now: number | null; peak: number | null };
  /** Lets the peak start anew from what is resident now, where that can be done. */
  resetPeak(): void;
  readConditions?(): Promise<Conditions>;
  /** Awaited before a job is timed, e.g. until the device has cooled down. */
  before?(signal: AbortSignal): Promise<void>;
  /** After a job: by which share a fixed computation became slower during it. */
  after?(): number;
  /** See `SamplerOptions`. */
  minSampleMs?: number;
  hold?(): Promise<void> | null;
  onSample?(job: { samples: number; minSamples: number }, task: number, ms: number): void;
}

/** Pages cannot read any of it. */
export const UNKNOWN: Surroundings = { residentBytes: () => ({ now: null, peak: null }), resetPeak() {} };

interface Entry {
  session: ort.InferenceSession;
  profiling: boolean;
  /** Of the very first call, whichever request made it. */
  firstRunMs: number | null;
  /** What to open again for a look at where its nodes run; null once that is known, and where nothing can move them. */
  unverified: RequestOf<"load"> | null;
  fallen?: readonly FallenNode[];
}

export class Sessions {
  private readonly open = new Map<number, Entry>();
  private last = 0;

  /** @param clockMs step of `now` */
  constructor(
    private readonly engine: Engine,
    private readonly clockMs: number,
    private readonly around: Surroundings = UNKNOWN,
  ) {}

  async load(r: RequestOf<"load">): Promise<LoadedModel> {
    const id = ++this.last;
    if (this.open.size === 0) this.around.resetPeak();
    const before = this.around.residentBytes().now;
    const start = now();
    const session = await guard("model-load-failed", "the runtime refuses the model", () =>
      this.engine.open(r.bytes, r),
    );
    const initMs = now() - start;
    const after = this.around.residentBytes().now;
    this.open.set(id, {
      session,
      profiling: r.profiling,
      firstRunMs: null,
      unverified: this.engine.verify && !r.profiling ? r : null,
    });
    return {
      id,
      initMs,
      inputs: session.inputMetadata.map(describeValue),
      outputs: session.outputMetadata.map(describeValue),
      residentBytes: before === null || after === null ? null : { before, after },
    };
  }

  async run(r: RequestOf<"run">): Promise<Record<string, WireTensor>> {
    const entry = this.entry(r.model);
    const tensors = this.tensors(r.feeds);
    await this.verify(entry, tensors);
    const start = now();
    const outputs = await call(entry.session, tensors);
    entry.firstRunMs ??= now() - start;
    return Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, toWire(name, t)]));
  }

  async measure(r: RequestOf<"measure">, signal: AbortSignal): Promise<Measurement[]> {
    const entries = r.models.map(({ id }) => this.entry(id));
    const feeds = r.models.map((m) => this.tensors(m.feeds));
    for (const [i, entry] of entries.entries()) await this.verify(entry, feeds[i]);
    const tasks = entries.map(
      ({ session }, i) =>
        () =>
          call(session, feeds[i]),
    );
    const { before, after, minSampleMs, hold, onSample } = this.around;
    await before?.(signal);
    const job = { samples: 0, minSamples: (r.minSamples ?? 50) * tasks.length };
    const samples = await sample(tasks, {
      ...r,
      now,
      clockMs: this.clockMs,
      signal,
      minSampleMs,
      hold,
      onSample(task, ms) {
        job.samples++;
        onSample?.(job, task, ms);
      },
    });
    const referenceDrift = after?.();
    const peakMemoryBytes = this.around.residentBytes().peak;
    const conditions = await this.around.readConditions?.();
    return samples.map((s, i) => {
      const firstRunMs = (entries[i].firstRunMs ??= s.firstRunMs);
      const { fallen } = entries[i];
      return {
        ...s,
        model: r.models[i].id,
        firstRunMs,
        peakMemoryBytes,
        ...(conditions && { conditions }),
        ...(fallen && { fallen }),
        ...(referenceDrift === undefined ? {} : { referenceDrift }),
      };
    });
  }

  async profile(r: RequestOf<"profile">, signal: AbortSignal): Promise<NodeProfile> {
    const { session, profiling } = this.entry(r.model);
    if (!profiling)
      throw new DeviceError("not-profiled", "this model was loaded without profiling, so it has no per-node times");
    try {
      const tensors = this.tensors(r.feeds);
      const breathe = breather(now);
      await this.around.before?.(signal);
      for (let i = 0; i < r.warmup + r.calls; i++) {
        await breathe();
        await this.around.hold?.();
        signal.throwIfAborted();
        await call(session, tensors);
      }
    } catch (error) {
      await this.unload(r.model);
      throw error;
    }
    const text = this.engine.endProfiling(session);
    await this.unload(r.model, false);
    const profile = readTrace(text, r.calls, r.warmup);
    assertProvider(profile.nodes, this.engine);
    return profile;
  }

  /** Looks once where the model's nodes run, in a profiled session of its own. Throws DeviceError as `assertProvider` does. */
  private async verify(entry: Entry, tensors: Record<string, ort.Tensor>): Promise<void> {
    if (!entry.unverified) return;
    const session = await this.engine.open(entry.unverified.bytes, { ...entry.unverified, profiling: true });
    let text: string;
    try {
      await call(session, tensors);
    } finally {
      text = this.engine.endProfiling(session);
      await session.release();
    }
    entry.fallen = assertProvider(placedNodes(text, 1, 0).nodes, this.engine);
    entry.unverified = null;
  }

  /** Frees the session; with `discard`, a profile that it was writing is thrown away. */
  async unload(id: number, discard = true): Promise<void> {
    const { session, profiling } = this.entry(id);
    this.open.delete(id);
    if (profiling && discard) this.engine.endProfiling(session);
    await session.release();
  }

  private tensors(feeds: Feeds): Record<string, ort.Tensor> {
    return Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, this.engine.tensor(t)]));
  }

  private entry(id: number): Entry {
    const entry = this.open.get(id);
    if (!entry)
      throw new DeviceError(
        "model-unknown",
        `the device has no loaded model number ${id}; it was unloaded or never loaded`,
      );
    return entry;
  }
}

const call = (session: ort.InferenceSession, feeds: Record<string, ort.Tensor>) =>
  guard("model-run-failed", "the runtime could not run the model", () => session.run(feeds));

/** The runtime's own reason, on one line, in a DeviceError. */
async function guard<T>(code: string, what: string, f: () => Promise<T>): Promise<T> {
  try {
    return await f();
  } catch (cause) {
    if (cause instanceof DeviceError) throw cause;
    const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\s+/g, " ").trim();
    throw new DeviceError(code, `${what}: ${reason}`, { cause });
  }
}

function toWire(name: string, t: ort.Tensor): WireTensor {
  if (!storedAs(t.type, t.data)) {
    throw new DeviceError("elem-type", `output "${name}" is of type ${t.type}, which a runner cannot hand on`);
  }
  return { elemType: t.type, dims: t.dims, data: t.data as WireTensor["data"] };
}

function describeValue(v: ort.InferenceSession.ValueMetadata): LoadedModel["inputs"][number] {
  return v.isTensor ? { name: v.name, elemType: v.type, dims: v.shape } : { name: v.name, elemType: "other", dims: [] };
}
