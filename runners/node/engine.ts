/** ONNX Runtime as the worker uses it: onnxruntime-node's native library, or onnxruntime-web's WebAssembly in Node. */
import type { InferenceSession, Tensor } from "onnxruntime-node";
import type { GraphOptimizationLevel, WireTensor } from "../runner.js";

/** Which build of the runtime computes. */
export type EngineName = "native" | "wasm";

export interface SessionSettings {
  threads: number;
  graphOptimizationLevel: GraphOptimizationLevel;
  profiling: boolean;
}

/** One build of the runtime in this process. */
export interface Engine {
  readonly package: string;
  readonly version: string;
  /** What every node must have run on; anything else is a silent fallback and refused. */
  readonly provider: string;
  open(model: Uint8Array, s: SessionSettings): Promise<InferenceSession>;
  tensor(t: WireTensor): Tensor;
  /** Ends the profile of a session opened with `profiling` and returns its trace. */
  endProfiling(session: InferenceSession): string;
}

export interface EngineOptions {
  /** Folder that the runtime may write to. */
  folder: string;
  /** Whether the runtime logs its warnings. */
  verbose: boolean;
  /** Threads inside one operator. WebAssembly has one pool for all sessions, made with the first. */
  threads: number;
}
