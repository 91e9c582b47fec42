/** Scores of channels besides norms and Taylor's: geometric median, diagonal of the Hessian, activation. Higher is more important. */
import type { Graph } from "../graph/graph.js";
import { typeOf } from "../graph/graph.js";
import { sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import type { ChannelGroups, Group } from "./groups.js";
import { realValues, spread, sumOverParameters } from "./importance.js";
import { observe, type RunSettings } from "./walk.js";

/**
 * Distance from the other channels: s_c = sum over j of |W_c - W_j|_2, W_c being the weights that make channel c, all producers laid end
 * to end (He, Liu, Wang, Hu, Yang, "Filter Pruning via Geometric Median", CVPR 2019, equation 6). A small one can be replaced by the others.
 */
export function medianScores(g: Graph, groups: ChannelGroups, group: Group): Float64Array {
  const rows: number[][] = Array.from({ length: group.width }, () => []);
  const index = groups.groups.indexOf(group);
  for (const { weight, axis } of group.producers) {
    const w = g.initializers.get(weight);
    const layout = groups.layout(weight, axis);
    if (!w || !layout) continue;
    const values = realValues(g, weight, w);
    const inner = sizeOf(w.dims.slice(axis + 1));
    for (let i = 0; i < values.length; i++) {
      const p = Math.floor(i / inner) % w.dims[axis];
      if (layout.group[p] === index) rows[layout.channel[p]].push(values[i]);
    }
  }
  const out = new Float64Array(group.width);
  for (let a = 0; a < rows.length; a++) {
    for (let b = 0; b < a; b++) {
      let sum = 0;
      for (let i = 0; i < rows[a].length; i++) sum += (rows[a][i] - rows[b][i]) ** 2;
      const distance = Math.sqrt(sum);
      out[a] += distance;
      out[b] += distance;
    }
  }
  return out;
}

/**
 * Growth of the loss by the diagonal of its Hessian: 1/2 sum over the channel's parameters of w^2 F_ww, with the Fisher information
 * F_ww = mean over the images of (dL/dw)^2 in place of the second derivative (LeCun, Denker, Solla, "Optimal Brain Damage", 1989).
 * @param squares F_ww per initializer
 */
export function hessianScores(
  g: Graph,
  groups: ChannelGroups,
  group: Group,
  squares: ReadonlyMap<string, ArrayLike<number>>,
): Float64Array {
  return sumOverParameters(g, groups, group, squares, (w, square) => 0.5 * w ** 2 * square);
}

/**
 * Mean magnitude of what the group's readers see of each channel, over images and places (the activation criterion of Molchanov et
 * al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017). Group id -> score per channel.
 */
export async function activationScores(
  g: Graph,
  groups: ChannelGroups,
  batches: readonly Tensor[],
  o: RunSettings = {},
): Promise<Map<string, Float64Array>> {
  const sites = new Map<string, { value: string; axis: number }>();
  for (const group of groups.prunable)
    for (const c of [...group.consumers, ...(group.renormalised ?? [])]) {
      const node = g.nodes.find((n) => n.name === c.node)!;
      const value = node.inputs[c.input];
      sites.set(`${value}[${c.inputAxis}]`, { value, axis: c.inputAxis });
    }
  const sums = new Map<string, Float64Array>();
  const images = batches.reduce((n, t) => n + t.dims[0], 0);
  await observe(
    g,
    batches,
    (b) =>
      Object.fromEntries(
        [...sites].map(([key, { value, axis }]) => {
          const rank = typeOf(g, value)?.dims?.length ?? 0;
          const axes = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
          const magnitude = b.emit("Abs", [value]);
          return [key, axes.length > 0 ? b.reduceMean(magnitude, axes, false) : magnitude];
        }),
      ),
    (seen, batch) => {
      for (const key of sites.keys()) {
        const mean = toNumbers(seen[key]);
        const sum = sums.get(key) ?? new Float64Array(mean.length);
        sums.set(
          key,
          sum.map((v, i) => v + (mean[i] * batches[batch].dims[0]) / images),
        );
      }
    },
    o,
  );
  const out = new Map<string, Float64Array>();
  for (const group of groups.prunable) {
    const scores = new Float64Array(group.width);
    for (const [key, { value, axis }] of sites) {
      if (groups.layout(value, axis)) spread(groups, group, value, axis, sums.get(key)!, scores);
    }
    out.set(group.id, scores);
  }
  return out;
}
