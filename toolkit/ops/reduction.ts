/** Operators that reduce whole axes to one value, or to the place of one. */
import { attrInt, type Dim, type OpNode } from "../graph/graph.js";
import { sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { valuesOf } from "./arithmetic.js";
import { axisOf, inputType, intsOf, unknownDimension } from "./dims.js";
import { stridesOf } from "./layout.js";
import { freezeAxes } from "./links.js";
import { topKGradient } from "./movementGradient.js";
import { fillRemoved, meanOverKept } from "./overKept.js";
import {
  reduceExtremeGradient,
  reduceL1Gradient,
  reduceL2Gradient,
  reduceLogSumExpGradient,
  reduceLogSumGradient,
  reduceMeanGradient,
  reduceProdGradient,
  reduceSumGradient,
  reduceSumSquareGradient,
} from "./reductionGradient.js";
import type { ChannelContext, OpRule } from "./rule.js";

/** Reduced axes, ascending: all when none are named, none with `noop_with_empty_axes`. Axes are an attribute or input 1. */
export function reducedAxes(n: OpNode, rank: number, axes: Tensor | undefined): number[] {
  if (n.inputs[1] && !axes) throw unknownDimension(n, "the list of axes");
  const listed = intsOf(n, "axes", axes);
  if (!listed || listed.length === 0) {
    return attrInt(n, "noop_with_empty_axes", 0) ? [] : Array.from({ length: rank }, (_, k) => k);
  }
  return [...new Set(listed.map((a) => axisOf(n, a, rank)))].sort((a, b) => a - b);
}

const keepsDims = (n: OpNode): boolean => attrInt(n, "keepdims", 1) === 1;

function reducedDims<D extends Dim>(n: OpNode, dims: readonly D[], axes: readonly number[]): (D | 1)[] {
  const gone = new Set(axes);
  return keepsDims(n) ? dims.map((d, k) => (gone.has(k) ? 1 : d)) : dims.filter((_, k) => !gone.has(k));
}

/** Axes that stay keep their ids. */
function reduceIds(n: OpNode, c: ChannelContext, axes: readonly number[]): void {
  const [x] = n.inputs;
  const gone = new Set(axes);
  let to = 0;
  c.ids(x).forEach((ids, axis) => {
    if (!gone.has(axis)) c.set(n.outputs[0], to++, ids);
    else if (keepsDims(n)) to++;
  });
}

function fold(x: Tensor, axes: readonly number[], f: (values: number[]) => number): Float64Array {
  const gone = new Set(axes);
  const kept = x.dims.map((d, k) => (gone.has(k) ? 1 : d));
  const steps = stridesOf(kept);
  const bins: number[][] = Array.from({ length: sizeOf(kept) }, () => []);
  const values = toNumbers(x);
  const index = new Array<number>(x.dims.length).fill(0);
  for (const v of values) {
    let at = 0;
    for (let k = 0; k < index.length; k++) if (!gone.has(k)) at += index[k] * steps[k];
    bins[at].push(v);
    for (let k = index.length - 1; k >= 0; k--) {
      if (++index[k] < x.dims[k]) break;
      index[k] = 0;
    }
  }
  return Float64Array.from(bins, f);
}

/** The axes that a node reduces, with its constants at hand. */
const reducedBy = (
  n: OpNode,
  c: { dims(name: string): readonly number[]; constant(name: string): Tensor | undefined },
) => reducedAxes(n, c.dims(n.inputs[0]).length, c.constant(n.inputs[1] ?? ""));

/**
 * A reduction; `f` sees the elements that fall together. To a sum of terms that are zero for zero (`sums`) a removed channel
 * adds nothing; otherwise `overKept` says what is left of it.
 */
const reduction = (f: (values: number[]) => number, left: "sums" | NonNullable<OpRule["overKept"]>): OpRule => ({
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    if (!dims) return [{ elemType }];
    return [{ elemType, dims: reducedDims(n, dims, reducedAxes(n, dims.length, c.constant(1))) }];
  },
  evaluate: (n, [x, axes]) => {
    if (!x || (n.inputs[1] && !axes)) return undefined;
    const list = reducedAxes(n, x.dims.length, axes);
    return valuesOf(x.elemType, fold(x, list, f), reducedDims(n, x.dims, list));
  },
  channels: (n, c) => {
    const axes = reducedBy(n, c);
    for (const axis of axes) left === "sums" ? c.contract(0, axis) : c.renormalise(0, axis);
    reduceIds(n, c, axes);
  },
  ...(left === "sums" ? {} : { overKept: left }),
  macs: (_, [x]) => sizeOf(x),
});

