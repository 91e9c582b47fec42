/**
 * Random changes of preprocessed batches: flips, shifts, colour, cutout, mixup. One pass over each image. Everything is drawn from the
 * generator that is handed in, so that a batch can be made again.
 */

import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Batch, Preprocessing } from "../data/dataset.js";
import { ModelError, UsageError } from "../graph/errors.js";
import { mixBatch } from "./mixup.js";
import { between } from "./random.js";

/** Largest relative changes; 0.4 draws a factor from 0.6 to 1.4 for every image. */
export interface ColourJitter {
  brightness?: number;
  /** Around the mean of each channel. */
  contrast?: number;
  /** Towards or away from the pixel's luma (ITU-R 601). Needs three channels. */
  saturation?: number;
}

export interface AugmentOptions {
  /** Mirrors every image left to right with probability one half. Default false. */
  flip?: boolean;
  /** Shifts by up to this many pixels in both directions: a random crop of the padded image. Default 0. */
  cropPadding?: number;
  /** Default: none. Needs `pixels` where the numbers are not plain 0..1 or 0..255. */
  colour?: ColourJitter;
  /** Side, in pixels, of a square at a random place that is set to 0, the mean colour (DeVries and Taylor 2017). Default 0. */
  cutout?: number;
  /**
   * Blends every item with another of the batch, shares drawn from Beta(alpha, alpha) (Zhang et al., ICLR 2018). Needs no labels:
   * cross-entropy weighs both labels, distillation shows the blend to the teacher too ("function matching", Beyer et al., CVPR
   * 2022, who use alpha 1). Default 0: none.
   */
  mixup?: number;
  /** How the numbers came from pixels. Default: NCHW, mean 0, deviation 1, RGB. */
  pixels?: Pick<Preprocessing, "imageMean" | "imageStd" | "channelOrder" | "layout">;
  /** What shifted-in pixels hold, per channel. Default: a black pixel by `pixels`, else 0. */
  padValue?: readonly number[];
}

/** Whether anything of `o` looks at pixels one by one. */
const changesImages = (o: AugmentOptions): boolean =>
  Boolean(o.flip || o.cropPadding || o.cutout || o.colour?.brightness || o.colour?.contrast || o.colour?.saturation);

/** Throws UsageError for options out of range. */
export function checkAugment(o: AugmentOptions): void {
  const refuse = (what: string): never => {
    throw new UsageError("augment-options", what);
  };
  const whole = (name: string, v = 0): unknown =>
    (Number.isInteger(v) && v >= 0) || refuse(`${name} must be a whole number of pixels, got ${v}`);
  const share = (name: string, v = 0): unknown =>
    (v >= 0 && v <= 1) || refuse(`${name} must lie between 0 and 1, got ${v}`);
  whole("cropPadding", o.cropPadding);
  whole("cutout", o.cutout);
  share("brightness", o.colour?.brightness);
  share("contrast", o.colour?.contrast);
  share("saturation", o.colour?.saturation);
  const { mixup = 0 } = o;
  if (!(mixup >= 0 && Number.isFinite(mixup))) refuse(`mixup must be a number from 0, got ${mixup}`);
}

/** A batch of new pixels; the given one is left alone. Throws ModelError when it is not made of images. */
export function augmentBatch(batch: Batch, o: AugmentOptions, random: RandomGenerator): Batch {
  const changed = changesImages(o) ? changeImages(batch, o, random) : batch;
  return o.mixup ? mixBatch(changed, o.mixup, random) : changed;
}

/** Where the elements of one image lie. */
interface Grid {
  channels: number;
  height: number;
  width: number;
  /** Distance between neighbours along each axis. */
  channelStep: number;
  rowStep: number;
  columnStep: number;
}

function gridOf(batch: Batch, layout: Preprocessing["layout"]): Grid {
  if (batch.dims.length !== 4) {
    throw new ModelError(
      "augment-dims",
      `flips, crops, colour and cutout need batches of images, got one of shape [${batch.dims.join(", ")}]`,
      { hint: "leave them out; mixup works on inputs of any shape" },
    );
  }
  const [, a, b, c] = batch.dims;
  return layout === "nhwc"
    ? { channels: c, height: a, width: b, channelStep: 1, rowStep: b * c, columnStep: c }
    : { channels: a, height: b, width: c, channelStep: b * c, rowStep: c, columnStep: 1 };
}

