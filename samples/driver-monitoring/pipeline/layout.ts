/** What the project's own two nets read and answer: sizes, order of values, units. Shared by training and pipeline. */
import type { Region, Sampling } from "./frame.js";

/** Pixels to values, for both nets: RGB, (v - 127.5) / 127.5. */
const values = { order: "rgb", mean: [127.5, 127.5, 127.5], scale: [1 / 127.5, 1 / 127.5, 1 / 127.5] } as const;

/** The locator reads the whole picture, 96x72, black where the picture's shape leaves room. */
export const LOCATOR = { width: 96, height: 72, stride: 8, columns: 12, rows: 9 } as const;
export const locatorSampling: Sampling = { ...values, width: LOCATOR.width, height: LOCATOR.height, outside: 0 };

/** Sides of boxes are learned as logarithms of their ratio to this length, in pixels of the locator's input. */
export const BOX_UNIT = 24;

/** The reader's crop: a square around the face. */
export const CROP = { side: 96, margin: 1.3 } as const;
export const cropSampling: Sampling = { ...values, width: CROP.side, height: CROP.side, outside: "edge" };

/** The square that the reader sees of a face. */
export function cropAround(box: Region): Region {
  const side = CROP.margin * Math.max(box.width, box.height);
  return { x: box.x + (box.width - side) / 2, y: box.y + (box.height - side) / 2, width: side, height: side };
}

/** The eye-state net's crop: a square around an eye, this many times as wide as the eye from corner to corner. */
export const EYE = { side: 32, margin: 1.6 } as const;
export const eyeSampling: Sampling = { ...values, width: EYE.side, height: EYE.side, outside: "edge" };

/** Landmarks that the reader gives, x and y of each in turn, -1..1 across the crop. */
export const LANDMARKS = 8;

/** Where each answer lies in the reader's output. */
export const AT = {
  landmarks: 0,
  leftOpenness: 16,
  rightOpenness: 17,
  mouthOpening: 18,
  headYaw: 19,
  headPitch: 20,
  headRoll: 21,
  gazeYaw: 22,
  gazePitch: 23,
  glasses: 24,
  sunglasses: 25,
  mask: 26,
  occluded: 27,
} as const;
export const ANSWERS = 28;

/** Degrees that are learned as 1. */
export const ANGLE_UNIT = 45;
