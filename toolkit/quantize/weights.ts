/** Weights in signed 8 bits: which scale, and which integers. Symmetric always, so that no kernel has to subtract. */
import { ModelError } from "../graph/errors.js";
import { type Tensor, toNumbers } from "../graph/tensor.js";
import { MIN_SCALE, scaleForBias } from "./affine.js";

/** Largest magnitude of a weight's integer: 127, or 64 where the device adds pairs of u8 x s8 products in 16 bits. */
export const weightLimit = (reduceRange: boolean): number => (reduceRange ? 64 : 127);

/** Scales of one weight: one per index of `axis`, or a single one where `axis` is null. */
export interface WeightGrid {
  scale: Float32Array;
  axis: number | null;
  bits: 8 | 7;
}

export interface WeightOptions {
  /** 7-bit weights; see `weightLimit`. Default false. */
  reduceRange?: boolean;
  /** One scale for the whole weight. Default false. */
  perTensor?: boolean;
  /** `max`: the largest weight keeps its place. `mse`: least squared rounding error, clipping what costs less than it saves. Default `max`. */
  scales?: "max" | "mse";
  /** What must still fit into int32 at the scale inputScale * weightScale, one number per output channel. */
  bias?: ArrayLike<number>;
  inputScale?: number;
}

/** A weight in signed 8 bits with its scales. */
export interface QuantizedWeight {
  values: Tensor;
  scales: Float32Array;
}

/** Index of the scale of element `i`. */
export function scaleIndex(dims: readonly number[], axis: number | null): (i: number) => number {
  if (axis === null) return () => 0;
  const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  return (i) => Math.floor(i / inner) % dims[axis];
}

/**
 * Symmetric scales, max|w| / limit on each index of `axis`. A channel with tiny weights and a large bias (a dead channel,
 * usually) gets the coarser scale that its bias needs. Throws ModelError `weight-not-finite`.
 */
export function weightGrid(weight: Tensor, axis: number, o: WeightOptions = {}): WeightGrid {
  const w = toNumbers(weight);
  const limit = weightLimit(o.reduceRange ?? false);
  const along = o.perTensor ? null : axis;
  const of = scaleIndex(weight.dims, along);
  const scale = new Float32Array(along === null ? 1 : weight.dims[along]);
  for (let i = 0; i < w.length; i++) {
    if (!Number.isFinite(w[i])) throw new ModelError("weight-not-finite", `a weight is ${w[i]}`);
    const c = of(i);
    scale[c] = Math.max(scale[c], Math.abs(w[i]) / limit);
  }
  if (o.scales === "mse") leastSquaresScales(w, of, scale, limit);
  const { bias, inputScale } = o;
  if (bias && inputScale) {
    for (let c = 0; c < bias.length; c++) {
      const k = along === null ? 0 : c;
      scale[k] = Math.max(scale[k], scaleForBias(bias[c], inputScale));
    }
  }
  for (let c = 0; c < scale.length; c++) scale[c] = Math.max(scale[c], MIN_SCALE);
  return { scale, axis: along, bits: o.reduceRange ? 7 : 8 };
}

/** Narrower scales that are tried, as shares of the largest weight's. */
const SHARES = Array.from({ length: 20 }, (_, i) => 1 - 0.02 * i);

/** Replaces each scale by the share of it with the least squared error of rounding and clipping. */
function leastSquaresScales(w: ArrayLike<number>, of: (i: number) => number, scale: Float32Array, limit: number): void {
  const least = new Float64Array(scale.length).fill(Number.POSITIVE_INFINITY);
  const best = Float32Array.from(scale);
  for (const share of SHARES) {
    const errors = new Float64Array(scale.length);
    for (let i = 0; i < w.length; i++) {
      const c = of(i);
      const s = Math.fround(scale[c] * share);
      if (s === 0) continue;
      const e = w[i] - s * Math.max(-limit, Math.min(limit, Math.round(w[i] / s)));
      errors[c] += e * e;
    }
    for (let c = 0; c < scale.length; c++) {
      if (errors[c] >= least[c]) continue;
      least[c] = errors[c];
      best[c] = scale[c] * share;
    }
  }
  scale.set(best);
}

/** The nearest integers on a grid, or `rounded` where another method chose them. */
export function roundToGrid(weight: Tensor, grid: WeightGrid, rounded?: Int8Array): Tensor {
  if (rounded) {
    if (rounded.length !== weight.data.length) {
      throw new RangeError(`${rounded.length} rounded weights were given for ${weight.data.length}`);
    }
    return { elemType: "int8", dims: weight.dims, data: rounded };
  }
  const w = toNumbers(weight);
  const limit = weightLimit(grid.bits === 7);
  const of = scaleIndex(weight.dims, grid.axis);
  const data = new Int8Array(w.length);
  for (let i = 0; i < w.length; i++) {
    data[i] = Math.max(-limit, Math.min(limit, Math.round(w[i] / grid.scale[of(i)])));
  }
  return { elemType: "int8", dims: weight.dims, data };
}

/** What the integers stand for. */
export function dequantized(values: Tensor, grid: WeightGrid): Float32Array {
  const of = scaleIndex(values.dims, grid.axis);
  return Float32Array.from(values.data as Int8Array, (v, i) => v * grid.scale[of(i)]);
}

/** Scales and nearest integers in one go. */
export function quantizeWeight(weight: Tensor, axis: number, o: WeightOptions = {}): QuantizedWeight {
  const grid = weightGrid(weight, axis, o);
  return { values: roundToGrid(weight, grid), scales: grid.scale };
}
