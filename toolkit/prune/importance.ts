/** Orders in which the channels of a group are given up, by scores of their parameters. Pure: gradients are passed in. */
import { type Graph, opsetOf } from "../graph/graph.js";
import { sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import type { ChannelGroups, Group } from "./groups.js";

/** Channels of a group, the least important first. */
export type Order = Int32Array;

/** Sum of `f` over the slab at each position of an axis of a tensor. */
export function perPosition(dims: readonly number[], axis: number, f: (index: number) => number): Float64Array {
  const out = new Float64Array(dims[axis]);
  const inner = sizeOf(dims.slice(axis + 1));
  const total = sizeOf(dims);
  for (let i = 0; i < total; i++) out[Math.floor(i / inner) % dims[axis]] += f(i);
  return out;
}

/** Adds per-position scores of one axis of a parameter to the channels of a group. */
export function spread(
  groups: ChannelGroups,
  group: Group,
  name: string,
  axis: number,
  scores: Float64Array,
  into: Float64Array,
): void {
  const layout = groups.layout(name, axis);
  const index = groups.groups.indexOf(group);
  if (!layout) return;
  for (let p = 0; p < scores.length; p++) if (layout.group[p] === index) into[layout.channel[p]] += scores[p];
}

/** Values of a parameter; those of one that is stored in a small form (quantised) are what it stands for. */
export function realValues(g: Graph, name: string, t: Tensor): Float64Array {
  for (const node of g.nodes) {
    const rule = node.inputs[0] === name ? ruleFor(node, opsetOf(g, node.domain)) : undefined;
    if (rule?.folds !== false) continue;
    const inputs = node.inputs.map((input) => g.initializers.get(input));
    const [unpacked] = rule.evaluate?.(node, inputs, opsetOf(g, node.domain)) ?? [];
    if (unpacked && unpacked.dims.join() === t.dims.join()) return toNumbers(unpacked);
  }
  return toNumbers(t);
}

/**
 * Norm of the weights that make each channel, summed over all producers: sum |w|^p (Li et al. 2017 for p = 1).
 * Comparable within a group only.
 */
export function normScores(g: Graph, groups: ChannelGroups, group: Group, p: 1 | 2): Float64Array {
  const out = new Float64Array(group.width);
  for (const producer of group.producers) {
    const w = g.initializers.get(producer.weight);
    if (!w) continue;
    const values = realValues(g, producer.weight, w);
    const scores = perPosition(w.dims, producer.axis, (i) => (p === 1 ? Math.abs(values[i]) : values[i] ** 2));
    spread(groups, group, producer.weight, producer.axis, scores, out);
  }
  return out;
}

/** |scale| of the normalisation layers that the channels pass (network slimming, Liu et al. 2017); undefined without any. */
export function scaleScores(g: Graph, groups: ChannelGroups, group: Group): Float64Array | undefined {
  const out = new Float64Array(group.width);
  let found = false;
  const own = new Set(group.members.filter((m) => m.parameter).map((m) => m.value));
  for (const node of g.nodes) {
    const index = ruleFor(node, opsetOf(g, node.domain))?.runningStatistics?.scale;
    const name = index === undefined ? "" : node.inputs[index];
    const scale = own.has(name) ? g.initializers.get(name) : undefined;
    if (!scale) continue;
    spread(groups, group, name, 0, toNumbers(scale).map(Math.abs), out);
    found = true;
  }
  return found ? out : undefined;
}

/**
 * First-order Taylor scores: |sum over the channel's parameters of w dL/dw| (Molchanov et al. 2019; the sum before the
 * absolute value as in HALP, Shen et al. 2022). `gradients` holds dL/dw per initializer.
 */
export function taylorScores(
  g: Graph,
  groups: ChannelGroups,
  group: Group,
  gradients: ReadonlyMap<string, Float32Array>,
): Float64Array {
  return sumOverParameters(g, groups, group, gradients, (w, gradient) => w * gradient).map(Math.abs);
}

/**
 * Sum of `f` over the elements of every parameter of each channel.
 * @param facts one number per element, by initializer; parameters without count for nothing
 */
export function sumOverParameters(
  g: Graph,
  groups: ChannelGroups,
  group: Group,
  facts: ReadonlyMap<string, ArrayLike<number>>,
  f: (value: number, fact: number) => number,
): Float64Array {
  const out = new Float64Array(group.width);
  for (const m of group.members) {
    const t = m.parameter ? g.initializers.get(m.value) : undefined;
    const known = facts.get(m.value);
    if (!t || !known) continue;
    const values = toNumbers(t);
    const scores = perPosition(t.dims, m.axis, (i) => f(values[i], known[i]));
    spread(groups, group, m.value, m.axis, scores, out);
  }
  return out;
}

/** Ascending scores; equal ones keep their position, so that the order is reproducible. */
export function orderByScore(scores: ArrayLike<number>): Order {
  return Int32Array.from({ length: scores.length }, (_, i) => i).sort((a, b) => scores[a] - scores[b] || a - b);
}

/** The `width` channels that go last, ascending. */
export const keepLast = (order: Order, width: number): Int32Array => order.slice(order.length - width).sort();
