/** Quantised tensors for tests, and cases of one operator on them. */
import { uniform } from "../../support/graphs.js";
import type { OptionSpec, TensorSpec } from "../build.js";
import { int32s } from "../check.js";
import {
  broadcast,
  conv2d,
  depthwise,
  fullyConnected,
  map,
  type Numbers,
  numbers,
  pool,
  reduce,
  resize,
  softmax,
  transpose,
} from "../reference.js";

export interface Grid {
  type: "INT8" | "UINT8" | "INT16";
  scale: number;
  zero: number;
}

const limits = { INT8: [-128, 127], UINT8: [0, 255], INT16: [-32768, 32767] } as const;
export const int8 = (scale: number, zero: number): Grid => ({ type: "INT8", scale, zero });
export const uint8 = (scale: number, zero: number): Grid => ({ type: "UINT8", scale, zero });

export const tensor = (name: string, dims: readonly number[], g: Grid, data?: readonly number[]): TensorSpec => ({
  name,
  type: g.type,
  dims,
  scales: [g.scale],
  zeroPoints: [g.zero],
  ...(data ? { data } : {}),
});

/** Stored integers, drawn over the whole range of the type. */
export function stored(dims: readonly number[], g: Grid, seed: number): Numbers {
  const [low, high] = limits[g.type];
  const next = uniform(seed);
  const data = Array.from({ length: dims.reduce((a, d) => a * d, 1) }, () =>
    Math.floor(low + next() * (high - low + 1)),
  );
  return numbers(dims, data);
}

export const real = (x: Numbers, g: Grid): Numbers => map(x, (v) => g.scale * (v - g.zero));
export const toGrid = (x: Numbers, g: Grid): Numbers =>
  map(x, (v) => Math.min(Math.max(Math.round(v / g.scale) + g.zero, limits[g.type][0]), limits[g.type][1]));

export const i8 = (v: number) => ({ i8: v });
export const i32 = (v: number) => ({ i32: v });
export const unit = { 1: i32(1), 2: i32(1) };
export const same = { strides: [1, 1] as const, same: true };
export const relu = (x: Numbers) => map(x, (v) => Math.max(v, 0));

/** Weights per channel along `axis`: integers, their spec, and the real numbers. */
export function perChannel(name: string, dims: readonly number[], axis: number, seed: number) {
  const q = stored(dims, int8(1, 0), seed);
  const scales = Array.from({ length: dims[axis] }, (_, i) => Math.fround(0.002 * (1 + i)));
  const inner = dims.slice(axis + 1).reduce((a, d) => a * d, 1);
  const w = numbers(
    dims,
    q.data.map((v, i) => v * scales[Math.floor(i / inner) % dims[axis]]),
  );
  const spec: TensorSpec = { name, type: "INT8", dims, data: q.data, scales, axis };
  return { w, spec, scales };
}

/** An int32 bias on the grid of the accumulators. */
export function biasOf(name: string, input: Grid, scales: readonly number[], seed: number) {
  const q = stored([scales.length], { type: "INT16", scale: 1, zero: 0 }, seed).data.map((v) => v >> 6);
  const all = scales.map((s) => s * input.scale);
  const spec: TensorSpec = { name, type: "INT32", dims: [q.length], data: q, scales: all };
  return {
    b: numbers(
      [q.length],
      q.map((v, i) => v * all[i]),
    ),
    spec,
  };
}

export interface QuantizedCase {
  title: string;
  type: string;
  inputs: readonly TensorSpec[];
  fed: readonly Numbers[];
  out: Grid;
  wanted: Numbers;
  options?: OptionSpec;
  ops?: string;
}

export const gx = int8(0.05, 3);
export const gy = int8(0.08, -20);
export const dims = [1, 5, 6, 4];
const x = stored(dims, gx, 1);
const y = stored(dims, gy, 2);
export const kernel = perChannel("w", [6, 3, 3, 4], 0, 3);
export const kernelBias = biasOf("b", gx, kernel.scales, 4);
const depth = perChannel("w", [1, 3, 3, 8], 3, 5);
const dense = perChannel("w", [3, 120], 0, 6);
const denseBias = biasOf("b", gx, dense.scales, 7);
export const tx = tensor("x", dims, gx);
const ty = tensor("y", dims, gy);
const out = int8(0.1, -5);

/** Signed bytes of the file to the unsigned ones inside, or back. */
const BORDER = "DequantizeLinear QuantizeLinear";

