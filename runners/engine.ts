/** ONNX Runtime as sessions use it: onnxruntime-node's native library, or onnxruntime-web in Node or in a page. */
import type { InferenceSession, Tensor } from "onnxruntime-common";
import type { GraphOptimizationLevel, WireTensor } from "./runner.js";

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
  /** Nodes may run elsewhere; they are named in what is measured. Default false. */
  readonly allowFallback?: boolean;
  /** Each model's first call is profiled beforehand, because the runtime moves nodes to another provider without a word. */
  readonly verify?: boolean;
  /** The provider computes in software what it is made for in hardware. */
  readonly emulated?: boolean;
  open(model: Uint8Array, s: SessionSettings): Promise<InferenceSession>;
  tensor(t: WireTensor): Tensor;
  /** Ends the profile of a session opened with `profiling` and returns its trace. */
  endProfiling(session: InferenceSession): string;
}
