/** The project's own locator and reader, trained on rendered drivers. */
import { bestBoxes, type FaceBox } from "./boxes.js";
import { letterbox, sampleRegion } from "./frame.js";
import {
  ANGLE_UNIT,
  AT,
  BOX_UNIT,
  CROP,
  cropAround,
  cropSampling,
  LANDMARKS,
  LOCATOR,
  locatorSampling,
} from "./layout.js";
import type { Net, Values } from "./net.js";
import type { FaceLocator, FaceReader } from "./stack.js";

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
      const faces = decodeCells(score, box, minScore).map((b) => ({
        x: b.x * scale,
        y: b.y * scale,
        width: b.width * scale,
        height: b.height * scale,
        score: b.score,
      }));
      return { faces, times: { prepareMs: prepared - start, runMs: ran - prepared } };
    },
    close: () => net.close(),
  };
}

/** Beyond this yaw the far eye is hidden behind the nose, in degrees; its reading fades over the next ten. */
const FAR_EYE_YAW = 38;

const share = (v: number): number => Math.max(0, Math.min(1, v));

export function ownReader(net: Net): FaceReader {
  const input = new Float32Array(3 * CROP.side * CROP.side);
  return {
    name: "edgefit face reader",
    tells: { gaze: true, sunglasses: true },
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
      const far = share((Math.abs(yaw) - FAR_EYE_YAW) / 10);
      const eye = (openness: number, isFar: boolean) => ({
        openness: Math.max(0, openness),
        confidence: (1 - hidden) * (isFar ? 1 - far : 1),
      });
      return {
        reading: {
          // A head turned to the picture's right hides the driver's left eye, which lies there.
          leftEye: eye(a[AT.leftOpenness], yaw > 0),
          rightEye: eye(a[AT.rightOpenness], yaw < 0),
          gaze: { yaw: a[AT.gazeYaw] * ANGLE_UNIT, pitch: a[AT.gazePitch] * ANGLE_UNIT },
          head: { yaw, pitch: a[AT.headPitch] * ANGLE_UNIT, roll: a[AT.headRoll] * ANGLE_UNIT },
          mouthOpening: a[AT.mask] > 0.5 ? 0 : Math.max(0, a[AT.mouthOpening]),
          sunglasses: hidden,
        },
        landmarks: Array.from({ length: LANDMARKS }, (_, k) => ({
          x: region.x + ((a[2 * k] + 1) / 2) * region.width,
          y: region.y + ((a[2 * k + 1] + 1) / 2) * region.height,
        })),
        times: { prepareMs: prepared - start, runMs: ran - prepared },
      };
    },
    close: () => net.close(),
  };
}
