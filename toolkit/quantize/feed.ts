/** Batches of images as feeds of a graph. */
import { ModelError } from "../graph/errors.js";
import { feedsOf, type Graph } from "../graph/graph.js";
import { floats, sizeOf, type Tensor } from "../graph/tensor.js";
import type { RangeMethod } from "./observer.js";

/** Preprocessed images, `dims` = [n, ...image dims]; what `data/` calls a Batch. */
export interface ImageBatch {
  data: Float32Array;
  dims: readonly number[];
}

/** One call of the graph. */
export interface Feed {
  feeds: Record<string, Tensor>;
  images: number;
}

export const DEFAULT_METHOD: RangeMethod = { kind: "mse" };

/** Images per call where the graph leaves the batch open: bounds the memory of intermediate values. */
export const CHUNK = 32;

/**
 * Cuts a batch into calls: by the graph's own batch size where that is fixed, else by at most 32 images, or `most` if less. Throws ModelError
 * when the graph has not exactly one input, or the number of images does not fit a fixed batch.
 */
export function feedsOfBatch(g: Graph, batch: ImageBatch, most = CHUNK): Feed[] {
  const inputs = feedsOf(g);
  if (inputs.length !== 1) {
    throw new ModelError("inputs", `the model has ${inputs.length} inputs; calibration feeds images to exactly one`, {
      where: inputs.map((v) => v.name).join(", "),
    });
  }
  const [{ name, type }] = inputs;
  const fixed = typeof type.dims?.[0] === "number" ? type.dims[0] : undefined;
  const [count, ...item] = batch.dims;
  const step = fixed ?? Math.min(CHUNK, most, count);
  if (count % step !== 0 && fixed !== undefined) {
    throw new ModelError("batch-size", `the model takes ${fixed} images at a time and was given ${count}`, {
      where: name,
    });
  }
  const size = sizeOf(item);
  const out: Feed[] = [];
  for (let first = 0; first < count; first += step) {
    const images = Math.min(step, count - first);
    const data = batch.data.subarray(first * size, (first + images) * size);
    out.push({ feeds: { [name]: floats(data, [images, ...item]) }, images });
  }
  return out;
}
