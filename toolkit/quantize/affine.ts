/** The arithmetic of affine quantisation: q = clamp(round(x / scale) + zeroPoint). Knows tensors, not graphs. */
import { ModelError } from "../graph/errors.js";
import { floats, type Tensor, toNumbers } from "../graph/tensor.js";

/** Interval of real values that the integer grid covers; always holds 0, so that padding and ReLU's zero are exact. */
export interface QuantRange {
  low: number;
  high: number;
}

/** Parameters of an unsigned 8-bit activation. */
export interface ActivationGrid {
  scale: number;
  zeroPoint: number;
}

/** Smallest scale that is written: below it products of two scales leave float32's normal range. */
const MIN_SCALE = 1e-12;

/** The range widened to hold 0; an all-zero one gets the scale 1, which represents it exactly. */
export function activationGrid(r: QuantRange): ActivationGrid {
  if (!Number.isFinite(r.low) || !Number.isFinite(r.high) || r.low > r.high) {
    throw new ModelError("range", `[${r.low}, ${r.high}] is not a range that can be quantised`);
  }
  const low = Math.min(r.low, 0);
  const high = Math.max(r.high, 0);
  if (low === high) return { scale: 1, zeroPoint: 0 };
  const scale = Math.fround(Math.max((high - low) / 255, MIN_SCALE));
  return { scale, zeroPoint: Math.min(255, Math.max(0, Math.round(-low / scale))) };
}

/** Largest magnitude of a weight's integer: 127, or 64 where the device adds pairs of u8 x s8 products in 16 bits. */
export const weightLimit = (reduceRange: boolean): number => (reduceRange ? 64 : 127);

/** Int32 biases are kept this far from the ends of their type. */
const BIAS_LIMIT = 2 ** 30;

/** A weight in signed 8 bits with one scale per output channel. */
export interface QuantizedWeight {
  values: Tensor;
  scales: Float32Array;
}

/**
 * Symmetric per-channel weight quantisation: scale = max|w| / limit on each index of `axis`. `bias` and `inputScale`
 * say what must still fit into int32 at the scale inputScale * weightScale; a channel with tiny weights and a large
 * bias (a dead channel, usually) gets the coarser scale that its bias needs.
 */
export function quantizeWeight(
  weight: Tensor,
  axis: number,
  o: { reduceRange?: boolean; bias?: ArrayLike<number>; inputScale?: number } = {},
): QuantizedWeight {
  const w = toNumbers(weight);
  const limit = weightLimit(o.reduceRange ?? false);
  const channels = weight.dims[axis];
  const inner = weight.dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const channelOf = (i: number): number => Math.floor(i / inner) % channels;
  const scales = new Float32Array(channels);
  for (let i = 0; i < w.length; i++) {
    if (!Number.isFinite(w[i])) throw new ModelError("weight-not-finite", `a weight is ${w[i]}`);
    const c = channelOf(i);
    scales[c] = Math.max(scales[c], Math.abs(w[i]) / limit);
  }
  for (let c = 0; c < channels; c++) {
    const needed = o.bias && o.inputScale ? Math.abs(o.bias[c]) / (o.inputScale * BIAS_LIMIT) : 0;
    scales[c] = Math.max(scales[c], needed, MIN_SCALE);
  }
  const data = new Int8Array(w.length);
  for (let i = 0; i < w.length; i++) {
    data[i] = Math.max(-limit, Math.min(limit, Math.round(w[i] / scales[channelOf(i)])));
  }
  return { values: { elemType: "int8", dims: weight.dims, data }, scales };
}

/** Bias in int32 at the scales inputScale * weightScales[c], with those scales. */
export function quantizeBias(
  bias: ArrayLike<number>,
  inputScale: number,
  weightScales: Float32Array,
): { values: Tensor; scales: Tensor } {
  const scales = weightScales.map((s) => s * inputScale);
  const data = Int32Array.from(bias as ArrayLike<number>, (v, c) => Math.round(v / scales[c]));
  return { values: { elemType: "int32", dims: [data.length], data }, scales: floats(scales) };
}
