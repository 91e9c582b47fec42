/**
 * Gradients of Conv. Each form was chosen by measuring it in ONNX Runtime against others of the same arithmetic;
 * `docs/training-notes.md` has the times.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, attr, attrInt, attrInts, attrString, type OpNode } from "../graph/graph.js";
import { fitEnds, flipKernel, im2col, slice, type Window } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";
import { explicitPads, windowOf } from "./window.js";

type Dims4 = readonly [number, number, number, number];

/** A two-dimensional convolution with every number explicit; x [N, C, H, W], w [M, C / groups, kh, kw], y [N, M, OH, OW]. */
export interface Convolution extends Window {
  x: Dims4;
  w: Dims4;
  y: Dims4;
  groups: number;
}

const pair = (v: readonly number[] | undefined, otherwise: number): [number, number] => [
  v?.[0] ?? otherwise,
  v?.[1] ?? otherwise,
];

/**
 * Gradient with respect to the input, [N, C, H, W]. At stride 1 a Conv with the flipped kernel (two to four times as fast
 * as ConvTranspose); at greater strides ConvTranspose (three times as fast as that Conv over zero-filled gradients).
 */
export function convInputGradient(g: GraphBuilder, dy: Ref, weight: Ref, v: Convolution): Ref {
  const reach = [0, 1].map((i) => v.dilations[i] * (v.kernel[i] - 1));
  const size = [v.x[2], v.x[3]];
  if (v.strides[0] > 1 || v.strides[1] > 1) {
    // Rows at the end that no window touched.
    const rest = [0, 1].map(
      (i) => size[i] + v.pads[i] + v.pads[i + 2] - reach[i] - 1 - (v.y[i + 2] - 1) * v.strides[i],
    );
    return g.emit("ConvTranspose", [dy, weight], {
      strides: attr.ints(v.strides),
      pads: attr.ints(v.pads),
      dilations: attr.ints(v.dilations),
      output_padding: attr.ints(rest),
      group: attr.int(v.groups),
    });
  }
  const flipped = flipKernel(g, weight, v.w, v.groups);
  const pads = [reach[0] - v.pads[0], reach[1] - v.pads[1], reach[0] - v.pads[2], reach[1] - v.pads[3]];
  const conv = g.conv(dy, flipped, "", {
    pads: pads.map((p) => Math.max(0, p)),
    dilations: v.dilations,
    group: v.groups,
  });
  if (pads.every((p) => p >= 0)) return conv;
  // Padding wider than the kernel reaches: windows that saw only padding carry nothing back.
  const cut = pads.map((p) => Math.max(0, -p));
  return slice(g, conv, [cut[0], cut[1]], [cut[0] + size[0], cut[1] + size[1]], [2, 3]);
}

/** Values of x under each kernel tap, [N, C * taps, OH * OW]. */
function columnsOf(g: GraphBuilder, x: Ref, v: Convolution): Ref {
  const [n, channels, h, w] = v.x;
  const [oh, ow] = [v.y[2], v.y[3]];
  const taps = v.kernel[0] * v.kernel[1];
  let columns = x;
  if (taps > 1 || v.pads.some((p) => p > 0)) {
    columns = im2col(g, x, channels, v);
  } else if (v.strides[0] > 1 || v.strides[1] > 1) {
    columns = slice(g, x, [0, 0], [h, w], [2, 3], [...v.strides]);
  }
  return g.reshape(columns, [n, channels * taps, oh * ow]);
}

/** Beyond this ratio of floats written, one product over all images beats one product per image and a sum. */
const ONE_PRODUCT_RATIO = 3;

/** Unrolled windows beyond this many floats are made for some images at a time, so that they stay in the processor's cache. */
const UNROLLED_FLOATS = 1 << 21;

/**
 * Gradient with respect to the weight, [M, C / groups, kh, kw]: a matrix product of unrolled windows and output gradients,
 * some images at a time.
 */
export function convWeightGradient(g: GraphBuilder, dy: Ref, x: Ref, v: Convolution): Ref {
  const n = v.y[0];
  const perImage = v.x[1] * v.kernel[0] * v.kernel[1] * v.y[2] * v.y[3];
  const images = Math.max(1, Math.floor(UNROLLED_FLOATS / perImage));
  if (images >= n || (v.kernel[0] === 1 && v.kernel[1] === 1)) return weightGradientOf(g, dy, x, v);
  const parts: Ref[] = [];
  for (let from = 0; from < n; from += images) {
    const to = Math.min(n, from + images);
    const some = { ...v, x: v.x.with(0, to - from) as unknown as Dims4, y: v.y.with(0, to - from) as unknown as Dims4 };
    parts.push(weightGradientOf(g, slice(g, dy, [from], [to], [0]), slice(g, x, [from], [to], [0]), some));
  }
  return g.emit("Sum", parts);
}

