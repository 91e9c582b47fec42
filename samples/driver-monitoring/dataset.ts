/** The procedural eye-state data set: closed and open eyes with exact labels, rendered when first needed. */
import type { Batch, Dataset, Preprocessing, Split } from "../../toolkit/data/dataset.js";
import { DataError } from "../../toolkit/data/errors.js";
import { itemDims, writePixels } from "../../toolkit/data/pixels.js";
import { type Progress, throwIfAborted } from "../../toolkit/graph/progress.js";
import { CROP_SIDE, type EyeAppearance, eyeState } from "./appearance.js";
import { cachedCrops, defaultCropCache } from "./cropCache.js";
import { drawAppearance } from "./population.js";
import { CROP_BYTES } from "./render.js";

/** Class names by label. */
export const eyeStateClasses = ["closed", "open"] as const;

/** Seed of the published figures. */
export const EYE_STATE_SEED = 1;

/** Pixels to the model's input: what preprocessor_config.json beside the model says. */
export const eyePreprocessing: Preprocessing = {
  size: { height: CROP_SIDE, width: CROP_SIDE },
  rescaleFactor: 1 / 255,
  imageMean: [0.5, 0.5, 0.5],
  imageStd: [0.5, 0.5, 0.5],
  channelOrder: "rgb",
  layout: "nchw",
  resample: "bilinear",
  fit: "stretch",
};

/** Stream families: no eye of one split can be an eye of the other. */
const families = { train: 0, test: 1 } as const;
/** The training part holds more of what is hard to learn; the test part is the population as it is. */
const mixes = { train: { boundary: 0.4, sunglasses: 0.2 }, test: { boundary: 0.25, sunglasses: 0.1 } } as const;
const BLOCK = 256;

export interface EyeStateOptions {
  /** Eyes in the training part. Default 20,000. */
  train?: number;
  /** Eyes in the test part. Default 4,000. */
  test?: number;
  /** Default `EYE_STATE_SEED`. A longer data set of the same seed begins with the shorter one. */
  seed?: number;
  /** Folder of rendered crops. Default: `edgefit/eyes` in the user's cache folder. */
  cacheDir?: string;
}

/** A data set whose items can also be asked what they show. */
export interface EyeStateDataset extends Dataset {
  readonly train: EyeSplit;
  readonly test: EyeSplit;
  /** Renders, or reads from the cache, everything that `batch` would have to wait for. */
  prepare(o?: { onProgress?: Progress; signal?: AbortSignal }): Promise<void>;
}

export interface EyeSplit extends Split {
  /** Labels and appearance of an item; `eyeState(appearance(i).shape.openness)` is its class. */
  appearance(index: number): EyeAppearance;
  /** RGB bytes of an item, 32x32x3. */
  crop(index: number): Promise<Uint8Array>;
}

/** The appearance of item `index` of a split: known without rendering. */
export function eyeOf(split: keyof typeof families, seed: number, index: number): EyeAppearance {
  return drawAppearance(seed, families[split], index, mixes[split]);
}

class RenderedSplit implements EyeSplit {
  readonly labelled = true;
  private readonly blocks = new Map<number, Promise<Uint8Array>>();

  constructor(
    private readonly split: keyof typeof families,
    readonly count: number,
    private readonly seed: number,
    private readonly cacheDir: string,
  ) {}

  appearance(index: number): EyeAppearance {
    if (!(index >= 0 && index < this.count)) {
      throw new DataError("item-range", `item ${index} of ${this.count} was asked for`, {
        where: `eyes, ${this.split}`,
      });
    }
    return eyeOf(this.split, this.seed, index);
  }

  block(number: number): Promise<Uint8Array> {
    let pixels = this.blocks.get(number);
    if (!pixels) {
      // Whole blocks, whatever `count` is: a data set of another size then shares them.
      const eyes = Array.from({ length: BLOCK }, (_, i) => eyeOf(this.split, this.seed, number * BLOCK + i));
      pixels = cachedCrops(eyes, this.cacheDir);
      pixels.catch(() => this.blocks.delete(number));
      this.blocks.set(number, pixels);
    }
    return pixels;
  }

  get blockCount(): number {
    return Math.ceil(this.count / BLOCK);
  }

  async crop(index: number): Promise<Uint8Array> {
    const start = (index % BLOCK) * CROP_BYTES;
    return (await this.block(Math.floor(index / BLOCK))).subarray(start, start + CROP_BYTES);
  }

  async batch(indices: ArrayLike<number>): Promise<Batch> {
    const dims = [indices.length, ...itemDims(eyePreprocessing)];
    const data = new Float32Array(indices.length * CROP_BYTES);
    const labels = new Int32Array(indices.length);
    for (let i = 0; i < indices.length; i++) {
      labels[i] = eyeState(this.appearance(indices[i]).shape.openness)!;
      writePixels(await this.crop(indices[i]), eyePreprocessing, data, i * CROP_BYTES);
    }
    return { data, dims, labels };
  }
}

/**
 * Opens the data set: classes closed (openness < 0.2 of the person's wide-open eye) and open (> 0.35), equally likely.
 * The band between is left out of both parts. Training and test eyes come from disjoint random streams.
 */
export async function openEyeStateDataset(o: EyeStateOptions = {}): Promise<EyeStateDataset> {
  const seed = o.seed ?? EYE_STATE_SEED;
  const cacheDir = o.cacheDir ?? defaultCropCache();
  const train = new RenderedSplit("train", o.train ?? 20_000, seed, cacheDir);
  const test = new RenderedSplit("test", o.test ?? 4_000, seed, cacheDir);
  return {
    name: `eyes (procedural, seed ${seed})`,
    classes: eyeStateClasses,
    train,
    test,
    skipped: [],
    async prepare({ onProgress, signal } = {}) {
      const todo = [train, test].flatMap((split) =>
        Array.from({ length: split.blockCount }, (_, i) => [split, i] as const),
      );
      for (const [done, [split, number]] of todo.entries()) {
        throwIfAborted(signal);
        await split.block(number);
        onProgress?.({ stage: "rendering eyes", done: done + 1, total: todo.length });
      }
    },
  };
}
