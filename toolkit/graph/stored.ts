/**
 * Constants whose elements are not in memory but in a file (or follow from fewer numbers): read when asked for, in pieces
 * where that is enough, and let go again. A stored tensor is an ordinary `Tensor` whose `data` loads itself.
 */
import { ModelError } from "./errors.js";
import { allocate, type ElemType, elemBytes, sizeOf, type Tensor, type TensorData } from "./tensor.js";

/** Little-endian bytes of a tensor, row-major, wherever they are. */
export interface StoredBytes {
  byteLength: number;
  /** The bytes from `offset` on. Throws ModelError when they cannot be had any more. */
  read(offset: number, length: number): Uint8Array;
}

const stores = new WeakMap<Tensor, StoredBytes>();

/** How many bytes are read at once where a tensor is copied or cut in pieces. */
export const PIECE_BYTES = 4 * 2 ** 20;

/**
 * A tensor over stored bytes. Its `data` is read whole on first use and again after the garbage collector took it, so
 * that a pass over all constants of a model needs the memory of the largest. Throws ModelError when the bytes do not fit
 * the dims, and on use when no memory holds them.
 */
export function storedTensor(
  elemType: ElemType,
  dims: readonly number[],
  bytes: StoredBytes,
  extras?: unknown,
): Tensor {
  if (bytes.byteLength !== sizeOf(dims) * elemBytes(elemType))
    throw new ModelError(
      "tensor-data",
      `a constant of dims [${dims.join(", ")}] needs ${sizeOf(dims) * elemBytes(elemType)} bytes, but ${bytes.byteLength} are stored`,
    );
  const t: Tensor = {
    elemType,
    dims,
    get data() {
      return recent.get(bytes) ?? remember(bytes, () => load(elemType, dims, bytes));
    },
    ...(extras === undefined ? {} : { extras }),
  };
  stores.set(t, bytes);
  return t;
}

type Numbers = Exclude<TensorData, string[]>;

/** What was loaded last, oldest first: up to 64 MiB together, or one larger tensor. References that are weak would last longer. */
const recent = new Map<StoredBytes, Numbers>();
const KEPT_BYTES = 2 ** 26;

function remember(bytes: StoredBytes, read: () => Numbers): Numbers {
  // Room is made first: two of the largest tensors are never held at once.
  let total = bytes.byteLength;
  for (const data of recent.values()) total += data.byteLength;
  for (const [key, data] of recent) {
    if (total <= KEPT_BYTES) break;
    recent.delete(key);
    total -= data.byteLength;
  }
  const data = read();
  recent.set(bytes, data);
  return data;
}

function load(elemType: ElemType, dims: readonly number[], bytes: StoredBytes): Numbers {
  let data: Numbers;
  try {
    data = allocate(elemType, sizeOf(dims));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ModelError(
      "too-large",
      `a constant of dims [${dims.join(", ")}] takes ${bytes.byteLength} bytes, more than can be held in memory at once`,
      { cause },
    );
  }
  const out = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (const { offset, piece } of piecesOf(bytes)) out.set(piece, offset);
  return data;
}

/** Where the bytes of a tensor are stored; undefined for one that is in memory. Copies made by spreading are in memory. */
export const storageOf = (t: Tensor): StoredBytes | undefined => stores.get(t);

/** All stored bytes, piece by piece. */
export function* piecesOf(bytes: StoredBytes): Generator<{ offset: number; piece: Uint8Array }> {
  for (let offset = 0; offset < bytes.byteLength; offset += PIECE_BYTES)
    yield { offset, piece: bytes.read(offset, Math.min(PIECE_BYTES, bytes.byteLength - offset)) };
}

/** Number of elements that are kept as numbers or strings, without loading them; 0 for constants that are only carried. */
export const elementCount = (t: Tensor): number => (stores.has(t) ? sizeOf(t.dims) : t.data.length);

/** Bytes that the numbers take, without loading them; 0 for strings and for constants that are only carried. */
export function byteLengthOf(t: Tensor): number {
  const stored = stores.get(t);
  if (stored) return stored.byteLength;
  return Array.isArray(t.data) ? 0 : t.data.byteLength;
}

/** The same stored elements under other dims of the same size; undefined for a tensor in memory. */
export function reshapeStored(t: Tensor, dims: readonly number[]): Tensor | undefined {
  const bytes = stores.get(t);
  return bytes && storedTensor(t.elemType, dims, bytes);
}

/** Positions `keep` (ascending) along one axis of a stored tensor, read in pieces later; undefined for a tensor in memory. */
export function takeStored(t: Tensor, axis: number, keep: ArrayLike<number>): Tensor | undefined {
  const source = stores.get(t);
  if (!source) return undefined;
  for (let k = 1; k < keep.length; k++) if (keep[k] <= keep[k - 1]) return undefined;
  const dims = t.dims.map((d, k) => (k === axis ? keep.length : d));
  const blockBytes = sizeOf(t.dims.slice(axis + 1)) * elemBytes(t.elemType);
  const byteLength = sizeOf(dims) * elemBytes(t.elemType);
  const read = (offset: number, length: number): Uint8Array =>
    readBlocks(source, { length: t.dims[axis], keep, blockBytes }, offset, length);
  return storedTensor(t.elemType, dims, { byteLength, read });
}

/** An axis of `length` blocks of which some are kept. */
interface KeptBlocks {
  length: number;
  keep: ArrayLike<number>;
  blockBytes: number;
}

/** The bytes `offset` .. `offset + length` of the kept blocks; neighbours on one axis are read together up to a piece. */
function readBlocks(source: StoredBytes, b: KeptBlocks, offset: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const block = Math.floor((offset + done) / b.blockBytes);
    const skipped = offset + done - block * b.blockBytes;
    const outer = Math.floor(block / b.keep.length);
    const first = block - outer * b.keep.length;
    const start = (outer * b.length + b.keep[first]) * b.blockBytes + skipped;
    let last = first;
    const wanted = (k: number): boolean => (k - first) * b.blockBytes - skipped < length - done;
    const spanTo = (k: number): number => (b.keep[k] + 1 - b.keep[first]) * b.blockBytes - skipped;
    while (last + 1 < b.keep.length && wanted(last + 1) && spanTo(last + 1) <= PIECE_BYTES) last++;
    if (last === first) {
      const n = Math.min(b.blockBytes - skipped, length - done);
      out.set(source.read(start, n), done);
      done += n;
      continue;
    }
    const span = source.read(start, spanTo(last));
    for (let k = first; k <= last && done < length; k++) {
      const from = k === first ? 0 : (b.keep[k] - b.keep[first]) * b.blockBytes - skipped;
      const n = Math.min(k === first ? b.blockBytes - skipped : b.blockBytes, length - done);
      out.set(span.subarray(from, from + n), done);
      done += n;
    }
  }
  return out;
}
