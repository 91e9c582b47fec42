/**
 * The one interface through which the toolkit sees a device. A runner loads models, times them, runs them on given
 * inputs and reads per-node profiles; it reports what really ran (provider, threads, versions), not what was asked for.
 */

/** A tensor as it crosses a process or socket boundary. int64 data travels as BigInt64Array. */
export interface WireTensor {
  elemType: "float32" | "int64" | "int32" | "uint8" | "int8" | "bool" | "float64" | "uint16";
  dims: readonly number[];
  data: Float32Array | BigInt64Array | Int32Array | Uint8Array | Int8Array | Float64Array | Uint16Array;
}

export type Feeds = Record<string, WireTensor>;

export type GraphOptimizationLevel = "disabled" | "basic" | "extended" | "layout" | "all";

/** What changes while a device works; null for what it does not tell. */
export interface Conditions {
  governor: string | null;
  temperatureC: number | null;
  /** Null also without a battery. */
  charging: boolean | null;
  /** Of the fastest core. */
  frequencyMHz?: number | null;
  /** What holds the processor back at this moment, one phrase each. */
  throttling?: readonly string[] | null;
  /** The same, for any moment since the device was started. */
  throttledBefore?: readonly string[] | null;
  /** Names of what the system does not tell. */
  unknown?: readonly string[];
}

/** A node that ran elsewhere than it was asked to. */
export interface FallenNode {
  name: string;
  opType: string;
  provider: string;
}

/** What the device is and what really runs on it. Never holds a host name, serial number or address. */
export interface DeviceFacts {
  /** Stable short name, e.g. `local-x64-cpu-t1`. */
  id: string;
  kind: "node-cpu" | "node-wasm" | "web-wasm" | "web-webgpu" | "node-webgpu" | "cuda" | "directml" | "coreml";
  hardware: { cpu: string; cores: number; isa: readonly string[]; memoryBytes: number | null };
  os: { platform: string; arch: string; release: string | null };
  runtime: {
    package: string;
    version: string;
    node?: string;
    provider: string;
    threads: number;
    graphOptimizationLevel: GraphOptimizationLevel;
  };
  conditions: Conditions;
  /** True for QEMU, SwiftShader, CPU throttling: such times never become a device's latency. */
  emulated: boolean;
  /** Clock step in milliseconds. */
  clockMs: number;
}

export interface LoadOptions {
  /** Default: what `describe()` says. */
  threads?: number;
  graphOptimizationLevel?: GraphOptimizationLevel;
  /** Collects per-node times; a profiled session is a separate one, never used for end-to-end latency. */
  profiling?: boolean;
}

/** A session on the device. */
export interface LoadedModel {
  id: number;
  /** Session creation, in milliseconds. */
  initMs: number;
  inputs: readonly { name: string; elemType: string; dims: readonly (number | string)[] }[];
  outputs: readonly { name: string; elemType: string; dims: readonly (number | string)[] }[];
  /** Resident memory of the runtime's process just before and just after loading; null where it cannot be read. */
  residentBytes: { before: number; after: number } | null;
}

/** Times one or several loaded models. With more than one, calls are interleaved in shuffled order. */
export interface MeasureJob {
  models: readonly { id: number; feeds: Feeds }[];
  /** Calls before the first counted one, for each model, the first call included; at least 1. Default 10. */
  warmup?: number;
  /** Each model also warms up for at least this long. Default 200. */
  minWarmupMs?: number;
  /** Stop when every model has this many samples and `minTimeMs` has passed. Default 50. */
  minSamples?: number;
  /** Default 1000. */
  minTimeMs?: number;
  /** Stop after the round in which this much time has passed, warm-ups included. Default 60000. */
  maxTimeMs?: number;
  /**
   * Untimed calls of the same model right before each sample. Default 1 for several models, 0 for one: without it a model's
   * sample would pay for the caches that the other models filled, and read slower than the model running on its own.
   */
  callsBeforeSample?: number;
  /** Paced: one call per interval of this many milliseconds, as a camera asks for, with rest in between; models take turns. */
  intervalMs?: number;
  /** Seed of the shuffled order of calls. Default 0. */
  seed?: number;
}

export type Saturation = "zero-dominated" | "low-distinct" | "zero-mad";

/** Samples of one model of a job, in the order they were taken; plain data, turned into statistics by `stats.ts`. */
export interface Measurement {
  model: number;
  /** The first call after loading, whichever request made it. */
  firstRunMs: number;
  warmups: number;
  /** Milliseconds per inference. */
  samplesMs: Float64Array;
  /** Calls per sample: more than 1 where the clock is too coarse for one call. */
  callsPerSample: number;
  /** Relative change of the median between the first and the last third of the job; 0 with fewer than 3 samples. */
  drift: number;
  /** Why the clock is too coarse for these samples (tinybench's criteria); null where it is not. */
  saturation: Saturation | null;
  /** `enough`: the asked samples and time were reached. `cap`: `maxTimeMs` ended the job before that. */
  stopped: "enough" | "cap";
  /** Of a paced job: intervals that began while a call was still running, and were skipped. */
  missedFrames?: number;
  /**
   * Resident memory of the runtime's whole process at its highest since its first open model was loaded, in bytes; null where
   * it cannot be read. What one model adds: `measureMemory`.
   */
  peakMemoryBytes: number | null;
  /** Right after the last call; absent where the runtime's process cannot read them. */
  conditions?: Conditions;
  /** Nodes that did not run on the asked provider; absent where that was not looked into, as on a processor alone. */
  fallen?: readonly FallenNode[];
}

/** Time of one node of the optimised graph, over the profiled calls. */
export interface NodeTime {
  /** As the runtime names it after fusion. */
  name: string;
  opType: string;
  provider: string;
  inputDims: readonly (readonly number[])[];
  outputDims: readonly (readonly number[])[];
  /** Microseconds per call, in call order, warm-ups already dropped. On a GPU those of its kernels, by its own clock. */
  durationsUs: Float64Array;
}

export interface NodeProfile {
  nodes: readonly NodeTime[];
  /** Whole call as the profiler saw it, microseconds per call. */
  callsUs: Float64Array;
}

export interface DeviceRunner {
  describe(): Promise<DeviceFacts>;
  /** Throws DeviceError with the runtime's own reason when the model does not load. */
  load(model: Uint8Array, options?: LoadOptions): Promise<LoadedModel>;
  /** Outputs for given inputs: golden checks and accuracy on the device itself. */
  run(model: number, feeds: Feeds): Promise<Record<string, WireTensor>>;
  /** Rows arrive as soon as they are known. Aborting ends the job between two calls. */
  measure(job: MeasureJob, signal?: AbortSignal): Promise<Measurement[]>;
  /** Per-node times over `calls` calls after `warmup` calls, for a model loaded with `profiling`. Unloads the model, also on failure. */
  profile(model: number, feeds: Feeds, calls: number, warmup: number, signal?: AbortSignal): Promise<NodeProfile>;
  unload(model: number): Promise<void>;
  /** For a device with a screen: what it is being used for. Nothing answers. */
  tell?(note: { title: string; stage: string; done: number; total: number }): void;
  /** Ends the runner's process; safe to call twice. */
  close(): Promise<void>;
}
