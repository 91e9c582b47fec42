/**
 * Movement of elements as index lists: a movement operator is a function from a shape to "which input element goes
 * where". The same list moves weights, shape vectors and channel ids.
 */
import { ModelError } from "../graph/errors.js";
import { reshapeStored, takeStored } from "../graph/stored.js";
import { sizeOf, type Tensor, type TensorData } from "../graph/tensor.js";

/** Result shape, and for each output element (row-major) the input element it comes from, -1 for filled ones. */
export interface Movement {
  dims: readonly number[];
  from: Int32Array;
}

/** Lists of more elements than this are not made: what would need one is told so and lives without. */
const MAX_MOVED = 2 ** 26;

/** Throws ModelError `too-many-elements` where a list of `size` elements would be too long to make. */
export function checkListed(size: number): void {
  if (!(size <= MAX_MOVED))
    throw new ModelError("too-many-elements", `${size} elements are more than edgefit follows one by one`);
}

/** Row-major strides, in elements. */
export function stridesOf(dims: readonly number[]): number[] {
  const out = new Array<number>(dims.length);
  let step = 1;
  for (let k = dims.length - 1; k >= 0; k--) {
    out[k] = step;
    step *= dims[k];
  }
  return out;
}

/**
 * Element (i0, i1, …) of the result comes from `offset + Σ steps[k]·ik`. Transposes, slices, broadcasts and tilings are
 * all of this form, axis by axis.
 */
export function strided(dims: readonly number[], steps: readonly number[], offset = 0): Movement {
  const size = sizeOf(dims);
  checkListed(size);
  const from = new Int32Array(size);
  const index = new Array<number>(dims.length).fill(0);
  let at = offset;
  for (let i = 0; i < size; i++) {
    from[i] = at;
    for (let k = dims.length - 1; k >= 0; k--) {
      at += steps[k];
      if (++index[k] < dims[k]) break;
      at -= steps[k] * dims[k];
      index[k] = 0;
    }
  }
  return { dims, from };
}

/** Per axis, the input coordinate of every output coordinate (-1: filled). */
export function perAxis(dims: readonly number[], coordinates: readonly ArrayLike<number>[]): Movement {
  const strides = stridesOf(dims);
  const out = coordinates.map((c) => c.length);
  const size = sizeOf(out);
  checkListed(size);
  const from = new Int32Array(size);
  const index = new Array<number>(out.length).fill(0);
  for (let i = 0; i < size; i++) {
    let at = 0;
    for (let k = 0; k < out.length; k++) {
      const v = coordinates[k][index[k]];
      if (v < 0) {
        at = -1;
        break;
      }
      at += v * strides[k];
    }
    from[i] = at;
    for (let k = out.length - 1; k >= 0; k--) {
      if (++index[k] < out[k]) break;
      index[k] = 0;
    }
  }
  return { dims: out, from };
}

/** 0, 1, … n-1. */
export function upTo(n: number): Int32Array {
  checkListed(n);
  return Int32Array.from({ length: n }, (_, i) => i);
}

/** Reordering of axes. */
export function transpose(dims: readonly number[], perm: readonly number[]): Movement {
  const strides = stridesOf(dims);
  return strided(
    perm.map((p) => dims[p]),
    perm.map((p) => strides[p]),
  );
}

/** Broadcast to `to`, which must be compatible. */
export function broadcastTo(dims: readonly number[], to: readonly number[]): Movement {
  const strides = stridesOf(dims);
  const lead = to.length - dims.length;
  return strided(
    to,
    to.map((d, k) => (k < lead || (dims[k - lead] === 1 && d !== 1) ? 0 : strides[k - lead])),
  );
}

/** The tensor's elements in a new arrangement; filled places read `fill` (default zero). */
export function move(t: Tensor, m: Movement, fill: number | bigint = 0): Tensor {
  const { from, dims } = m;
  if (Array.isArray(t.data)) {
    const source = t.data;
    return { elemType: t.elemType, dims, data: Array.from(from, (i) => (i < 0 ? "" : source[i])) };
  }
  const source = t.data as Float32Array;
  const data = new (t.data.constructor as new (n: number) => Float32Array)(from.length);
  const filler = (
    t.data instanceof BigInt64Array || t.data instanceof BigUint64Array ? BigInt(fill) : Number(fill)
  ) as number;
  for (let i = 0; i < from.length; i++) data[i] = from[i] < 0 ? filler : source[from[i]];
  return { elemType: t.elemType, dims, data: data as TensorData };
}

/** The same elements under another shape. */
export const withDims = (t: Tensor, dims: readonly number[]): Tensor => reshapeStored(t, dims) ?? { ...t, dims };

/** Positions `keep` along one axis. */
export function takeAxis(t: Tensor, axis: number, keep: ArrayLike<number>): Tensor {
  const stored = takeStored(t, axis, keep);
  if (stored) return stored;
  const dims = t.dims.map((d, k) => (k === axis ? keep.length : d));
  if (Array.isArray(t.data)) {
    const coordinates = t.dims.map((d, k) => (k === axis ? keep : upTo(d)));
    return move(t, perAxis(t.dims, coordinates));
  }
  const source = t.data as Float32Array;
  const outer = sizeOf(t.dims.slice(0, axis));
  const inner = sizeOf(t.dims.slice(axis + 1));
  const data = new (source.constructor as new (n: number) => Float32Array)(sizeOf(dims));
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (let k = 0; k < keep.length; k++) {
      const from = (o * t.dims[axis] + keep[k]) * inner;
      // A view costs more than a few elements do.
      if (inner < SHORT_RUN) for (let i = 0; i < inner; i++) data[at + i] = source[from + i];
      else data.set(source.subarray(from, from + inner), at);
      at += inner;
    }
  }
  return { elemType: t.elemType, dims, data: data as TensorData };
}

/** Elements below which they are copied one by one. */
const SHORT_RUN = 32;

/** Tensors of one element type, one after the other along an axis. */
export function concatenate(parts: readonly Tensor[], axis: number): Tensor {
  const other = parts.find((p) => p.elemType !== parts[0].elemType);
  if (other)
    throw new ModelError("elem-type", `tensors of types ${parts[0].elemType} and ${other.elemType} cannot be joined`);
  const dims = parts[0].dims.map((d, k) => (k === axis ? parts.reduce((s, p) => s + p.dims[k], 0) : d));
  const outer = sizeOf(dims.slice(0, axis));
  const inner = sizeOf(dims.slice(axis + 1));
  if (Array.isArray(parts[0].data)) {
    const data: string[] = [];
    for (let o = 0; o < outer; o++) {
      for (const p of parts)
        data.push(...(p.data as string[]).slice(o * p.dims[axis] * inner, (o + 1) * p.dims[axis] * inner));
    }
    return { elemType: parts[0].elemType, dims, data };
  }
  const data = new (parts[0].data.constructor as new (n: number) => Float32Array)(sizeOf(dims));
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (const p of parts) {
      const run = p.dims[axis] * inner;
      data.set((p.data as Float32Array).subarray(o * run, (o + 1) * run), at);
      at += run;
    }
  }
  return { elemType: parts[0].elemType, dims, data: data as TensorData };
}
