/** Constant tensors as plain values, and exact views of them as numbers. */
import { ModelError } from "./errors.js";

/** ONNX element types by their usual names (onnx.proto, TensorProto.DataType). */
export type ElemType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint8"
  | "uint16"
  | "uint32"
  | "uint64"
  | "bool"
  | "string"
  | CarriedType
  | "other";

/** Types that have a name and are carried from file to file, but that no pass computes with. */
export type CarriedType =
  | "float8e4m3fn"
  | "float8e4m3fnuz"
  | "float8e5m2"
  | "float8e5m2fnuz"
  | "float8e8m0"
  | "float4e2m1"
  | "int4"
  | "uint4"
  | "int2"
  | "uint2"
  | "complex64"
  | "complex128";

/** float16 and bfloat16 hold their raw bits; bool holds 0 or 1. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array
  | string[];

/**
 * A dense constant in row-major order. `data.length` equals the product of `dims`. Carried types, and `other` (sparse
 * constants), have empty data: such constants go from file to file and are read by no pass.
 */
export interface Tensor {
  elemType: ElemType;
  dims: readonly number[];
  data: TensorData;
  /** Whatever the file format carried beside it; opaque to everyone but `onnx/`. */
  extras?: unknown;
}

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

/** Whether elements of this type are kept as numbers in typed arrays: not so for strings, carried types and `other`. */
export const isNumeric = (t: ElemType): t is keyof typeof constructors => Object.hasOwn(constructors, t);

/** Whether constants of this type have their data in `extras` alone. */
export const isOpaque = (t: ElemType): t is CarriedType | "other" => t !== "string" && !isNumeric(t);

/** Bytes of one element; 0 for types without typed-array storage. */
export function elemBytes(t: ElemType): number {
  return isNumeric(t) ? constructors[t].BYTES_PER_ELEMENT : 0;
}

/** A zero-filled typed array for `length` elements of type `t`. Throws ModelError for types without numeric storage. */
export function allocate(t: ElemType, length: number): Exclude<TensorData, string[]> {
  if (!isNumeric(t)) throw new ModelError("elem-type", `tensors of type ${t} have no numeric storage`);
  return new constructors[t](length);
}

/** Number of elements of a shape; 1 for a scalar. */
export function sizeOf(dims: readonly number[]): number {
  let n = 1;
  for (const d of dims) n *= d;
  return n;
}

/** float32 tensor from numbers; `dims` defaults to a vector. */
export function floats(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor {
  return { elemType: "float32", dims, data: values instanceof Float32Array ? values : Float32Array.from(values) };
}

/** int64 tensor from numbers; `dims` defaults to a vector. */
export function ints(values: ArrayLike<number>, dims: readonly number[] = [values.length]): Tensor {
  return { elemType: "int64", dims, data: BigInt64Array.from(Array.from(values), toInt64) };
}

/** float32 scalar. */
export const scalar = (v: number): Tensor => floats([v], []);

const INT64_MAX = 9223372036854775807n;
const INT64_MIN = -9223372036854775808n;

/** Nearest int64; values beyond the range saturate, so that ONNX's INT64_MAX ("to the end") survives a trip through number. */
export function toInt64(v: number): bigint {
  if (v >= 2 ** 63) return INT64_MAX;
  if (v <= -(2 ** 63)) return INT64_MIN;
  return BigInt(Math.trunc(v));
}

/** IEEE 754 binary16. */
function halfToNumber(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const fraction = h & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const scratch = new DataView(new ArrayBuffer(4));

/** The elements as JavaScript numbers in a Float64Array (int64 beyond 2^53 loses precision). Throws for strings. */
export function toNumbers(t: Tensor): Float64Array {
  const { data } = t;
  if (Array.isArray(data)) throw new ModelError("elem-type", "a string tensor cannot be read as numbers");
  if (isOpaque(t.elemType))
    throw new ModelError(
      "elem-type",
      t.elemType === "other"
        ? "a sparse constant cannot be read as numbers"
        : `a constant of type ${t.elemType} cannot be read as numbers`,
    );
  if (t.elemType === "float16") return Float64Array.from(data as Uint16Array, halfToNumber);
  if (t.elemType === "bfloat16") {
    return Float64Array.from(data as Uint16Array, (b) => {
      scratch.setUint32(0, b << 16);
      return scratch.getFloat32(0);
    });
  }
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const out = new Float64Array(data.length);
    for (let i = 0; i < out.length; i++) out[i] = Number(data[i]);
    return out;
  }
  return Float64Array.from(data as Float32Array);
}

/** The elements as a plain array of numbers: for shapes, axes, pads and other short vectors. */
export const toNumberArray = (t: Tensor): number[] => Array.from(toNumbers(t));

/** The elements as Float32Array; shares memory when the tensor is already float32. */
export function toFloat32(t: Tensor): Float32Array {
  return t.data instanceof Float32Array ? t.data : Float32Array.from(toNumbers(t));
}

/** Tensor of type `elemType` from numbers, rounding to nearest where the type is an integer. Not for strings. */
export function fromNumbers(elemType: ElemType, values: ArrayLike<number>, dims: readonly number[]): Tensor {
  const data = allocate(elemType, values.length);
  if (elemType === "float16" || elemType === "bfloat16") {
    for (let i = 0; i < values.length; i++)
      data[i] = elemType === "float16" ? numberToHalf(values[i]) : numberToBfloat(values[i]);
  } else if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let i = 0; i < values.length; i++) data[i] = toInt64(Math.round(values[i]));
  } else if (data instanceof Float32Array || data instanceof Float64Array) {
    data.set(values);
  } else {
    for (let i = 0; i < values.length; i++) data[i] = Math.round(values[i]);
  }
  return { elemType, dims, data };
}

function numberToBfloat(v: number): number {
  if (Number.isNaN(v)) return 0x7fc0;
  scratch.setFloat32(0, v);
  const bits = scratch.getUint32(0);
  const rest = bits & 0xffff;
  // Rounding twice would go astray where float32 lands on the tie that v itself only comes near.
  const beyond = rest === 0x8000 ? Math.sign(Math.abs(v) - Math.abs(Math.fround(v))) : 0;
  const up = rest > 0x8000 || (rest === 0x8000 && (beyond > 0 || (beyond === 0 && ((bits >>> 16) & 1) === 1)));
  return ((bits >>> 16) + (up ? 1 : 0)) & 0xffff;
}

function numberToHalf(v: number): number {
  if (Number.isNaN(v)) return 0x7e00;
  const sign = v < 0 || Object.is(v, -0) ? 0x8000 : 0;
  const a = Math.abs(v);
  if (a >= 65520) return sign | 0x7c00;
  const exponent = a < 2 ** -14 ? -14 : Math.floor(Math.log2(a));
  const quantum = 2 ** (exponent - 10);
  let n = a / quantum;
  const low = Math.floor(n);
  n = n - low > 0.5 || (n - low === 0.5 && low % 2 === 1) ? low + 1 : low;
  // n is the significand in units of quantum; a carry into the next binade falls out of the addition.
  return sign | (a < 2 ** -14 ? n : ((exponent + 15) << 10) + (n - 1024));
}
