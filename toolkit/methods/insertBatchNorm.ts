/**
 * Batch normalisation put back behind convolutions that have none, most often because a converter folded it in. Published pruning
 * methods read its scales, and retraining at large rates needs it.
 */
import { GraphBuilder } from "../graph/builder.js";
import { namer } from "../graph/edit.js";
import { attr, cloneGraph, type Graph, type OpNode, opsetOf, typeOf, usesOf } from "../graph/graph.js";
import { floats, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import { inferShapes } from "../ops/infer.js";
import { observe, type RunSettings } from "../prune/walk.js";

const EPSILON = 1e-5;

/**
 * The net with a BatchNormalization behind every Conv whose output no node normalises: running statistics are those of the images,
 * scale and shift undo them, so that the net computes what it did.
 * @param g tidy, shapes inferred
 * @param batches preprocessed images
 */
export async function insertBatchNorm(g: Graph, batches: readonly Tensor[], o: RunSettings = {}): Promise<Graph> {
  const uses = usesOf(g);
  const normalises = (n: OpNode): boolean => ruleFor(n, opsetOf(g, n.domain))?.runningStatistics !== undefined;
  const bare = g.nodes.filter(
    (n) =>
      n.opType === "Conv" &&
      n.domain === "" &&
      typeOf(g, n.outputs[0])?.elemType === "float32" &&
      !(uses.get(n.outputs[0]) ?? []).some((u) => normalises(u.node)),
  );
  if (bare.length === 0) return g;
  const sums = new Map(bare.map((n) => [n.outputs[0], { mean: new Float64Array(0), square: new Float64Array(0) }]));
  let images = 0;
  await observe(
    g,
    batches,
    (b) =>
      Object.fromEntries(
        bare.flatMap(({ outputs: [y] }) => {
          const rank = typeOf(g, y)?.dims?.length ?? 4;
          const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== 1);
          return [
            [`${y} mean`, b.reduceMean(y, axes, false)],
            [`${y} square`, b.reduceMean(b.mul(y, y), axes, false)],
          ];
        }),
      ),
    (seen, batch) => {
      const n = batches[batch].dims[0];
      images += n;
      for (const [y, sum] of sums) {
        for (const part of ["mean", "square"] as const) {
          const values = toNumbers(seen[`${y} ${part}`]);
          if (sum[part].length === 0) sum[part] = new Float64Array(values.length);
          values.forEach((v, c) => {
            sum[part][c] += n * v;
          });
        }
      }
    },
    o,
  );
  const out = cloneGraph(g);
  const builder = new GraphBuilder(out);
  const nodeName = namer(g);
  const nodes = out.nodes.splice(0);
  for (const n of nodes) {
    const [y] = n.outputs;
    const sum = bare.includes(n) ? sums.get(y) : undefined;
    if (!sum) {
      out.nodes.push(n);
      continue;
    }
    const mean = Float32Array.from(sum.mean, (v) => v / images);
    const variance = Float32Array.from(sum.square, (v, c) => Math.max(0, v / images - (sum.mean[c] / images) ** 2));
    const scale = variance.map((v) => Math.sqrt(v + EPSILON));
    const before = builder.unique(`${y}_unnormalised`);
    const name = nodeName(`${n.name}.bn`);
    const vectors = { scale, shift: mean, mean, variance };
    const refs = Object.entries(vectors).map(([part, v]) => builder.initializer(`${name}.${part}`, floats(v)));
    out.nodes.push({ ...n, outputs: [before] });
    out.nodes.push({
      name,
      opType: "BatchNormalization",
      domain: "",
      inputs: [before, ...refs],
      outputs: [y],
      attributes: { epsilon: attr.float(EPSILON) },
    });
  }
  return inferShapes(out);
}
