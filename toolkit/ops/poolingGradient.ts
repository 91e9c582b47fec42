/** Gradients of pooling. */
import { ModelError } from "../graph/errors.js";
import { at, attr, attrInt, attrInts, type OpNode } from "../graph/graph.js";
import { floats, sizeOf } from "../graph/tensor.js";
import { expand, scale, zeros } from "./algebra.js";
import { type Convolution, convInputGradient, onesKernel } from "./convolutionGradient.js";
import type { GradientRule } from "./elementwiseGradient.js";
import { explicitPads, windowOf as geometryOf } from "./window.js";

type Dims4 = readonly [number, number, number, number];

/** The pool as a depthwise convolution; with `ceil_mode` the last pads grow until the last window fits. */
function windowOf(n: OpNode, x: readonly number[], y: readonly number[]): Convolution {
  const kernel = attrInts(n, "kernel_shape");
  if (x.length !== 4 || kernel?.length !== 2) {
    throw new ModelError(
      "gradient-missing",
      `${at(n)}: the gradient is known for two spatial axes, got ${x.length - 2}`,
      { where: at(n) },
    );
  }
  const geometry = geometryOf(n, kernel);
  const { strides, dilations } = geometry;
  const pads = explicitPads(x.slice(2), geometry);
  for (const i of [0, 1]) {
    const reach = (y[i + 2] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1;
    pads[i + 2] = Math.max(pads[i + 2], reach - x[i + 2] - pads[i]);
  }
  const channels = x[1];
  return {
    x: x as Dims4,
    w: [channels, 1, kernel[0], kernel[1]],
    y: y as Dims4,
    groups: channels,
    kernel: [kernel[0], kernel[1]],
    strides: [strides[0], strides[1]],
    dilations: [dilations[0], dilations[1]],
    pads: [pads[0], pads[1], pads[2], pads[3]],
  };
}

/** How many elements each window averages along one axis. */
function windowLengths(v: Convolution, axis: 0 | 1, givenPads: readonly number[], countPadding: boolean): number[] {
  return Array.from({ length: v.y[axis + 2] }, (_, o) => {
    let count = 0;
    for (let t = 0; t < v.kernel[axis]; t++) {
      const at = o * v.strides[axis] - v.pads[axis] + t * v.dilations[axis];
      const low = countPadding ? -givenPads[axis] : 0;
      const high = v.x[axis + 2] + (countPadding ? givenPads[axis + 2] : 0);
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
  const rows = windowLengths(v, 0, given, countPadding);
  const columns = windowLengths(v, 1, given, countPadding);
  const uniform = rows.every((r) => r === rows[0]) && columns.every((r) => r === columns[0]);
  const share = uniform
    ? scale(g, dy, 1 / (rows[0] * columns[0]))
    : g.mul(
        dy,
        g.initializer(
          "share",
          floats(
            rows.flatMap((r) => columns.map((k) => 1 / (r * k))),
            [1, 1, rows.length, columns.length],
          ),
        ),
      );
  return [convInputGradient(g, share, onesKernel(g, v.x[1], v.kernel), v)];
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