function changeImages(batch: Batch, o: AugmentOptions, random: RandomGenerator): Batch {
  const { flip = false, cropPadding = 0, cutout = 0 } = o;
  const grid = gridOf(batch, o.pixels?.layout ?? "nchw");
  const { imageMean = [], imageStd = [] } = o.pixels ?? {};
  const black = o.padValue ?? imageMean.map((m, c) => -m / imageStd[c]);
  const size = batch.data.length / batch.dims[0];
  const data = new Float32Array(batch.data.length);
  for (let start = 0; start < data.length; start += size) {
    const mirrored = flip && uniformInt(random, 0, 1) === 1;
    const down = cropPadding > 0 ? uniformInt(random, -cropPadding, cropPadding) : 0;
    const right = cropPadding > 0 ? uniformInt(random, -cropPadding, cropPadding) : 0;
    moveImage(batch.data, data, start, grid, { mirrored, down, right, black });
    if (o.colour) jitter(data, start, grid, o.colour, o.pixels, random);
    if (cutout > 0) {
      const middle = { y: uniformInt(random, 0, grid.height - 1), x: uniformInt(random, 0, grid.width - 1) };
      cut(data, start, grid, middle, cutout);
    }
  }
  return { ...batch, data };
}

interface Move {
  mirrored: boolean;
  down: number;
  right: number;
  black: readonly number[];
}

function moveImage(from: Float32Array, to: Float32Array, start: number, g: Grid, m: Move): void {
  for (let c = 0; c < g.channels; c++) {
    const fill = m.black[c] ?? 0;
    const plane = start + c * g.channelStep;
    for (let y = 0; y < g.height; y++) {
      const row = plane + y * g.rowStep;
      const source = plane + (y - m.down) * g.rowStep;
      const outside = y - m.down < 0 || y - m.down >= g.height;
      for (let x = 0; x < g.width; x++) {
        const column = (m.mirrored ? g.width - 1 - x : x) - m.right;
        to[row + x * g.columnStep] =
          outside || column < 0 || column >= g.width ? fill : from[source + column * g.columnStep];
      }
    }
  }
}

/** Luma weights (ITU-R 601) of red, green and blue. */
const LUMA = [0.299, 0.587, 0.114] as const;

/** Brightness, contrast, saturation, in this order, on the pixels behind the normalised numbers. */
function jitter(
  data: Float32Array,
  start: number,
  g: Grid,
  o: ColourJitter,
  pixels: AugmentOptions["pixels"],
  random: RandomGenerator,
): void {
  const factor = (range = 0): number => (range > 0 ? between(random, 1 - range, 1 + range) : 1);
  const [brightness, contrast, saturation] = [factor(o.brightness), factor(o.contrast), factor(o.saturation)];
  const area = g.height * g.width;
  const meanOf = (c: number): number => pixels?.imageMean[c] ?? 0;
  const deviationOf = (c: number): number => pixels?.imageStd[c] ?? 1;
  // Elements of a plane lie `step` apart in either layout.
  const step = g.columnStep;
  for (let c = 0; c < g.channels; c++) {
    const plane = start + c * g.channelStep;
    const black = -meanOf(c) / deviationOf(c);
    let sum = 0;
    for (let i = 0; i < area; i++) sum += data[plane + i * step];
    const middle = black + brightness * (sum / area - black);
    for (let i = 0; i < area; i++) {
      const at = plane + i * step;
      data[at] = middle + contrast * (black + brightness * (data[at] - black) - middle);
    }
  }
  if (saturation === 1 || g.channels !== 3) return;
  const luma = pixels?.channelOrder === "bgr" ? [...LUMA].reverse() : LUMA;
  for (let i = 0; i < area; i++) {
    let grey = 0;
    for (let c = 0; c < 3; c++) {
      grey += luma[c] * (data[start + c * g.channelStep + i * step] * deviationOf(c) + meanOf(c));
    }
    for (let c = 0; c < 3; c++) {
      const at = start + c * g.channelStep + i * step;
      data[at] = saturation * data[at] + ((1 - saturation) * (grey - meanOf(c))) / deviationOf(c);
    }
  }
}

function cut(data: Float32Array, start: number, g: Grid, middle: { y: number; x: number }, side: number): void {
  const top = middle.y - (side >> 1);
  const left = middle.x - (side >> 1);
  for (let y = Math.max(0, top); y < Math.min(g.height, top + side); y++) {
    for (let x = Math.max(0, left); x < Math.min(g.width, left + side); x++) {
      for (let c = 0; c < g.channels; c++) data[start + c * g.channelStep + y * g.rowStep + x * g.columnStep] = 0;
    }
  }
}
