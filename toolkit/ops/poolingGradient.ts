/** Gradients of pooling. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attr, attrInt, attrInts, type OpNode } from "../graph/graph.js";
import { floats, sizeOf } from "../graph/tensor.js";
import { expand, scale, zeros } from "./algebra.js";
import { type Convolution, convInputGradient, onesKernel } from "./convolutionGradient.js";
import type { GradientRule } from "./elementwiseGradient.js";
import { explicitPads, windowOf as geometryOf } from "./window.js";

/** The pool as a depthwise convolution; with `ceil_mode` the last pads grow until the last window fits. */
function windowOf(n: OpNode, x: readonly number[], y: readonly number[]): Convolution {
  const geometry = geometryOf(n, attrInts(n, "kernel_shape") ?? []);
  const { kernel, strides, dilations } = geometry;
  const pads = explicitPads(x.slice(2), geometry);
  kernel.forEach((k, i) => {
    const reach = (y[i + 2] - 1) * strides[i] + dilations[i] * (k - 1) + 1;
    pads[i + kernel.length] = Math.max(pads[i + kernel.length], reach - x[i + 2] - pads[i]);
  });
  return { x, w: [x[1], 1, ...kernel], y, groups: x[1], kernel, strides, dilations, pads };
}

/** How many elements each window averages along one axis. */
function windowLengths(v: Convolution, axis: number, givenPads: readonly number[], countPadding: boolean): number[] {
  return Array.from({ length: v.y[axis + 2] }, (_, o) => {
    let count = 0;
    for (let t = 0; t < v.kernel[axis]; t++) {
      const at = o * v.strides[axis] - v.pads[axis] + t * v.dilations[axis];
      const low = countPadding ? -givenPads[axis] : 0;
      const high = v.x[axis + 2] + (countPadding ? givenPads[axis + v.kernel.length] : 0);
      if (at >= low && at < high) count++;
    }
    return count;
  });
}

export const averagePoolGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const x = c.dims(n.inputs[0]);
  const v = windowOf(n, x, c.dims(n.outputs[0]));
  const given = explicitPads(x.slice(2), geometryOf(n, v.kernel));
  const countPadding = attrInt(n, "count_include_pad", 0) === 1;
  const lengths = v.kernel.map((_, axis) => windowLengths(v, axis, given, countPadding));
  const counts = lengths.reduce((all, axis) => all.flatMap((a) => axis.map((b) => a * b)), [1]);
  const share = counts.every((count) => count === counts[0])
    ? scale(g, dy, 1 / counts[0])
    : g.mul(
        dy,
        g.initializer(
          "share",
          floats(
            counts.map((count) => 1 / count),
            [1, 1, ...v.y.slice(2)],
          ),
        ),
      );
  return [convInputGradient(g, share, onesKernel(g, v.x[1], v.kernel), v)];
};

/** |x|^(p - 1) with the sign of x: what the p-norm's gradient is proportional to. */
function powerWithSign(g: GraphBuilder, x: Ref, p: number): Ref {
  const sign = g.emit("Sign", [x]);
  if (p === 1) return sign;
  return p === 2 ? x : g.mul(sign, g.emit("Pow", [g.emit("Abs", [x]), g.const(p - 1)]));
}

/** dy / y^(p - 1), and 0 where y is 0. */
function byPower(g: GraphBuilder, dy: Ref, y: Ref, p: number): Ref {
  if (p === 1) return dy;
  const safe = g.emit("Max", [y, g.const(1e-30)]);
  return g.div(dy, p === 2 ? safe : g.emit("Pow", [safe, g.const(p - 1)]));
}

/** LpPool: the p-norm of each window. */
export const lpPoolGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const [x, y, p] = [n.inputs[0], n.outputs[0], attrInt(n, "p", 2)];
  const v = windowOf(n, c.dims(x), c.dims(y));
  const spread = convInputGradient(g, byPower(g, dy, y, p), onesKernel(g, v.x[1], v.kernel), v);
  return [g.mul(spread, powerWithSign(g, x, p))];
};

export const globalLpPoolGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const p = attrInt(n, "p", 2);
  return [c.g.mul(byPower(c.g, dy, n.outputs[0], p), powerWithSign(c.g, n.inputs[0], p))];
};

export const globalAveragePoolGradient: GradientRule = (n, [dy], c) => {
  const dims = c.dims(n.inputs[0]);
  return [dy && expand(c.g, scale(c.g, dy, 1 / sizeOf(dims.slice(2))), dims)];
};

/** GlobalMaxPool: shared equally between the positions that attain the maximum. */
export const globalMaxPoolGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const axes = c.dims(n.inputs[0]).flatMap((_, i) => (i >= 2 ? [i] : []));
  const mask = g.emit("Cast", [g.emit("Equal", [n.inputs[0], n.outputs[0]])], { to: attr.int(1) });
  return [g.mul(mask, g.div(dy, g.reduceSum(mask, axes)))];
};

/** MaxPool: each output's gradient goes to the position it came from, which the operator's second output names. */
export const maxPoolGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const dims = c.dims(n.inputs[0]);
  const { storage_order: _columnMajor, ...attributes } = n.attributes;
  const [, indices] = g.emitMany("MaxPool", [n.inputs[0]], attributes, { outputs: 2 });
  const scattered = g.emit(
    "ScatterElements",
    [zeros(g, [sizeOf(dims)]), g.reshape(indices, [-1]), g.reshape(dy, [-1])],
    {
      axis: attr.int(0),
      reduction: attr.string("add"),
    },
  );
  return [g.reshape(scattered, dims)];
};
