/** Gradients of reductions: what flows into the reduced value is spread over the elements that made it. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attr, attrInt, attrInts, opsetOf } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { positiveAxis, range, scale, toFloat } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";
import { constantInts } from "./movementGradient.js";

interface Reduced {
  g: GraphBuilder;
  x: Ref;
  /** The result and its gradient, with the reduced axes kept as 1. */
  y: Ref;
  dy: Ref;
  axes: readonly number[];
  dims: readonly number[];
}

/** Rule of a reduction, from dx = f(…), which may leave axes of length 1 to be expanded. */
const reduction =
  (f: (r: Reduced) => Ref): GradientRule =>
  (n, [dy], c) => {
    if (!dy) return [null];
    const { g } = c;
    const [x] = n.inputs;
    const dims = c.dims(x);
    const given = constantInts(n, 1, c) ?? attrInts(n, "axes");
    const none = !given?.length && attrInt(n, "noop_with_empty_axes", 0) === 1;
    const listed = none ? [] : (given?.length ? given : range(dims.length)).map((a) => positiveAxis(a, dims.length));
    const axes = [...new Set(listed)];
    const kept = dims.map((d, i) => (axes.includes(i) ? 1 : d));
    const wide = (v: Ref): Ref => g.reshape(v, kept);
    const grad = f({ g, x, y: wide(n.outputs[0]), dy: wide(dy), axes, dims });
    return [g.emit("Expand", [grad, g.ints(dims)]), null];
  };

/** A reduction whose axes are an input from opset 18 on. */
const reduce = (g: GraphBuilder, op: string, x: Ref, axes: readonly number[]): Ref =>
  opsetOf(g.graph) >= 18
    ? g.emit(op, [x, g.ints(axes)], { noop_with_empty_axes: attr.int(1) })
    : axes.length === 0
      ? x
      : g.emit(op, [x], { axes: attr.ints(axes) });

const sum = (g: GraphBuilder, x: Ref, axes: readonly number[]): Ref => (axes.length ? g.reduceSum(x, axes) : x);

export const reduceSumGradient = reduction(({ dy }) => dy);

export const reduceMeanGradient = reduction(({ g, dy, axes, dims }) =>
  scale(g, dy, 1 / sizeOf(axes.map((a) => dims[a]))),
);

/** Shared equally between the elements that attain the extreme. */
export const reduceExtremeGradient = reduction(({ g, x, y, dy, axes }) => {
  const attains = toFloat(g, g.emit("Equal", [x, y]));
  return g.mul(attains, g.div(dy, sum(g, attains, axes)));
});

export const reduceL1Gradient = reduction(({ g, x, dy }) => g.mul(dy, g.emit("Sign", [x])));

/** x / |x|; 0 where all elements are 0. */
export const reduceL2Gradient = reduction(({ g, x, y, dy }) => g.mul(x, g.div(dy, g.emit("Max", [y, g.const(1e-30)]))));

export const reduceSumSquareGradient = reduction(({ g, x, dy }) => g.mul(x, scale(g, dy, 2)));

export const reduceLogSumGradient = reduction(({ g, y, dy }) => g.mul(dy, g.exp(g.neg(y))));

export const reduceLogSumExpGradient = reduction(({ g, x, y, dy }) => g.mul(dy, g.exp(g.sub(x, y))));

/** The product of the others: y / x where no element is 0; with a single 0, only that element has a gradient. */
export const reduceProdGradient = reduction(({ g, x, dy, axes }) => {
  const isZero = g.emit("Equal", [x, g.const(0)]);
  const zero = toFloat(g, isZero);
  const nonZero = g.add(x, zero);
  const product = reduce(g, "ReduceProd", nonZero, axes);
  const zeros = sum(g, zero, axes);
  // Zeros among the others of each element: none leaves the product, any makes it 0.
  const others = toFloat(g, g.emit("Less", [g.sub(zeros, zero), g.const(0.5)]));
  return g.mul(g.mul(dy, others), g.div(product, nonZero));
});
