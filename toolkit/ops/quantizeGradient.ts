/**
 * Gradients through rounding to integers. Rounding itself counts as the identity (straight-through estimator, Bengio et al. 2013);
 * with it the chain rule over Quantize and Dequantize gives the step sizes' gradients of LSQ (Esser et al. 2020, equation 3).
 *
 * Between the two, a gradient is that with respect to the real value for which an integer stands, so that operators which only
 * move integers pass it on as they would pass it on for floats.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attrInt, type OpNode } from "../graph/graph.js";
import { toNumbers } from "../graph/tensor.js";
import { keepWhere, positiveAxis, range } from "./algebra.js";
import type { GradientContext, OpRule } from "./rule.js";

type GradientRule = NonNullable<OpRule["gradient"]>;

const ends = { uint8: [0, 255], int8: [-128, 127], uint16: [0, 65535], int16: [-32768, 32767] } as const;

/** Dims of a scale in which it broadcasts to the value; undefined for scales per block. */
function wideDims(n: OpNode, c: GradientContext): number[] | undefined {
  const scale = c.dims(n.inputs[1]);
  const rank = c.dims(n.inputs[0]).length;
  if (scale.length > 1) return undefined;
  if (scale.length === 0 || (scale[0] === 1 && rank === 0)) return [];
  const axis = positiveAxis(attrInt(n, "axis", 1), rank);
  return range(rank).map((k) => (k === axis || (scale[0] === 1 && rank === 1) ? scale[0] : 1));
}

/** Sums a value of x's dims to one number per scale and divides by the scale. */
function perScale(n: OpNode, c: GradientContext, value: Ref, wide: readonly number[]): Ref {
  const { g } = c;
  const rank = c.dims(n.inputs[0]).length;
  const axes = range(rank).filter((k) => (wide[k] ?? 1) === 1);
  const sum = axes.length > 0 ? g.reduceSum(value, axes, true) : value;
  return g.div(g.reshape(sum, c.dims(n.inputs[1])), n.inputs[1]);
}

/** Lowest and highest real value that is not cut off, as values that follow the scale. Undefined when the integers are not known. */
function bounds(n: OpNode, c: GradientContext, wide: readonly number[]): [Ref, Ref] | undefined {
  const { g } = c;
  const zero = n.inputs[2] ? c.constant(n.inputs[2]) : undefined;
  if (n.inputs[2] && !zero) return undefined;
  const [lowest, highest] = ends[(zero?.elemType ?? "uint8") as keyof typeof ends] ?? [];
  if (lowest === undefined) return undefined;
  const points = zero ? toNumbers(zero) : Float64Array.of(0);
  const scale = g.reshape(n.inputs[1], wide);
  const at = (end: number): Ref => {
    const steps = Float32Array.from(points, (z) => end - z);
    return g.mul(scale, steps.length === 1 ? g.const(steps[0]) : g.const(steps, wide));
  };
  return [at(lowest - 0.5), at(highest + 0.5)];
}

const both = (g: GraphBuilder, a: Ref, b: Ref): Ref => g.emit("And", [a, b]);

/** q = clamp(round(x / s) + z): passed on inside the range. For the scale, -x / s per unit inside. */
export const quantizeLinearGradient: GradientRule = (n, [dq], c) => {
  if (!dq) return [null, null, null];
  const { g } = c;
  const [x] = n.inputs;
  const wide = wideDims(n, c);
  const limits = wide && bounds(n, c, wide);
  if (!wide || !limits)
    throw new Error(`${n.name}: scales per block or a computed zero point cannot be trained through`);
  const inside = both(g, g.emit("Greater", [x, limits[0]]), g.emit("Less", [x, limits[1]]));
  const dx = keepWhere(g, inside, dq);
  return [dx, c.needs(1) ? g.neg(perScale(n, c, g.mul(dx, x), wide)) : null, null];
};

/** y = (q - z) s: passed on; for the scale, y / s per unit. */
export const dequantizeLinearGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const wide = c.needs(1) ? wideDims(n, c) : undefined;
  return [dy, wide ? perScale(n, c, c.g.mul(dy, n.outputs[0]), wide) : null, null];
};
