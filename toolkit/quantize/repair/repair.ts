/** What all repairs of the float graph have in common. */
import type { Graph } from "../../graph/graph.js";
import type { Progress } from "../../graph/progress.js";
import type { Tensor } from "../../graph/tensor.js";

export interface RepairContext {
  /** Preprocessed images, one tensor per batch. */
  batches: readonly Tensor[];
  threads?: number;
  signal?: AbortSignal;
  onProgress?: Progress;
}

/** Rewrites a prepared float graph (batch norms folded, shapes inferred) so that it suffers less from 8 bits; what it computes stays. */
export type FloatRepair = (g: Graph, c: RepairContext) => Promise<Graph>;
