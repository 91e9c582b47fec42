/** The larger parts of jobs as blobs: nets as ONNX files, images in chunks. Only hashes and numbers stay in the payload. */
import { z } from "zod";
import { type BlobStore, hashSchema } from "../../runners/fleet/blobs.js";
import { decodeMessage, encodeMessage } from "../../runners/wire.js";
import { type Batch, checkedItems, type Split } from "../data/index.js";
import { EdgefitError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { tidy } from "../graph/tidy.js";
import { readModel, writeModel } from "../onnx/index.js";
import { inferShapes } from "../ops/infer.js";

export const storeNet = (blobs: BlobStore, net: Graph): Promise<string> => blobs.put(writeModel(net));

/** The net again, with its shapes. Throws ModelError where the bytes are no model. */
export async function fetchNet(blobs: BlobStore, hash: string): Promise<Graph> {
  return inferShapes(tidy(readModel(await blobs.get(hash), { where: `model ${hash.slice(0, 12)}` })));
}

/** Images of a split, in order: so many per chunk, the last one shorter. */
export const splitSchema = z.strictObject({
  count: z.number().int().nonnegative(),
  labelled: z.boolean(),
  perChunk: z.number().int().positive(),
  chunks: z.array(hashSchema).max(100_000),
});
export type StoredSplit = z.infer<typeof splitSchema>;

/** About this many bytes per chunk: large enough for few requests, small enough that one image does not fetch many. */
const CHUNK_BYTES = 4 * 2 ** 20;
/** Chunks that a fetched split keeps in memory. */
const KEPT_BYTES = 1024 * 2 ** 20;

/** Stores every image of a split as it is fed to the net. The same images give the same hashes, so they are sent once. */
export async function storeSplit(blobs: BlobStore, split: Split): Promise<StoredSplit> {
  if (split.count === 0) return { count: 0, labelled: split.labelled, perChunk: 1, chunks: [] };
  const { data } = await split.batch([0]);
  const perChunk = Math.max(1, Math.floor(CHUNK_BYTES / data.byteLength));
  const chunks: string[] = [];
  for (let from = 0; from < split.count; from += perChunk) {
    const size = Math.min(perChunk, split.count - from);
    const batch = await split.batch(Array.from({ length: size }, (_, i) => from + i));
    chunks.push(await blobs.put(encodeMessage(batch)));
  }
  return { count: split.count, labelled: split.labelled, perChunk, chunks };
}

const batchSchema = z.object({
  data: z.instanceof(Float32Array),
  dims: z.array(z.number().int().positive()).min(2),
  labels: z.instanceof(Int32Array).optional(),
  targets: z.record(z.string(), z.instanceof(Float32Array)).optional(),
});

/** A split whose chunks are fetched when they are needed, and kept while there is room. */
export function fetchSplit(blobs: BlobStore, stored: StoredSplit): Split {
  const kept = new Map<number, Promise<Batch>>();
  const fetch = (index: number): Promise<Batch> => {
    const known = kept.get(index);
    if (known) return known;
    const chunk = blobs.get(stored.chunks[index]).then((bytes) => batchSchema.parse(decodeMessage(bytes)) as Batch);
    kept.set(index, chunk);
    chunk.catch(() => kept.delete(index));
    if (kept.size * CHUNK_BYTES > KEPT_BYTES) kept.delete(kept.keys().next().value!);
    return chunk;
  };
  return {
    count: stored.count,
    labelled: stored.labelled,
    async batch(indices) {
      const wanted = checkedItems(indices, stored.count);
      const chunks = new Map<number, Batch>();
      for (const i of new Set(wanted.map((w) => Math.floor(w / stored.perChunk)))) chunks.set(i, await fetch(i));
      return gather(wanted.map((w) => [chunks.get(Math.floor(w / stored.perChunk))!, w % stored.perChunk]));
    },
  };
}

/** Rows of several batches as one. */
function gather(rows: readonly (readonly [Batch, number])[]): Batch {
  const [first] = rows[0] ?? [];
  if (!first) throw new EdgefitError("item-index", "a batch needs at least one item");
  const { dims, labels, targets } = first;
  const collect = <T extends Float32Array | Int32Array>(of: (b: Batch) => T, out: (n: number) => T): T => {
    const each = of(first).length / first.dims[0];
    const all = out(rows.length * each);
    for (const [i, [batch, row]] of rows.entries()) all.set(of(batch).subarray(row * each, (row + 1) * each), i * each);
    return all;
  };
  const floats = (n: number): Float32Array => new Float32Array(n);
  return {
    data: collect((b) => b.data, floats),
    dims: [rows.length, ...dims.slice(1)],
    ...(labels
      ? {
          labels: collect(
            (b) => b.labels!,
            (n) => new Int32Array(n),
          ),
        }
      : {}),
    ...(targets
      ? {
          targets: Object.fromEntries(
            Object.keys(targets).map((name) => [name, collect((b) => b.targets![name], floats)]),
          ),
        }
      : {}),
  };
}
