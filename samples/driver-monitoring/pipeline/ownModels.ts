/** The project's own locator and reader, trained on rendered drivers. */

import type { PicturePoint } from "../geometry/headPose.js";
import { bestBoxes, type FaceBox, scaledBox } from "./boxes.js";
import { type Frame, letterbox, type Region, sampleRegion } from "./frame.js";
import {
  ANGLE_UNIT,
  AT,
  BOX_UNIT,
  CROP,
  cropAround,
  cropSampling,
  EYE,
  eyeSampling,
  LANDMARKS,
  LOCATOR,
  locatorSampling,
} from "./layout.js";
import type { Net, Values } from "./net.js";
import type { Clock, FaceLocator, FaceReader } from "./stack.js";

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

/** Boxes in pixels of the locator's input: cells whose score is a local maximum and above `minScore`. */
export function decodeCells(score: Values, box: Values, minScore: number): FaceBox[] {
  const { columns, rows, stride } = LOCATOR;
  const area = columns * rows;
  const found: FaceBox[] = [];
  for (let cell = 0; cell < area; cell++) {
    const p = sigmoid(score.data[cell]);
    if (p < minScore) continue;
    const [dx, dy, lw, lh] = [0, 1, 2, 3].map((k) => box.data[k * area + cell]);
    const width = BOX_UNIT * Math.exp(lw);
    const height = BOX_UNIT * Math.exp(lh);
    const x = ((cell % columns) + 0.5 + dx) * stride - width / 2;
    const y = (Math.floor(cell / columns) + 0.5 + dy) * stride - height / 2;
    found.push({ x, y, width, height, score: p });
  }
  return bestBoxes(found);
}

export function ownLocator(net: Net, minScore = 0.5): FaceLocator {
  const input = new Float32Array(3 * LOCATOR.width * LOCATOR.height);
  return {
    name: "edgefit face locator",
    async locate(frame, now) {
      const start = now();
      const region = letterbox(frame, LOCATOR.width, LOCATOR.height);
      sampleRegion(frame, region, locatorSampling, input);
      const prepared = now();
      const { score, box } = await net.run({ data: input, dims: [1, 3, LOCATOR.height, LOCATOR.width] });
      const ran = now();
      const scale = region.width / LOCATOR.width;
      const faces = decodeCells(score, box, minScore).map((b) => scaledBox(b, scale));
      return { faces, times: { prepareMs: prepared - start, runMs: ran - prepared } };
    },
    close: () => net.close(),
  };
}

/** Beyond this yaw the far eye is hidden behind the nose, in degrees; its reading fades over the next ten. */
const FAR_EYE_YAW = 38;

const share = (v: number): number => Math.max(0, Math.min(1, v));

/** Corners of each eye among the landmarks. */
const CORNERS = { left: [2, 3], right: [1, 0] } as const;

/** The square that the eye-state net sees; a turned head shows a narrower eye, but not a lower one. */
function eyeRegion(a: PicturePoint, b: PicturePoint, faceWidth: number): Region {
  const side = EYE.margin * Math.max(Math.hypot(a.x - b.x, a.y - b.y), LEAST_EYE * faceWidth);
  return { x: (a.x + b.x - side) / 2, y: (a.y + b.y - side) / 2, width: side, height: side };
}
const LEAST_EYE = 0.13;

/**
 * Reads a face from one crop, and the state of the eyes from a crop of each.
 *
 * @param eyes the eye-state classifier; without it the reader's own, coarser openness is used. With it, openness is the probability that
 *     the eye is open: near 0 or 1, in between only while the lids move.
 */
export function ownReader(net: Net, eyes?: Net): FaceReader {
  const input = new Float32Array(3 * CROP.side * CROP.side);
  const eyeInput = new Float32Array(2 * 3 * EYE.side * EYE.side);
  const eyeSize = eyeInput.length / 2;

  /** Probabilities that the left and the right eye are open. */
  async function eyeStates(frame: Frame, face: Region, landmarks: readonly PicturePoint[], now: Clock) {
    const start = now();
    (["left", "right"] as const).forEach((side, i) => {
      const [a, b] = CORNERS[side].map((k) => landmarks[k]);
      const into = eyeInput.subarray(i * eyeSize, (i + 1) * eyeSize);
      sampleRegion(frame, eyeRegion(a, b, face.width), eyeSampling, into);
    });
    const prepared = now();
    const { logits } = await eyes!.run({ data: eyeInput, dims: [2, 3, EYE.side, EYE.side] });
    const open = [0, 1].map((i) => sigmoid(logits.data[2 * i + 1] - logits.data[2 * i]));
    return { open, times: { prepareMs: prepared - start, runMs: now() - prepared } };
  }

  return {
    name: "edgefit face reader",
    tells: { gaze: false, sunglasses: true },
    async read(frame, face, now) {
      const start = now();
      const region = cropAround(face);
      sampleRegion(frame, region, cropSampling, input);
      const prepared = now();
      const { face: answers } = await net.run({ data: input, dims: [1, 3, CROP.side, CROP.side] });
      const ran = now();
      const a = answers.data;
      const yaw = a[AT.headYaw] * ANGLE_UNIT;
      const hidden = share(a[AT.sunglasses]);
      const landmarks = Array.from({ length: LANDMARKS }, (_, k) => ({
        x: region.x + ((a[2 * k] + 1) / 2) * region.width,
        y: region.y + ((a[2 * k + 1] + 1) / 2) * region.height,
      }));
      const states = eyes && (await eyeStates(frame, face, landmarks, now));
      const far = share((Math.abs(yaw) - FAR_EYE_YAW) / 10);
      const eye = (openness: number, isFar: boolean) => ({
        openness: Math.max(0, openness),
        confidence: (1 - hidden) * (isFar ? 1 - far : 1),
      });
      return {
        reading: {
          // A head turned to the picture's right hides the driver's left eye, which lies there.
          leftEye: eye(states?.open[0] ?? a[AT.leftOpenness], yaw > 0),
          rightEye: eye(states?.open[1] ?? a[AT.rightOpenness], yaw < 0),
          head: { yaw, pitch: a[AT.headPitch] * ANGLE_UNIT, roll: a[AT.headRoll] * ANGLE_UNIT },
          mouthOpening: a[AT.mask] > 0.5 ? 0 : Math.max(0, a[AT.mouthOpening]),
          sunglasses: hidden,
        },
        landmarks,
        times: {
          prepareMs: prepared - start + (states?.times.prepareMs ?? 0),
          runMs: ran - prepared + (states?.times.runMs ?? 0),
        },
      };
    },
    async close() {
      await net.close();
      await eyes?.close();
    },
  };
}
