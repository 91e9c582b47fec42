/**
 * Empirical bias correction (Nagel et al. 2019, "Data-Free Quantization", section 4.2, with data instead of batch-norm
 * statistics): rounding weights and inputs moves the mean of each output channel; the bias takes that back.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { cloneGraph, type Graph, typeOf } from "../graph/graph.js";
import { type Progress, throwIfAborted } from "../graph/progress.js";
import { floats, scalar, toNumbers } from "../graph/tensor.js";
import { withSession } from "../runtime/session.js";
import { encode } from "./affine.js";
import { feedsOfBatch, type ImageBatch } from "./feed.js";
import { isWide } from "./integers.js";
import type { Ranges } from "./ranges.js";
import { activationGrids, type PlaceOptions, planWith, weightGrids } from "./scheme.js";
import { dequantized, roundToGrid } from "./weights.js";

/**
 * Per node with a bias: minus the mean over the data of (quantised - float) for each output channel. Each node is
 * measured on the float net's own input, rounded to its grid, so errors of earlier nodes are not corrected twice and
 * one pass serves all. Memory does not grow with the data.
 */
export async function biasShifts(
  prepared: Graph,
  ranges: Ranges,
  batches: Iterable<ImageBatch> | AsyncIterable<ImageBatch>,
  o: PlaceOptions & { threads?: number; progress?: Progress; signal?: AbortSignal } = {},
): Promise<Map<string, Float64Array>> {
  const { graph, outputs } = errorGraph(prepared, ranges, o);
  const sums = new Map<string, Float64Array>();
  if (outputs.size === 0) return sums;
  let images = 0;
  await withSession(graph, { ...(o.threads ? { threads: o.threads } : {}) }, async (session) => {
    for await (const batch of batches) {
      for (const f of feedsOfBatch(prepared, batch)) {
        throwIfAborted(o.signal);
        const results = await session.run(f.feeds);
        for (const [node, ref] of outputs) {
          const mean = toNumbers(results[ref]);
          const sum = sums.get(node) ?? new Float64Array(mean.length);
          for (let c = 0; c < sum.length; c++) sum[c] += mean[c] * f.images;
          sums.set(node, sum);
        }
        images += f.images;
        o.progress?.({ stage: "correcting biases", done: images, total: images });
      }
    }
  });
  return new Map([...sums].map(([node, sum]) => [node, sum.map((v) => -v / images)]));
}

/** The float graph with, beside each weighted node, a twin on rounded input and weights, and the mean of their difference. */
function errorGraph(prepared: Graph, ranges: Ranges, o: PlaceOptions): { graph: Graph; outputs: Map<string, string> } {
  const plan = planWith(prepared, ranges, o);
  const gridOf = activationGrids(prepared, ranges, plan, o);
  const weights = weightGrids(prepared, ranges, o);
  const g = new GraphBuilder(cloneGraph(prepared));
  g.graph.outputs = [];
  const outputs = new Map<string, string>();
  const rounded = new Map<string, string>();
  for (const n of prepared.nodes) {
    const rule = plan.quantized.get(n.name);
    const rank = typeOf(prepared, n.outputs[0])?.dims?.length;
    if (!rule?.weight || rule.bias === undefined || rank === undefined) continue;
    const x = n.inputs[rule.activations[0]];
    const grid = gridOf(x);
    let input = rounded.get(x);
    // 16 bits move no mean that could be seen.
    if (isWide(grid.type)) input = x;
    if (input === undefined) {
      const scale = g.initializer(`${x}_scale`, scalar(grid.scale));
      const zero = g.initializer(`${x}_zero_point`, encode([0], [], grid));
      input = g.emit("DequantizeLinear", [g.emit("QuantizeLinear", [x, scale, zero]), scale, zero]);
      rounded.set(x, input);
    }
    const name = n.inputs[rule.weight.input];
    const weight = prepared.initializers.get(name)!;
    const own = weights.get(name)!;
    const data = dequantized(roundToGrid(weight, own, o.rounded?.get(name)), own);
    const inputs = [...n.inputs];
    inputs[rule.activations[0]] = input;
    inputs[rule.weight.input] = g.initializer(`${name}_rounded`, floats(data, weight.dims));
    const twin = g.emit(n.opType, inputs, { ...n.attributes }, { domain: n.domain });
    const error = meanOver(g, rank, twin, n.outputs[0]);
    g.output(error);
    outputs.set(n.name, error);
  }
  return { graph: g.graph, outputs };
}

/** Mean over all but the second axis of what one value has more than another. */
function meanOver(g: GraphBuilder, rank: number, a: Ref, b: Ref): Ref {
  const over = (x: Ref, axes: readonly number[]): Ref => g.reduceMean(x, axes, false);
  if (rank !== 4) {
    const axes = Array.from({ length: rank }, (_, k) => k).filter((k) => k !== 1);
    return over(g.sub(a, b), axes);
  }
  // Pooled first: the runtime pools in the layout that convolutions write.
  const pooled = [a, b].map((x) => g.emit("GlobalAveragePool", [x]));
  return over(g.sub(pooled[0], pooled[1]), [0, 2, 3]);
}
