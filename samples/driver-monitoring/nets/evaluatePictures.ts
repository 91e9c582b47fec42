/** How well a pipeline's models read single rendered pictures that no training has seen. */
import { type Progress, throwIfAborted } from "../../../toolkit/graph/progress.js";
import { CLOSED_BELOW, OPEN_ABOVE } from "../appearance.js";
import { drawLook, drawMoment } from "../face/drawLook.js";
import { labelsOf } from "../face/labels.js";
import { SCENE } from "../face/look.js";
import { renderDriver } from "../face/renderFace.js";
import { angleBetween } from "../geometry/rotation.js";
import { driverOf, overlap } from "../pipeline/boxes.js";
import type { FaceLocator, FaceReader } from "../pipeline/stack.js";
import { driverFamilies } from "./driverTraining.js";

export interface PictureEvaluation {
  pictures: number;
  faces: number;
  /** Faces found, with an intersection over union of at least a half. */
  found: number;
  /** Boxes that are no face, in all pictures. */
  falseAlarms: number;
  /** Eyes, clearly open or closed, that can be seen, and how many of them were read right. */
  eyes: { count: number; right: number };
  /** Mean absolute errors in degrees, over the faces found. */
  head: { yaw: number; pitch: number; roll: number; mean: number };
  /** Mean angle between true and read gaze in degrees, over open eyes that can be seen. */
  gazeDegrees: number;
  /** Mean absolute error of the mouth's opening, where no mask or hand hides it. */
  mouth: number;
  sunglasses: { count: number; right: number };
}

export interface EvaluatePicturesOptions {
  count: number;
  /** Default: the test part's. */
  family?: number;
  seed: number;
  onProgress?: Progress;
  signal?: AbortSignal;
}

/** Halfway between the two states that are told apart. */
const THRESHOLD = (CLOSED_BELOW + OPEN_ABOVE) / 2;
/** A turned head hides the far eye. */
const BOTH_EYES_YAW = 38;

class Mean {
  private sum = 0;
  private count = 0;
  add(v: number): void {
    this.sum += v;
    this.count++;
  }
  get value(): number {
    return this.count > 0 ? this.sum / this.count : Number.NaN;
  }
}

/** Renders pictures of the test part and reads them. Faces that are not found count as such and nowhere else. */
export async function evaluatePictures(
  { locator, reader }: { locator: FaceLocator; reader: FaceReader },
  o: EvaluatePicturesOptions,
): Promise<PictureEvaluation> {
  const { family = driverFamilies.test } = o;
  const now = (): number => performance.now();
  const result = {
    faces: 0,
    found: 0,
    falseAlarms: 0,
    eyes: { count: 0, right: 0 },
    sunglasses: { count: 0, right: 0 },
  };
  const [yaw, pitch, roll, gaze, mouth] = Array.from({ length: 5 }, () => new Mean());
  for (let i = 0; i < o.count; i++) {
    throwIfAborted(o.signal);
    const [look, moment] = [drawLook(o.seed, family, i), drawMoment(o.seed, family, i)];
    const truth = labelsOf(look, moment);
    const frame = await renderDriver(look, moment, SCENE.width, i);
    const { faces } = await locator.locate(frame, now);
    const box = driverOf(faces);
    const hit = box && truth.box && overlap(box, truth.box) >= 0.5;
    if (truth.box) result.faces++;
    result.falseAlarms += faces.length - (hit ? 1 : 0);
    o.onProgress?.({ stage: "reading rendered drivers", done: i + 1, total: o.count });
    if (!box || !hit) continue;
    result.found++;
    const { reading } = await reader.read(frame, box, now);
    yaw.add(Math.abs(reading.head.yaw - truth.head.yaw));
    pitch.add(Math.abs(reading.head.pitch - truth.head.pitch));
    roll.add(Math.abs(reading.head.roll - truth.head.roll));
    if (!truth.mask && !truth.occluded) mouth.add(Math.abs(reading.mouthOpening - truth.mouthOpening));
    result.sunglasses.count++;
    if (reading.sunglasses > 0.5 === truth.sunglasses) result.sunglasses.right++;
    if (truth.sunglasses || truth.occluded) continue;
    const seen = Math.abs(truth.head.yaw) <= BOTH_EYES_YAW;
    for (const [read, openness] of [
      [reading.leftEye, truth.leftOpenness],
      [reading.rightEye, truth.rightOpenness],
    ] as const) {
      if (!seen || (openness >= CLOSED_BELOW && openness <= OPEN_ABOVE)) continue;
      result.eyes.count++;
      if (read.openness < THRESHOLD === openness < CLOSED_BELOW) result.eyes.right++;
    }
    if (seen && reading.gaze && Math.min(truth.leftOpenness, truth.rightOpenness) > OPEN_ABOVE)
      gaze.add(angleBetween(reading.gaze, truth.gaze));
  }
  const head = { yaw: yaw.value, pitch: pitch.value, roll: roll.value };
  return {
    pictures: o.count,
    ...result,
    head: { ...head, mean: (head.yaw + head.pitch + head.roll) / 3 },
    gazeDegrees: gaze.value,
    mouth: mouth.value,
  };
}
