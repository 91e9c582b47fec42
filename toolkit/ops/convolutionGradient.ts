/**
 * Gradients of Conv. Each form was chosen by measuring it in ONNX Runtime against others of the same arithmetic;
 * `docs/training-notes.md` has the times.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attr, attrInt, type OpNode } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { flipKernel, im2col, range, slice, type Window } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";
import { explicitPads, windowOf } from "./window.js";

/** A convolution with every number explicit; x [N, C, …], w [M, C / groups, …kernel], y [N, M, …]. */
export interface Convolution extends Window {
  x: readonly number[];
  w: readonly number[];
  y: readonly number[];
  groups: number;
}

/**
 * Gradient with respect to the input, [N, C, …]. At stride 1 a Conv with the flipped kernel (two to four times as fast
 * as ConvTranspose); at greater strides ConvTranspose (three times as fast as that Conv over zero-filled gradients).
 */
export function convInputGradient(g: GraphBuilder, dy: Ref, weight: Ref, v: Convolution): Ref {
  const axes = range(v.kernel.length);
  const reach = axes.map((i) => v.dilations[i] * (v.kernel[i] - 1));
  const size = v.x.slice(2);
  const begin = v.pads.slice(0, axes.length);
  const end = v.pads.slice(axes.length);
  if (v.strides.some((s) => s > 1)) {
    // Rows at the end that no window touched.
    const rest = axes.map((i) => size[i] + begin[i] + end[i] - reach[i] - 1 - (v.y[i + 2] - 1) * v.strides[i]);
    return g.emit("ConvTranspose", [dy, weight], {
      strides: attr.ints(v.strides),
      pads: attr.ints(v.pads),
      dilations: attr.ints(v.dilations),
      output_padding: attr.ints(rest),
      group: attr.int(v.groups),
    });
  }
  const flipped = flipKernel(g, weight, v.w, v.groups);
  const pads = [...axes.map((i) => reach[i] - begin[i]), ...axes.map((i) => reach[i] - end[i])];
  const conv = g.conv(dy, flipped, "", {
    pads: pads.map((p) => Math.max(0, p)),
    dilations: v.dilations,
    group: v.groups,
  });
  if (pads.every((p) => p >= 0)) return conv;
  // Padding wider than the kernel reaches: windows that saw only padding carry nothing back.
  const cut = axes.map((i) => Math.max(0, -pads[i]));
  return slice(
    g,
    conv,
    cut,
    axes.map((i) => cut[i] + size[i]),
    axes.map((i) => i + 2),
  );
}

/** Values of x under each kernel tap, [N, C * taps, positions]. */
function columnsOf(g: GraphBuilder, x: Ref, v: Convolution): Ref {
  const [n, channels, ...size] = v.x;
  const taps = sizeOf(v.kernel);
  let columns = x;
  if (taps > 1 || v.pads.some((p) => p > 0)) {
    columns = im2col(g, x, channels, v);
  } else if (v.strides.some((s) => s > 1)) {
    columns = slice(
      g,
      x,
      size.map(() => 0),
      size,
      size.map((_, i) => i + 2),
      v.strides,
    );
  }
  return g.reshape(columns, [n, channels * taps, sizeOf(v.y.slice(2))]);
}

/** Beyond this ratio of floats written, one product over all images beats one product per image and a sum. */
const ONE_PRODUCT_RATIO = 3;

/** Unrolled windows beyond this many floats are made for some images at a time, so that they stay in the processor's cache. */
const UNROLLED_FLOATS = 1 << 21;

/**
 * Gradient with respect to the weight, [M, C / groups, …kernel]: a matrix product of unrolled windows and output gradients,
 * some images at a time.
 */
export function convWeightGradient(g: GraphBuilder, dy: Ref, x: Ref, v: Convolution): Ref {
  const n = v.y[0];
  const taps = sizeOf(v.kernel);
  const perImage = v.x[1] * taps * sizeOf(v.y.slice(2));
  const images = Math.max(1, Math.floor(UNROLLED_FLOATS / perImage));
  if (images >= n || taps === 1) return weightGradientOf(g, dy, x, v);
  const parts: Ref[] = [];
  for (let from = 0; from < n; from += images) {
    const to = Math.min(n, from + images);
    const some = { ...v, x: v.x.with(0, to - from), y: v.y.with(0, to - from) };
    parts.push(weightGradientOf(g, slice(g, dy, [from], [to], [0]), slice(g, x, [from], [to], [0]), some));
  }
  return g.emit("Sum", parts);
}

/** `convWeightGradient` of all images at once. */
function weightGradientOf(g: GraphBuilder, dy: Ref, x: Ref, v: Convolution): Ref {
  const [n, m, ...size] = v.y;
  const { groups } = v;
  const positions = sizeOf(size);
  const rows = (v.x[1] / groups) * sizeOf(v.kernel);
  const columns = columnsOf(g, x, v);
  if (groups === m) {
    const each = g.matmul(g.reshape(columns, [n, m, rows, positions]), g.reshape(dy, [n, m, positions, 1]));
    return g.reshape(g.reduceSum(each, [0], false), v.w);
  }
  if (groups > 1) {
    const right = g.transpose(g.reshape(dy, [n, groups, m / groups, positions]), [0, 1, 3, 2]);
    const each = g.matmul(g.reshape(columns, [n, groups, rows, positions]), right);
    return g.reshape(g.transpose(g.reduceSum(each, [0], false), [0, 2, 1]), v.w);
  }
  if (m * rows > ONE_PRODUCT_RATIO * positions * (m + rows)) {
    const tall = (ref: Ref, channels: number): Ref =>
      g.reshape(g.transpose(g.reshape(ref, [n, channels, positions]), [1, 0, 2]), [channels, n * positions]);
    return g.reshape(g.emit("Gemm", [tall(dy, m), tall(columns, rows)], { transB: attr.int(1) }), v.w);
  }
  const each = g.matmul(columns, g.transpose(g.reshape(dy, [n, m, positions]), [0, 2, 1]));
  return g.reshape(g.transpose(g.reduceSum(each, [0], false), [1, 0]), v.w);
}

/** The node's geometry in numbers. */
export function convolutionOf(
  n: OpNode,
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
): Convolution {
  const window = windowOf(n, w.slice(2));
  const { kernel, strides, dilations } = window;
  return {
    x,
    w,
    y,
    groups: attrInt(n, "group", 1),
    kernel,
    strides,
    dilations,
    pads: explicitPads(x.slice(2), window),
  };
}

/** Sum of a gradient [N, M, …] over everything but channels: that of a bias. */
export const biasGradient = (g: GraphBuilder, dy: Ref, rank: number): Ref =>
  g.reduceSum(
    dy,
    range(rank).filter((axis) => axis !== 1),
    false,
  );

export const convGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const { g } = c;
  const [x, w, b] = n.inputs;
  const v = convolutionOf(n, c.dims(x), c.dims(w), c.dims(n.outputs[0]));
  return [
    c.needs(0) ? convInputGradient(g, dy, w, v) : null,
    c.needs(1) ? convWeightGradient(g, dy, x, v) : null,
    b && c.needs(2) ? biasGradient(g, dy, v.y.length) : null,
  ];
};

/** A depthwise kernel of ones over `channels`, as the weight of a window sum. */
export const onesKernel = (g: GraphBuilder, channels: number, kernel: readonly number[]): Ref =>
  g.emit("ConstantOfShape", [g.ints([channels, 1, ...kernel])], {
    value: attr.tensor({ elemType: "float32", dims: [1], data: Float32Array.of(1) }),
  });