const LOWEST = Number.NEGATIVE_INFINITY;

const meanOfLeft: OpRule["overKept"] = (n, c) => [meanOverKept(c, n.inputs[0], reducedBy(n, c), keepsDims(n))];

const sum = (v: number[]): number => v.reduce((a, b) => a + b, 0);

/** Factors on channels get past a reduction that leaves their axis, and the number of axes in front of it, as they are. */
const besideChannels: OpRule["scaling"] = {
  kind: "commutes",
  when: (n, axis, rank, constant) => {
    const axes = constant(n.inputs[1] ?? "");
    if (n.inputs[1] && !axes) return false;
    return reducedAxes(n, rank, axes).every((a) => a > axis || (a < axis && keepsDims(n)));
  },
};

const argument: OpRule = {
  shape: (n, c) => {
    const { dims } = inputType(n, c, 0);
    return [{ elemType: "int64", dims: dims && reducedDims(n, dims, [axisOf(n, attrInt(n, "axis", 0), dims.length)]) }];
  },
  channels: (n, c) => {
    const axis = axisOf(n, attrInt(n, "axis", 0), c.dims(n.inputs[0]).length);
    freezeAxes(n, c, n.inputs[0], (k) => k === axis, "numbers its channels");
    reduceIds(n, c, [axis]);
  },
};

/** The k largest or smallest along an axis, and their places. */
const TopK: OpRule = {
  gradient: topKGradient,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const input = c.constant(1);
    const k = n.inputs[1] ? input && toNumbers(input)[0] : attrInt(n, "k", 0);
    if (k === undefined) throw unknownDimension(n, "k");
    const axis = dims && axisOf(n, attrInt(n, "axis", -1), dims.length);
    const out = dims?.map((d, i) => (i === axis ? k : d));
    return [
      { elemType, dims: out },
      { elemType: "int64", dims: out },
    ];
  },
  channels: (n, c) => {
    const axis = axisOf(n, attrInt(n, "axis", -1), c.dims(n.inputs[0]).length);
    freezeAxes(n, c, n.inputs[0], (k) => k === axis, "ranks its channels");
    c.ids(n.inputs[0]).forEach((ids, k) => {
      if (k !== axis) for (const y of n.outputs) if (y) c.set(y, k, ids);
    });
  },
};

export const rules = {
  ReduceSum: { ...reduction(sum, "sums"), scaling: besideChannels, gradient: reduceSumGradient },
  ReduceMean: {
    ...reduction((v) => sum(v) / v.length, meanOfLeft),
    scaling: besideChannels,
    gradient: reduceMeanGradient,
  },
  ReduceMax: {
    ...reduction((v) => v.reduce((a, b) => Math.max(a, b), LOWEST), fillRemoved(LOWEST)),
    gradient: reduceExtremeGradient,
  },
  ReduceMin: {
    ...reduction((v) => v.reduce((a, b) => Math.min(a, b), -LOWEST), fillRemoved(-LOWEST)),
    gradient: reduceExtremeGradient,
  },
  ReduceProd: { ...reduction((v) => v.reduce((a, b) => a * b, 1), fillRemoved(1)), gradient: reduceProdGradient },
  ReduceL1: { ...reduction((v) => sum(v.map(Math.abs)), "sums"), gradient: reduceL1Gradient },
  ReduceL2: { ...reduction((v) => Math.sqrt(sum(v.map((e) => e * e))), "sums"), gradient: reduceL2Gradient },
  ReduceSumSquare: { ...reduction((v) => sum(v.map((e) => e * e)), "sums"), gradient: reduceSumSquareGradient },
  ReduceLogSum: { ...reduction((v) => Math.log(sum(v)), "sums"), gradient: reduceLogSumGradient },
  ReduceLogSumExp: {
    ...reduction((v) => Math.log(sum(v.map(Math.exp))), fillRemoved(LOWEST)),
    gradient: reduceLogSumExpGradient,
  },
  ArgMax: { ...argument },
  ArgMin: { ...argument },
  TopK,
} satisfies Record<string, OpRule | OpRule[]>;