export const cases: QuantizedCase[] = [
  {
    title: "a scale per channel, int32 bias, fused RELU",
    type: "CONV_2D",
    inputs: [tx, kernel.spec, kernelBias.spec],
    fed: [x],
    options: { ...unit, 3: i8(1) },
    out: int8(0.1, -128),
    wanted: relu(conv2d(real(x, gx), kernel.w, kernelBias.b, same)),
    ops: `${BORDER} DequantizeLinear DequantizeLinear DequantizeLinear Conv Relu QuantizeLinear ${BORDER}`,
  },
  {
    title: "a scale per channel and multiplier 2",
    type: "DEPTHWISE_CONV_2D",
    inputs: [tx, depth.spec],
    fed: [x],
    options: { ...unit, 3: i32(2) },
    out,
    wanted: depthwise(real(x, gx), depth.w, undefined, same),
  },
  {
    title: "of a whole image, with bias",
    type: "FULLY_CONNECTED",
    inputs: [tx, dense.spec, denseBias.spec],
    fed: [x],
    out: int8(0.5, 4),
    wanted: fullyConnected(real(x, gx), dense.w, denseBias.b),
  },
  {
    title: "of two grids onto a third",
    type: "ADD",
    inputs: [tx, ty],
    fed: [x, y],
    out,
    wanted: broadcast(real(x, gx), real(y, gy), (a, b) => a + b),
    ops: `${BORDER} ${BORDER} DequantizeLinear DequantizeLinear Add QuantizeLinear ${BORDER}`,
  },
  {
    title: "with a stored constant per channel",
    type: "MUL",
    inputs: [tx, tensor("c", [4], int8(0.01, 1), [1, -90, 60, 127])],
    fed: [x],
    out,
    wanted: broadcast(real(x, gx), numbers([4], [0, -0.91, 0.59, 1.26]), (a, b) => a * b),
  },
  {
    title: "on the integers as they are",
    type: "MAX_POOL_2D",
    inputs: [tx],
    fed: [x],
    options: { 0: i8(1), 1: i32(2), 2: i32(2), 3: i32(2), 4: i32(2) },
    out: gx,
    wanted: pool(real(x, gx), { kernel: [2, 2], strides: [2, 2], same: false }, "max"),
    ops: `${BORDER} MaxPool ${BORDER}`,
  },
  {
    title: "of windows",
    type: "AVERAGE_POOL_2D",
    inputs: [tx],
    fed: [x],
    options: { 0: i8(0), 1: i32(2), 2: i32(2), 3: i32(3), 4: i32(3) },
    out: gx,
    wanted: pool(real(x, gx), { kernel: [3, 3], strides: [2, 2], same: true }, "average"),
  },
  {
    title: "over the image, axes removed",
    type: "MEAN",
    inputs: [tx, int32s("axes", [1, 2])],
    fed: [x],
    out: int8(0.02, 0),
    wanted: reduce(real(x, gx), [1, 2], false, (v) => v.reduce((a, b) => a + b, 0) / v.length),
  },
  {
    title: "of two grids onto that of the first",
    type: "CONCATENATION",
    inputs: [tx, ty],
    fed: [x, y],
    options: { 0: i32(2) },
    out: gx,
    wanted: transpose(
      numbers(
        [1, 5, 4, 12],
        [0, 1, 2, 3, 4].flatMap((r) =>
          [0, 1, 2, 3].flatMap((c) => [...rowOf(real(x, gx), r, c), ...rowOf(real(y, gy), r, c)]),
        ),
      ),
      [0, 1, 3, 2],
    ),
  },
  {
    title: "with what 0 is on the grid",
    type: "PAD",
    inputs: [tx, { name: "p", type: "INT32", dims: [4, 2], data: [0, 0, 1, 0, 0, 0, 0, 0] }],
    fed: [x],
    out: gx,
    wanted: numbers([1, 6, 6, 4], [...Array(24).fill(0), ...real(x, gx).data]),
    ops: `${BORDER} Pad ${BORDER}`,
  },
  {
    title: "nearest, on the integers as they are",
    type: "RESIZE_NEAREST_NEIGHBOR",
    inputs: [tx, int32s("size", [10, 12])],
    fed: [x],
    out: gx,
    wanted: resize(real(x, gx), [10, 12], "nearest"),
    ops: `${BORDER} Resize ${BORDER}`,
  },
  {
    title: "on its own grid",
    type: "SOFTMAX",
    inputs: [tx],
    fed: [x],
    options: { 0: { f32: 1 } },
    out: int8(1 / 256, -128),
    wanted: softmax(real(x, gx)),
  },
  {
    title: "on its own grid",
    type: "LOGISTIC",
    inputs: [tx],
    fed: [x],
    out: int8(1 / 256, -128),
    wanted: map(real(x, gx), (v) => 1 / (1 + Math.exp(-v))),
  },
  { title: "from grid to grid", type: "QUANTIZE", inputs: [tx], fed: [x], out: uint8(0.06, 120), wanted: real(x, gx) },
  {
    title: "16-bit activations",
    type: "ADD",
    inputs: [
      tensor("a", [1, 8], { type: "INT16", scale: 0.001, zero: 0 }),
      tensor("b", [1, 8], { type: "INT16", scale: 0.002, zero: 0 }),
    ],
    fed: [
      stored([1, 8], { type: "INT16", scale: 1, zero: 0 }, 8),
      stored([1, 8], { type: "INT16", scale: 1, zero: 0 }, 9),
    ],
    out: { type: "INT16", scale: 0.003, zero: 0 },
    wanted: broadcast(
      real(stored([1, 8], { type: "INT16", scale: 1, zero: 0 }, 8), { type: "INT16", scale: 0.001, zero: 0 }),
      real(stored([1, 8], { type: "INT16", scale: 1, zero: 0 }, 9), { type: "INT16", scale: 0.002, zero: 0 }),
      (a, b) => a + b,
    ),
  },
];

/** Pixel columns of one row and channel. */
function rowOf(v: Numbers, row: number, channel: number): number[] {
  return v.data.filter((_, i) => i % 4 === channel && Math.floor(i / 24) === row);
}