/** `convWeightGradient` of all images at once. */
function weightGradientOf(g: GraphBuilder, dy: Ref, x: Ref, v: Convolution): Ref {
  const [n, m, oh, ow] = v.y;
  const { groups } = v;
  const positions = oh * ow;
  const rows = (v.x[1] / groups) * v.kernel[0] * v.kernel[1];
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

/** The node's geometry in numbers; one-dimensional convolutions are read as two-dimensional ones of height 1. */
export function convolutionOf(
  n: OpNode,
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
): Convolution {
  const spatial = x.length - 2;
  if (spatial !== 1 && spatial !== 2) {
    throw new ModelError(
      "gradient-missing",
      `${at(n)}: the gradient is known for one and two spatial axes, got ${spatial}`,
      { where: at(n) },
    );
  }
  const window = windowOf(n, w.slice(2));
  const { strides, dilations } = window;
  const pads = explicitPads(x.slice(2), window);
  const lift = (d: readonly number[]): Dims4 => (spatial === 2 ? [d[0], d[1], d[2], d[3]] : [d[0], d[1], 1, d[2]]);
  const wide = (v: readonly number[]): [number, number] => (spatial === 2 ? pair(v, 1) : [1, v[0]]);
  return {
    x: lift(x),
    w: lift(w),
    y: lift(y),
    groups: attrInt(n, "group", 1),
    kernel: [lift(w)[2], lift(w)[3]],
    strides: wide(strides),
    dilations: wide(dilations),
    pads: spatial === 2 ? [pads[0], pads[1], pads[2], pads[3]] : [0, pads[0], 0, pads[1]],
  };
}

export const convGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const { g } = c;
  const [x, w, b] = n.inputs;
  const dims = { x: c.dims(x), w: c.dims(w), y: c.dims(n.outputs[0]) };
  const v = convolutionOf(n, dims.x, dims.w, dims.y);
  const flat = dims.x.length === 3;
  const as4 = (ref: Ref, to: Dims4): Ref => (flat ? g.reshape(ref, to) : ref);
  const back = (ref: Ref, to: readonly number[]): Ref => (flat ? g.reshape(ref, to) : ref);
  const grad = as4(dy, v.y);
  return [
    c.needs(0) ? back(convInputGradient(g, grad, as4(w, v.w), v), dims.x) : null,
    c.needs(1) ? back(convWeightGradient(g, grad, as4(x, v.x), v), dims.w) : null,
    b && c.needs(2) ? g.reduceSum(grad, [0, 2, 3], false) : null,
  ];
};

/** ConvTranspose is the input gradient of a Conv: its own input gradient is that Conv. */
export const convTransposeGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const { g } = c;
  const [x, w, b] = n.inputs;
  const dimsX = c.dims(x);
  const dimsY = c.dims(n.outputs[0]);
  if (dimsX.length !== 4 || attrString(n, "auto_pad", "NOTSET") !== "NOTSET" || attrInts(n, "output_shape")) {
    throw new ModelError(
      "gradient-missing",
      `${at(n)}: the gradient is known for two spatial axes with explicit pads only`,
      { where: at(n) },
    );
  }
  const dimsW = c.dims(w) as Dims4;
  const kernel: [number, number] = [dimsW[2], dimsW[3]];
  const pads = attrInts(n, "pads") ?? [0, 0, 0, 0];
  // The Conv whose input is this node's output; output_padding only lengthens that input.
  const v: Convolution = {
    x: dimsY as Dims4,
    w: dimsW,
    y: dimsX as Dims4,
    groups: attrInt(n, "group", 1),
    kernel,
    strides: pair(attrInts(n, "strides"), 1),
    dilations: pair(attrInts(n, "dilations"), 1),
    pads: [pads[0], pads[1], pads[2], pads[3]],
  };
  const conv = { strides: v.strides, pads: v.pads, dilations: v.dilations, group: v.groups };
  const exact = (ref: Ref): Ref => {
    const made = [0, 1].map(
      (i) => Math.floor((v.x[i + 2] + pads[i] + pads[i + 2] - v.dilations[i] * (kernel[i] - 1) - 1) / v.strides[i]) + 1,
    ) as [number, number];
    return fitEnds(g, ref, made, [v.y[2], v.y[3]]);
  };
  return [
    c.needs(0) ? exact(g.conv(dy, w, "", conv)) : null,
    c.needs(1) ? convWeightGradient(g, x, dy, v) : null,
    b && c.needs(2) ? g.reduceSum(dy, [0, 2, 3], false) : null,
  ];
};

/** A depthwise kernel of ones over `channels`, as the weight of a window sum. */
export const onesKernel = (g: GraphBuilder, channels: number, kernel: readonly [number, number]): Ref =>
  g.emit("ConstantOfShape", [g.ints([channels, 1, ...kernel])], {
    value: attr.tensor({ elemType: "float32", dims: [1], data: Float32Array.of(1) }),
  });
