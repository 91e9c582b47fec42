/** A `Split` over decoded images, and the bounded queue that decodes them. */
import type { Batch, Preprocessing, Split } from "./dataset.js";
import { DataError } from "./errors.js";
import { itemDims, writePixels } from "./pixels.js";

/** Decodes in flight at once: enough to fill the decoder's own threads, few enough to bound memory. */
const PARALLEL_DECODES = 4;

/** `f` over all items with at most `PARALLEL_DECODES` running; results keep the order of the items. The first rejection stops it. */
export async function mapBounded<T, R>(items: readonly T[], f: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const out = new Array<R>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const i = next++;
      out[i] = await f(items[i], i);
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL_DECODES, items.length) }, worker));
  return out;
}

/** The items that are asked for. Throws DataError `item-index` for one that a split of `count` items does not have. */
export function checkedItems(indices: ArrayLike<number>, count: number): number[] {
  const wanted = Array.from(indices);
  const wrong = wanted.find((i) => !Number.isInteger(i) || i < 0 || i >= count);
  if (wrong === undefined) return wanted;
  throw new DataError("item-index", `item ${wrong} does not exist: the split has ${count} items`);
}

/** A split whose items are made one by one, each written into the batch at its place. */
export function makeSplit(o: {
  count: number;
  dims: readonly number[];
  labels?: Int32Array;
  /** Numbers that the outputs should have, the same count for every item. */
  targets?: Float32Array;
  write: (item: number, out: Float32Array, offset: number) => Promise<void> | void;
}): Split {
  const size = o.dims.reduce((a, b) => a * b, 1);
  return {
    count: o.count,
    labelled: o.labels !== undefined,
    async batch(indices): Promise<Batch> {
      const wanted = checkedItems(indices, o.count);
      const data = new Float32Array(wanted.length * size);
      await mapBounded(wanted, async (item, row) => o.write(item, data, row * size));
      const batch: Batch = { data, dims: [wanted.length, ...o.dims] };
      if (o.labels) batch.labels = Int32Array.from(wanted, (i) => o.labels![i]);
      if (o.targets) {
        const each = o.targets.length / o.count;
        const y = new Float32Array(wanted.length * each);
        wanted.forEach((item, row) => {
          y.set(o.targets!.subarray(item * each, (item + 1) * each), row * each);
        });
        batch.targets = { y };
      }
      return batch;
    },
  };
}

/** A split over images given as RGB bytes of the model's size. */
export function imageSplit(
  count: number,
  pixels: (item: number) => Promise<Uint8Array> | Uint8Array,
  p: Preprocessing,
  labels?: Int32Array,
  targets?: Float32Array,
): Split {
  return makeSplit({
    count,
    dims: itemDims(p),
    ...(labels ? { labels } : {}),
    ...(targets ? { targets } : {}),
    write: async (item, out, offset) => writePixels(await pixels(item), p, out, offset),
  });
}
