/** The matrix view of convolutions and dense layers that reconstruction and second-order importance work on. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attr, attrInt, type OpNode } from "../graph/graph.js";
import { floats, sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import type { LinearRule } from "./rule.js";
import { explicitPads, windowOf } from "./window.js";

/** Every `thin`-th element of axes 2.. of an [N, C, ...] value, from `thin >> 1` on. */
function thinned(g: GraphBuilder, x: Ref, spatial: number, thin: number): Ref {
  if (thin === 1 || spatial === 0) return x;
  const axes = Array.from({ length: spatial }, (_, i) => i + 2);
  const all = (v: number): Ref => g.ints(axes.map(() => v));
  return g.emit("Slice", [x, all(thin >> 1), all(2 ** 63), g.ints(axes), all(thin)]);
}

/** [N, C, ...spatial] -> [C, N * positions]. */
function channelsByPositions(g: GraphBuilder, x: Ref, channels: number, rank: number): Ref {
  const perm = [1, 0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2)];
  return g.reshape(g.transpose(x, perm), [channels, -1]);
}

/** Ungrouped convolution of any spatial rank: columns are (channel, tap), as in the weight tensor itself. */
export const convLinear: LinearRule = {
  data: 0,
  weight: 1,
  bias: 2,
  applies: (n, weightDims) => attrInt(n, "group", 1) === 1 && weightDims.length >= 3,
  inputAxis: () => 1,
  outputAxis: () => 0,
  positions: (dims) => dims.slice(2),
  unfold(n, g, x, xDims, weightDims, thin) {
    const kernel = weightDims.slice(2);
    const channels = weightDims[1];
    const taps = sizeOf(kernel);
    const window = windowOf(n, kernel);
    const { strides } = window;
    const pads = explicitPads(xDims.slice(2), window);
    const pointwise = taps === 1 && pads.every((p) => p === 0);
    // Thinned positions start at output index thin >> 1: skip that many strides of the padded input.
    const skip = kernel.map((_, i) => (thin >> 1) * strides[i]);
    const crop = kernel.map((_, i) => Math.max(0, skip[i] - pads[i]));
    const begin = kernel.map((_, i) => Math.max(0, pads[i] - skip[i]));
    const axes = kernel.map((_, i) => i + 2);
    let from = x;
    if (crop.some((c) => c > 0)) {
      from = g.emit("Slice", [x, g.ints(crop), g.ints(axes.map(() => 2 ** 63)), g.ints(axes)]);
    }
    const steps = strides.map((s) => s * thin);
    if (pointwise) {
      const rows = steps.every((s) => s === 1)
        ? from
        : g.emit("Slice", [
            from,
            g.ints(axes.map(() => 0)),
            g.ints(axes.map(() => 2 ** 63)),
            g.ints(axes),
            g.ints(steps),
          ]);
      return channelsByPositions(g, rows, channels, xDims.length);
    }
    const oneHot = new Float32Array(channels * taps * taps);
    for (let r = 0; r < channels * taps; r++) oneHot[r * taps + (r % taps)] = 1;
    const patches = g.emit("Conv", [from, g.initializer("im2col", floats(oneHot, [channels * taps, 1, ...kernel]))], {
      group: attr.int(channels),
      strides: attr.ints(steps),
      pads: attr.ints([...begin, ...pads.slice(kernel.length)]),
      ...(n.attributes.dilations ? { dilations: n.attributes.dilations } : {}),
    });
    return channelsByPositions(g, patches, channels * taps, xDims.length);
  },
  outputs: (_n, g, y, yDims, thin) =>
    channelsByPositions(g, thinned(g, y, yDims.length - 2, thin), yDims[1], yDims.length),
  toMatrix: (_n, w) => toNumbers(w),
  fromMatrix: (_n, m, dims) => floats(Float32Array.from(m), dims),
};

function transposed(m: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = m[r * columns + c];
  return out;
}

/** A dense layer; `weightIsOutputsFirst` says whether the weight is [outputs, inputs] or [inputs, outputs]. */
function dense(bias: number, weightIsOutputsFirst: (n: OpNode) => boolean, plain: (n: OpNode) => boolean): LinearRule {
  return {
    data: 0,
    weight: 1,
    bias,
    applies: (n, weightDims) => weightDims.length === 2 && plain(n),
    inputAxis: (n) => (weightIsOutputsFirst(n) ? 1 : 0),
    outputAxis: (n) => (weightIsOutputsFirst(n) ? 0 : 1),
    positions: (dims) => dims.slice(1, -1),
    unfold: (_n, g, x, xDims) => g.transpose(g.reshape(x, [-1, xDims[xDims.length - 1]]), [1, 0]),
    outputs: (_n, g, y, yDims) => g.transpose(g.reshape(y, [-1, yDims[yDims.length - 1]]), [1, 0]),
    toMatrix: (n, w: Tensor) =>
      weightIsOutputsFirst(n) ? toNumbers(w) : transposed(toNumbers(w), w.dims[0], w.dims[1]),
    fromMatrix: (n, m, dims) =>
      floats(Float32Array.from(weightIsOutputsFirst(n) ? m : transposed(m, dims[1], dims[0])), dims),
  };
}

/** Gemm with untransposed data and unit factors. */
export const gemmLinear: LinearRule = dense(
  2,
  (n) => attrInt(n, "transB", 0) === 1,
  (n) =>
    attrInt(n, "transA", 0) === 0 &&
    (n.attributes.alpha?.type !== "float" || n.attributes.alpha.value === 1) &&
    (n.attributes.beta?.type !== "float" || n.attributes.beta.value === 1),
);

/** MatMul with a constant right-hand side: the last axis of the data is contracted. It has no bias input. */
export const matMulLinear: LinearRule = dense(
  -1,
  () => false,
  () => true,
);
