/** Random flips and shifts of preprocessed batches, [n, channels, height, width]. */

import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Batch } from "../data/dataset.js";
import { ModelError } from "../graph/errors.js";

export interface AugmentOptions {
  /** Mirrors every image left to right with probability one half. Default false. */
  flip?: boolean;
  /** Shifts by up to this many pixels in both directions: a random crop of the padded image. Default 0. */
  cropPadding?: number;
  /** What shifted-in pixels hold, per channel: a black pixel after preprocessing, (0 - mean) / std. Default 0. */
  padValue?: readonly number[];
}

/** A batch of new pixels; the given one is left alone. Throws ModelError when it is not made of images in NCHW. */
export function augmentBatch(batch: Batch, o: AugmentOptions, random: RandomGenerator): Batch {
  const { flip = false, cropPadding = 0 } = o;
  if (!flip && cropPadding === 0) return batch;
  if (batch.dims.length !== 4) {
    throw new ModelError(
      "augment-dims",
      `flips and crops need images in NCHW, got a batch of shape [${batch.dims.join(", ")}]`,
      {
        hint: "train without augmentation",
      },
    );
  }
  const [n, channels, height, width] = batch.dims;
  const plane = height * width;
  const data = new Float32Array(batch.data.length);
  for (let i = 0; i < n; i++) {
    const mirrored = flip && uniformInt(random, 0, 1) === 1;
    const down = cropPadding > 0 ? uniformInt(random, -cropPadding, cropPadding) : 0;
    const right = cropPadding > 0 ? uniformInt(random, -cropPadding, cropPadding) : 0;
    for (let c = 0; c < channels; c++) {
      const start = (i * channels + c) * plane;
      const fill = o.padValue?.[c] ?? 0;
      for (let y = 0; y < height; y++) {
        const from = y - down;
        const row = start + y * width;
        if (from < 0 || from >= height) {
          data.fill(fill, row, row + width);
          continue;
        }
        const source = start + from * width;
        for (let x = 0; x < width; x++) {
          const column = (mirrored ? width - 1 - x : x) - right;
          data[row + x] = column < 0 || column >= width ? fill : batch.data[source + column];
        }
      }
    }
  }
  return { ...batch, data };
}
