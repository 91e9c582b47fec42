/** The matrix view of convolutions and dense layers that reconstruction and second-order importance work on. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attrInt, type OpNode } from "../graph/graph.js";
import { floats, sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import type { LinearRule } from "./rule.js";
import { explicitPads, windowOf, windowOutput } from "./window.js";

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

/** How many of `length` positions are left when every `thin`-th is taken from `thin >> 1` on. */
const sampled = (length: number, thin: number): number => Math.ceil((length - (thin >> 1)) / thin);

/** Index of a tap along each kernel axis. */
function tapOffsets(tap: number, kernel: readonly number[]): number[] {
  const out: number[] = [];
  for (let i = kernel.length - 1; i >= 0; i--) {
    out.unshift(tap % kernel[i]);
    tap = Math.floor(tap / kernel[i]);
  }
  return out;
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
    const pads = explicitPads(xDims.slice(2), window);
    const padded = pads.some((p) => p !== 0)
      ? g.emit("Pad", [x, g.ints([0, 0, ...pads.slice(0, kernel.length), 0, 0, ...pads.slice(kernel.length)])])
      : x;
    const maps = windowOutput(n, xDims.slice(2), window) as number[];
    const steps = window.strides.map((s) => s * thin);
    const axes = kernel.map((_, i) => i + 2);
    // One strided slice per tap: only the sampled positions are ever copied.
    const slices = Array.from({ length: taps }, (_, tap) => {
      const start = tapOffsets(tap, kernel).map((t, i) => (thin >> 1) * window.strides[i] + t * window.dilations[i]);
      const end = start.map((s, i) => s + (sampled(maps[i], thin) - 1) * steps[i] + 1);
      const part = g.emit("Slice", [padded, g.ints(start), g.ints(end), g.ints(axes), g.ints(steps)]);
      return taps === 1 ? part : g.emit("Unsqueeze", [part, g.ints([2])]);
    });
    if (taps === 1) return channelsByPositions(g, slices[0], channels, xDims.length);
    const patches = g.concat(slices, 2); // [N, C, taps, ...positions]
    const perm = [1, 2, 0, ...kernel.map((_, i) => i + 3)];
    return g.reshape(g.transpose(patches, perm), [channels * taps, -1]);
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

/** [N, ...positions, C] -> [C, N * positions], every `thin`-th position in each direction. */
function rows(g: GraphBuilder, x: Ref, dims: readonly number[], thin: number): Ref {
  const axes = Array.from({ length: Math.max(0, dims.length - 2) }, (_, i) => i + 1);
  const all = (v: number): Ref => g.ints(axes.map(() => v));
  const thinner =
    thin === 1 || axes.length === 0 ? x : g.emit("Slice", [x, all(thin >> 1), all(2 ** 63), g.ints(axes), all(thin)]);
  return g.transpose(g.reshape(thinner, [-1, dims[dims.length - 1]]), [1, 0]);
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
    unfold: (_n, g, x, xDims, _w, thin) => rows(g, x, xDims, thin),
    outputs: (_n, g, y, yDims, thin) => rows(g, y, yDims, thin),
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
