/**
 * Re-estimates the running statistics of normalisation layers after a cut, from unlabelled images, front to back: each
 * layer sees inputs that were normalised with the new statistics of the layers before it.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { cloneGraph, type Graph, opsetOf, typeOf } from "../graph/graph.js";
import { floats, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import { ForwardWalk, type RunSettings } from "./walk.js";

/** The graph with running mean and variance of every layer that keeps them replaced by those of `batches`. */
export async function reestimateStatistics(g: Graph, batches: readonly Tensor[], o: RunSettings = {}): Promise<Graph> {
  const walk = new ForwardWalk(g, batches, o);
  let out = g;
  for (const [index, node] of g.nodes.entries()) {
    const where = ruleFor(node, opsetOf(g, node.domain))?.runningStatistics;
    if (!where) continue;
    const channels = g.initializers.get(node.inputs[where.mean])?.dims[0];
    const rank = typeOf(g, node.inputs[0])?.dims?.length;
    if (channels === undefined || rank === undefined) continue;
    const sum = new Float64Array(channels);
    const squares = new Float64Array(channels);
    let weight = 0;
    await walk.advance(
      index,
      (b) => channelMeans(b, node.inputs[0], rank),
      (seen, batch) => {
        const n = batches[batch].dims[0];
        const mean = toNumbers(seen.mean);
        const square = toNumbers(seen.square);
        for (let c = 0; c < channels; c++) {
          sum[c] += n * mean[c];
          squares[c] += n * square[c];
        }
        weight += n;
      },
    );
    const mean = sum.map((s) => s / weight);
    const variance = squares.map((s, c) => Math.max(0, s / weight - mean[c] ** 2));
    out = cloneGraph(out);
    out.initializers.set(node.inputs[where.mean], floats(Float32Array.from(mean)));
    out.initializers.set(node.inputs[where.variance], floats(Float32Array.from(variance)));
    walk.continueWith(out);
  }
  return out;
}

/** Per-channel mean of x and of x^2 over everything but axis 1. */
function channelMeans(b: GraphBuilder, x: Ref, rank: number): Record<string, Ref> {
  const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 1);
  return { mean: b.reduceMean(x, axes, false), square: b.reduceMean(b.mul(x, x), axes, false) };
}
