/**
 * Gradient of Resize. Along each axis resampling is a linear map with constant coefficients, whatever the mode; the gradient is its
 * transpose. Coefficients follow the ONNX specification (Resize-19, "coordinate_transformation_mode").
 */
import type { Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, attrFloat, attrInt, attrInts, attrString, type OpNode } from "../graph/graph.js";
import { toNumberArray } from "../graph/tensor.js";
import { mapAxis, positiveAxis, range } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";
import type { GradientContext } from "./rule.js";

/** Where an output position lies on the input, in pixels. */
function coordinate(mode: string, to: number, from: number, length: number, scale: number): number {
  switch (mode) {
    case "half_pixel":
      return (to + 0.5) / scale - 0.5;
    case "pytorch_half_pixel":
      return length > 1 ? (to + 0.5) / scale - 0.5 : 0;
    case "align_corners":
      return length > 1 ? (to * (from - 1)) / (length - 1) : 0;
    case "asymmetric":
      return to / scale;
    case "half_pixel_symmetric": {
      const adjustment = length / (scale * from);
      return (from / 2) * (1 - adjustment) + (to + 0.5) / scale - 0.5;
    }
    default:
      return Number.NaN;
  }
}

function nearest(mode: string, x: number): number {
  if (mode === "floor") return Math.floor(x);
  if (mode === "ceil") return Math.ceil(x);
  return mode === "round_prefer_ceil" ? Math.floor(x + 0.5) : Math.ceil(x - 0.5);
}

/** Keys' cubic convolution kernel. */
function cubic(a: number, distance: number): number {
  const d = Math.abs(distance);
  if (d <= 1) return (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1;
  return d < 2 ? a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a : 0;
}

interface Resampling {
  mode: string;
  transformation: string;
  nearestMode: string;
  cubicCoefficient: number;
  excludeOutside: boolean;
}

/** The transpose of the map along one axis, [from, to]. */
function transposed(r: Resampling, from: number, to: number, scale: number): Float32Array {
  const out = new Float32Array(from * to);
  const put = (source: number, o: number, weight: number): void => {
    out[Math.min(Math.max(source, 0), from - 1) * to + o] += weight;
  };
  for (let o = 0; o < to; o++) {
    // The runtime computes coordinates in float32, which decides ties.
    const x = Math.fround(coordinate(r.transformation, o, from, to, scale));
    if (r.mode === "nearest") {
      put(nearest(r.nearestMode, x), o, 1);
    } else if (r.mode === "linear") {
      const inside = Math.min(Math.max(x, 0), from - 1);
      const low = Math.floor(inside);
      put(low, o, 1 - (inside - low));
      put(low + 1, o, inside - low);
    } else {
      const low = Math.floor(x);
      const taps = range(4).map((k) => low - 1 + k);
      const weights = taps.map((t) =>
        r.excludeOutside && (t < 0 || t >= from) ? 0 : cubic(r.cubicCoefficient, x - t),
      );
      const total = r.excludeOutside ? weights.reduce((a, b) => a + b) : 1;
      taps.forEach((t, k) => {
        put(t, o, weights[k] / total);
      });
    }
  }
  return out;
}

/** Scale of every axis: as written, or from the sizes. */
function scalesOf(n: OpNode, c: GradientContext, from: readonly number[], to: readonly number[]): number[] {
  const input = n.inputs.length <= 2 ? 1 : 2;
  const t = n.inputs[input] ? c.constant(n.inputs[input]) : undefined;
  const scales = from.map((d, i) => to[i] / d);
  if (!t?.data.length) return scales;
  const axes = attrInts(n, "axes")?.map((a) => positiveAxis(a, from.length)) ?? range(from.length);
  toNumberArray(t).forEach((s, i) => {
    scales[axes[i]] = s;
  });
  return scales;
}

export const resizeGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const from = c.dims(n.inputs[0]);
  const to = c.dims(n.outputs[0]);
  const r: Resampling = {
    mode: attrString(n, "mode", "nearest"),
    transformation: attrString(n, "coordinate_transformation_mode", "half_pixel"),
    nearestMode: attrString(n, "nearest_mode", "round_prefer_floor"),
    cubicCoefficient: attrFloat(n, "cubic_coeff_a", -0.75),
    excludeOutside: attrInt(n, "exclude_outside", 0) === 1,
  };
  const unknown = Number.isNaN(coordinate(r.transformation, 0, 1, 2, 1)) ? `mode "${r.transformation}"` : "antialias";
  if (unknown !== "antialias" || attrInt(n, "antialias", 0) === 1) {
    throw new ModelError("gradient-missing", `${at(n)}: no gradient is known for resampling with ${unknown}`, {
      where: at(n),
    });
  }
  const scales = scalesOf(n, c, from, to);
  const copies = r.mode === "nearest" && from.every((d, i) => to[i] % d === 0 && scales[i] === to[i] / d);
  if (copies && r.transformation !== "align_corners") {
    // Enlarged by whole factors: every pixel's copies are summed.
    const wide = from.flatMap((d, i) => [d, to[i] / d]);
    return [
      g.reduceSum(
        g.reshape(dy, wide),
        from.map((_, i) => 2 * i + 1),
        false,
      ),
    ];
  }
  let grad: Ref = dy;
  const current = [...to];
  from.forEach((length, axis) => {
    if (length === to[axis] && scales[axis] === 1) return;
    grad = mapAxis(g, grad, current, axis, transposed(r, length, to[axis], scales[axis]), length);
    current[axis] = length;
  });
  return [grad];
};
