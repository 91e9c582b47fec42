/** The arithmetic of affine quantisation: q = clamp(round(x / scale) + zeroPoint). Knows tensors, not graphs. */
import { ModelError } from "../graph/errors.js";
import { allocate, type Tensor } from "../graph/tensor.js";
import { type IntegerType, integerTypes } from "./integers.js";

/** Interval of real values that the integer grid covers; always holds 0, so that padding and ReLU's zero are exact. */
export interface QuantRange {
  low: number;
  high: number;
}

/** Parameters of an activation. */
export interface ActivationGrid {
  scale: number;
  zeroPoint: number;
  type: IntegerType;
}

export interface GridOptions {
  /** Default `uint8`. */
  type?: IntegerType;
  /** Zero in the middle of the grid; at its lower end where an unsigned grid covers no negative value. Default false. */
  symmetric?: boolean;
}

/** Smallest scale that is written: below it products of two scales leave float32's normal range. */
export const MIN_SCALE = 1e-12;

/** The range widened to hold 0; an all-zero one gets the scale 1, which represents it exactly. Throws ModelError `range`. */
export function activationGrid(r: QuantRange, o: GridOptions = {}): ActivationGrid {
  if (!Number.isFinite(r.low) || !Number.isFinite(r.high) || r.low > r.high) {
    throw new ModelError("range", `[${r.low}, ${r.high}] is not a range that can be quantised`);
  }
  const type = o.type ?? "uint8";
  const { lowest, highest, middle } = integerTypes[type];
  const low = Math.min(r.low, 0);
  const high = Math.max(r.high, 0);
  const oneSided = low === 0 && lowest === 0;
  if (o.symmetric && !oneSided) {
    const largest = Math.max(-low, high);
    const scale = largest === 0 ? 1 : Math.fround(Math.max(largest / (highest - middle), MIN_SCALE));
    return { scale, zeroPoint: middle, type };
  }
  if (low === high) return { scale: 1, zeroPoint: lowest, type };
  const scale = Math.fround(Math.max((high - low) / (highest - lowest), MIN_SCALE));
  return { scale, zeroPoint: Math.min(highest, Math.max(lowest, lowest + Math.round(-low / scale))), type };
}

/** The integer that stands for `value`. */
export function codeOf(value: number, { scale, zeroPoint, type }: ActivationGrid): number {
  const { lowest, highest } = integerTypes[type];
  return Math.max(lowest, Math.min(highest, Math.round(value / scale) + zeroPoint));
}

/** The integers that stand for `values`, as a tensor. */
export function encode(values: ArrayLike<number>, dims: readonly number[], grid: ActivationGrid): Tensor {
  const data = allocate(grid.type, values.length);
  for (let i = 0; i < values.length; i++) data[i] = codeOf(values[i], grid);
  return { elemType: grid.type, dims, data };
}

/** Int32 biases are kept this far from the ends of their type. */
const BIAS_LIMIT = 2 ** 30;

/** Smallest weight scale at which a bias still fits into int32. */
export const scaleForBias = (bias: number, inputScale: number): number => Math.abs(bias) / (inputScale * BIAS_LIMIT);

/** Bias in int32 at the scales inputScale * weightScales[c] (one for all, or one per channel), with those scales. */
export function quantizeBias(
  bias: ArrayLike<number>,
  inputScale: number,
  weightScales: Float32Array,
): { values: Tensor; scales: Tensor } {
  const scales = Float32Array.from(bias, (_, c) => weightScales[weightScales.length === 1 ? 0 : c] * inputScale);
  const data = Int32Array.from(bias as ArrayLike<number>, (v, c) => Math.round(v / scales[c]));
  return {
    values: { elemType: "int32", dims: [data.length], data },
    scales: { elemType: "float32", dims: [scales.length], data: scales },
  };
}
