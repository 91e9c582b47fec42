/**
 * Statistics at full size over kept channels alone: what the normalisations and reductions of a cut net compute, written
 * with a mask. Each emits the node in primitive operators.
 */
import type { Ref } from "../graph/builder.js";
import { attr, type OpNode } from "../graph/graph.js";
import type { KeptContext, OpRule } from "./rule.js";

/** The same node on an input whose removed places read `value`, the neutral element of what the node computes. */
export const fillRemoved =
  (value: number): NonNullable<OpRule["overKept"]> =>
  (n, c) => {
    const kept = c.g.emit("Cast", [c.mask], { to: attr.int(9) });
    const x = c.g.emit("Where", [kept, n.inputs[0], c.number(value)]);
    return [c.g.emit(n.opType, [x, ...n.inputs.slice(1)], n.attributes, { domain: n.domain })];
  };

/**
 * The node on an input from which the removed places are taken out, for windows that slide over channels. Output axes are as
 * long as those of the input; removed places of the result read those of a neighbour.
 */
export const compacted: NonNullable<OpRule["overKept"]> = (n, c) => {
  const dims = c.dims(n.inputs[0]);
  const along = (x: Ref, axis: number, index: readonly number[]): Ref =>
    c.g.emit("Gather", [x, c.g.ints(index)], { axis: attr.int(axis) });
  const cut = dims.flatMap((length, axis) => {
    const kept = c.positions(axis);
    return kept ? [{ axis, kept: [...kept], length }] : [];
  });
  const x = cut.reduce((value, { axis, kept }) => along(value, axis, kept), n.inputs[0]);
  const y = c.g.emit(n.opType, [x, ...n.inputs.slice(1)], n.attributes, { domain: n.domain });
  return [
    cut.reduce((value, { axis, kept, length }) => {
      const back = Array.from({ length }, (_, p) => Math.max(0, kept.filter((k) => k <= p).length - 1));
      return along(value, axis, back);
    }, y),
  ];
};

/** Mean of `x` over the kept positions of some axes. */
export function meanOverKept(c: KeptContext, x: Ref, axes: readonly number[], keepdims = true): Ref {
  const count = axes.reduce((product, axis) => product * c.kept(axis), 1);
  return c.g.div(c.g.reduceSum(c.g.mul(x, c.mask), axes, keepdims), c.number(count));
}

/** (x - mean) / sqrt(variance + epsilon) over the kept positions of some axes, and the statistics. */
export function standardised(
  n: OpNode,
  c: KeptContext,
  axes: readonly number[],
  epsilon: number,
): { value: Ref; mean: Ref; inverseDeviation: Ref } {
  const [x] = n.inputs;
  const mean = meanOverKept(c, x, axes);
  const centred = c.g.sub(x, mean);
  const variance = meanOverKept(c, c.g.mul(centred, centred), axes);
  const inverseDeviation = c.g.div(c.number(1), c.g.sqrt(c.g.add(variance, c.number(epsilon))));
  return { value: c.g.mul(centred, inverseDeviation), mean, inverseDeviation };
}

/** A parameter per channel of axis 1 (or any vector), under dims that broadcast against a value of `rank` axes. */
export function alongAxis(c: KeptContext, name: Ref, axis: number, rank: number): Ref {
  const dims = Array.from({ length: rank }, (_, k) => (k === axis ? -1 : 1));
  return c.g.reshape(name, dims);
}
