/** Which channels go first, and what each width costs: the two inputs of allocation besides the device's table. */
import type { Batch } from "./data/index.js";
import type { Graph } from "./graph/graph.js";
import type { Tensor } from "./graph/tensor.js";
import { ordersOf, scoreGroups } from "./methods/criteria.js";
import type { CommonOptions, Criterion } from "./options.js";
import type { Branch } from "./prune/branches.js";
import type { ChannelGroups } from "./prune/groups.js";
import type { Order } from "./prune/importance.js";
import { type LossCurve, measureLosses, readerMoments } from "./prune/sensitivity.js";
import { crossEntropy, outputEnergy } from "./train/index.js";

export interface Ranking {
  /** Channels of each group, least important first. */
  orders: ReadonlyMap<string, Order>;
  /** Loss of each candidate width of each group that can be cut. */
  losses: ReadonlyMap<string, LossCurve>;
}

export interface RankingOptions extends CommonOptions {
  criterion: Criterion;
  /** Of the criterion `random`. Default 1. */
  seed?: number;
  /** Images for statistics; labels where the data has them. */
  calibration: readonly Tensor[];
  labels: readonly Int32Array[];
  /** Images on which losses are measured. */
  heldBack: readonly Tensor[];
  candidates: ReadonlyMap<string, readonly number[]>;
  /** Branches that width 0 of their groups stands for. */
  branches?: readonly Branch[];
}

/** Ranks the channels of every prunable group by the criterion and measures the loss of every candidate width. */
export async function rank(g: Graph, groups: ChannelGroups, o: RankingOptions): Promise<Ranking> {
  const onBatch = (done: number, total: number) => o.onProgress?.({ stage: "gathering statistics", done, total });
  const moments = await readerMoments(g, groups, o.calibration, { signal: o.signal, onBatch });
  const scores = await scoreGroups(g, groups, {
    ...o,
    batches: batchesOf(o),
    loss: isLabelled(o) ? crossEntropy : outputEnergy,
    seed: o.seed ?? 1,
    moments,
    onNote: o.onWarning,
  });
  const orders = ordersOf(scores);
  const losses = await measureLosses(g, groups, orders, o.candidates, moments, o.heldBack, o);
  return { orders, losses };
}

const isLabelled = (o: RankingOptions): boolean => o.labels.length === o.calibration.length;

/** The calibration images, with labels where all have them: losses are of the classes then, else of the outputs' energy. */
const batchesOf = (o: RankingOptions): Batch[] =>
  o.calibration.map((t, i) => ({
    data: t.data as Float32Array,
    dims: t.dims,
    ...(isLabelled(o) ? { labels: o.labels[i] } : {}),
  }));
