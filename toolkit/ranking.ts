/** Which channels go first, and what each width costs: the two inputs of allocation besides the device's table. */
import type { Batch } from "./data/index.js";
import type { Graph } from "./graph/graph.js";
import type { Tensor } from "./graph/tensor.js";
import type { CommonOptions, Criterion } from "./options.js";
import type { Branch } from "./prune/branches.js";
import type { ChannelGroups, Group } from "./prune/groups.js";
import { normScores, type Order, orderByScore, scaleScores, taylorScores } from "./prune/importance.js";
import {
  isMeasurable,
  type LossCurve,
  measureLosses,
  readerMoments,
  reconstructionOrder,
} from "./prune/sensitivity.js";
import { crossEntropy, outputEnergy, parameterGradients } from "./train/index.js";

export interface Ranking {
  /** Channels of each group, least important first. */
  orders: ReadonlyMap<string, Order>;
  /** Loss of each candidate width of each group that can be cut. */
  losses: ReadonlyMap<string, LossCurve>;
}

export interface RankingOptions extends CommonOptions {
  criterion: Criterion;
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
  const gradients = o.criterion === "taylor" ? await gradientsOf(g, o) : new Map<string, Float32Array>();
  const orders = new Map<string, Order>();
  for (const group of groups.prunable) {
    if (isMeasurable(group))
      orders.set(
        group.id,
        order(g, groups, group, o, gradients, () => reconstructionOrder(g, groups, group, moments)?.order),
      );
  }
  const losses = await measureLosses(g, groups, orders, o.candidates, moments, o.heldBack, o);
  return { orders, losses };
}

function order(
  g: Graph,
  groups: ChannelGroups,
  group: Group,
  o: RankingOptions,
  gradients: ReadonlyMap<string, Float32Array>,
  byReconstruction: () => Order | undefined,
): Order {
  const byNorm = (p: 1 | 2): Order => orderByScore(normScores(g, groups, group, p));
  switch (o.criterion) {
    case "l1":
      return byNorm(1);
    case "l2":
      return byNorm(2);
    case "taylor":
      return orderByScore(taylorScores(g, groups, group, gradients));
    case "bn": {
      const scores = scaleScores(g, groups, group);
      if (scores) return orderByScore(scores);
      o.onWarning?.(`channels of "${group.id}" pass no batch normalisation: ranked by L2 norm instead`);
      return byNorm(2);
    }
    case "reconstruction":
      return byReconstruction() ?? byNorm(2);
  }
}

/** Mean gradients over the calibration images: of the cross-entropy with labels, of the outputs' energy without. */
async function gradientsOf(g: Graph, o: RankingOptions): Promise<Map<string, Float32Array>> {
  const labelled = o.labels.length === o.calibration.length;
  const batches: Batch[] = o.calibration.map((t, i) => ({
    data: t.data as Float32Array,
    dims: t.dims,
    ...(labelled ? { labels: o.labels[i] } : {}),
  }));
  return parameterGradients(g, batches, labelled ? crossEntropy() : outputEnergy(), {
    onBatch: ({ index }) => o.onProgress?.({ stage: "computing gradients", done: index + 1, total: batches.length }),
  });
}
