/**
 * Sparse constants (SparseTensorProto, coordinate format): read as the dense tensors that they stand for, without taking
 * their memory before someone looks; written as the file had them while nobody changed them.
 */
import { ModelError } from "../graph/errors.js";
import { type StoredBytes, storedTensor } from "../graph/stored.js";
import { elemBytes, isNumeric, sizeOf, type Tensor } from "../graph/tensor.js";
import type { SparseTensorProto } from "./proto.js";
import { countOf, dimsOf, tensorFromProto } from "./tensorData.js";

/** Denser forms above this size are not made: such constants are carried as they are. */
const MAX_DENSE_BYTES = 2 ** 30;

const messages = new WeakMap<Tensor, SparseTensorProto>();

/**
 * The constant that a sparse message stands for. One of a type that edgefit does not compute with, or above 1 GiB when
 * dense, comes back as `other` and is only carried. Throws ModelError for indices that do not fit the dims.
 */
export function tensorFromSparse(p: SparseTensorProto, what: string): Tensor {
  const dims = dimsOf(p.dims, what);
  const count = countOf(dims, what);
  const values = p.values && tensorFromProto(p.values, `the values of ${what}`);
  const width = values && isNumeric(values.elemType) ? elemBytes(values.elemType) : 0;
  const carried: Tensor = { elemType: "other", dims, data: new Uint8Array(0) };
  const t =
    values && width > 0 && count * width <= MAX_DENSE_BYTES
      ? storedTensor(values.elemType, dims, denseBytes(values, positions(p, dims, values, what), count))
      : carried;
  messages.set(t, p);
  return t;
}

/** The sparse message behind a tensor that `tensorFromSparse` made; undefined for changed copies of it. */
export const sparseOf = (t: Tensor): SparseTensorProto | undefined => messages.get(t);

/** Row-major element number of each value, ascending. */
function positions(p: SparseTensorProto, dims: readonly number[], values: Tensor, what: string): Float64Array {
  const indices = p.indices && tensorFromProto(p.indices, `the indices of ${what}`);
  const count = values.data.length;
  const rank = indices?.dims.length === 2 ? indices.dims[1] : 1;
  if (
    !indices ||
    !(indices.data instanceof BigInt64Array) ||
    values.dims.length !== 1 ||
    indices.dims[0] !== count ||
    indices.dims.length > 2 ||
    (indices.dims.length === 2 && rank !== dims.length)
  )
    throw new ModelError(
      "tensor-data",
      `${what} holds ${count} sparse values whose indices do not match its dims [${dims.join(", ")}]`,
    );
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let at = 0;
    if (indices.dims.length === 1) at = inside(Number(indices.data[i]), sizeOf(dims), what);
    else for (let k = 0; k < rank; k++) at = at * dims[k] + inside(Number(indices.data[i * rank + k]), dims[k], what);
    if (i > 0 && at <= out[i - 1])
      throw new ModelError("tensor-data", `${what} holds sparse values out of order or twice at one place`);
    out[i] = at;
  }
  return out;
}

function inside(index: number, length: number, what: string): number {
  if (index >= 0 && index < length) return index;
  throw new ModelError("tensor-data", `${what} holds a sparse value at ${index}, beyond its ${length} elements`);
}

/** Zeros with the values at their places, made for whichever part is asked for. */
function denseBytes(values: Tensor, at: Float64Array, count: number): StoredBytes {
  const width = elemBytes(values.elemType);
  const data = values.data as Uint8Array;
  const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return {
    byteLength: count * width,
    read(offset, length) {
      const out = new Uint8Array(length);
      for (let i = firstFrom(at, Math.floor(offset / width)); i < at.length && at[i] * width < offset + length; i++)
        for (let b = 0; b < width; b++) {
          const place = at[i] * width + b - offset;
          if (place >= 0 && place < length) out[place] = source[i * width + b];
        }
      return out;
    },
  };
}

/** Index of the first of the ascending numbers that is not below `bound`. */
function firstFrom(ascending: Float64Array, bound: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle] < bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
