/** The end that searches have in common: a plain net of the chosen channels, its statistics estimated anew, and one retraining. */
import type { Graph } from "../graph/graph.js";
import { reestimateStatistics } from "../prune/batchNorm.js";
import type { Keep } from "../prune/groups.js";
import { tensorsOf } from "./context.js";
import { fullWidths } from "./cost.js";
import { type CutNet, withKept } from "./cut.js";
import type { MethodContext } from "./method.js";

/** Images whose statistics a cut net gets. */
const STATISTICS_IMAGES = 500;

/** Steps' worth of the forward passes that `withStatistics` makes. */
export const statisticsSteps = (c: MethodContext): number =>
  Math.ceil(Math.min(STATISTICS_IMAGES, c.train.count) / (3 * c.recipe.batchSize));

/** The graph with running statistics of its own, counted. */
export async function withStatistics(c: MethodContext, graph: Graph): Promise<Graph> {
  const batches = await tensorsOf(c.graph, c.train, STATISTICS_IMAGES);
  c.meter.forward(batches.reduce((n, t) => n + t.dims[0], 0));
  return reestimateStatistics(graph, batches, {
    ...(c.recipe.threads === undefined ? {} : { threads: c.recipe.threads }),
    ...(c.signal ? { signal: c.signal } : {}),
  });
}

/**
 * The channels of a full-size net as a net of their own, with running statistics of its own.
 * @param whole the original with other weights
 */
export async function cutOf(c: MethodContext, whole: Graph, keep: Keep): Promise<CutNet> {
  const cut = withKept({ graph: whole, groups: c.groups, widths: fullWidths(c.groups) }, keep);
  return { ...cut, graph: await withStatistics(c, cut.graph) };
}
