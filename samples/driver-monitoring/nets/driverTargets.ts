/** From labels to what the two nets should answer, and how much each answer counts. */
import type { FaceLabels } from "../face/labels.js";
import { SCENE } from "../face/look.js";
import type { Region } from "../pipeline/frame.js";
import { ANGLE_UNIT, ANSWERS, AT, BOX_UNIT, LOCATOR } from "../pipeline/layout.js";

/** Targets and weights of one item, in the order of the net's output. */
export interface Target {
  values: Float32Array;
  weights: Float32Array;
}

/** Below this openness nobody can see where an eye looks. */
const GAZE_SEEN = 0.3;

/** The first landmarks are the corners of the eyes. */
const EYE_CORNERS = 4;
const EYE_CORNER_WEIGHT = 4;

/** What the reader should say of a crop. */
export function readerTarget(l: FaceLabels, crop: Region): Target {
  const values = new Float32Array(ANSWERS);
  const weights = new Float32Array(ANSWERS).fill(1);
  l.landmarks.forEach((p, k) => {
    values[2 * k] = (2 * (p.x - crop.x)) / crop.width - 1;
    values[2 * k + 1] = (2 * (p.y - crop.y)) / crop.height - 1;
    // The eyes' corners place the crops of the eye-state net.
    if (k < EYE_CORNERS) weights.fill(EYE_CORNER_WEIGHT, 2 * k, 2 * k + 2);
  });
  const put = (at: number, value: number, weight: number): void => {
    values[at] = value;
    weights[at] = weight;
  };
  const eyes = l.sunglasses ? 0 : 1;
  // The far eye of a turned head can hardly be seen.
  const far = Math.abs(l.head.yaw) > 40 ? 0.2 : 1;
  put(AT.leftOpenness, l.leftOpenness, 3 * eyes * (l.head.yaw > 0 ? far : 1));
  put(AT.rightOpenness, l.rightOpenness, 3 * eyes * (l.head.yaw < 0 ? far : 1));
  put(AT.mouthOpening, l.mouthOpening, l.mask ? 0 : l.occluded ? 0.3 : 2);
  put(AT.headYaw, l.head.yaw / ANGLE_UNIT, 3);
  put(AT.headPitch, l.head.pitch / ANGLE_UNIT, 3);
  put(AT.headRoll, l.head.roll / ANGLE_UNIT, 3);
  const seen = Math.max(l.leftOpenness, l.rightOpenness) > GAZE_SEEN ? eyes : 0;
  put(AT.gazeYaw, l.gaze.yaw / ANGLE_UNIT, 4 * seen);
  put(AT.gazePitch, l.gaze.pitch / ANGLE_UNIT, 4 * seen);
  put(AT.glasses, l.glasses ? 1 : 0, 0.5);
  put(AT.sunglasses, l.sunglasses ? 1 : 0, 1);
  put(AT.mask, l.mask ? 1 : 0, 0.5);
  put(AT.occluded, l.occluded ? 1 : 0, 0.3);
  return { values, weights };
}

/** Where each landmark goes in a mirror: the driver's right is then left. */
const MIRRORED_LANDMARKS = [3, 2, 1, 0, 4, 6, 5, 7] as const;
const SWAPPED: readonly (readonly [number, number])[] = [[AT.leftOpenness, AT.rightOpenness]];
const NEGATED: readonly number[] = [AT.headYaw, AT.headRoll, AT.gazeYaw];

/** The target of the same crop in a mirror. */
export function mirrored({ values, weights }: Target): Target {
  const [v, w] = [values.slice(), weights.slice()];
  MIRRORED_LANDMARKS.forEach((from, k) => {
    v[2 * k] = -values[2 * from];
    v[2 * k + 1] = values[2 * from + 1];
    w[2 * k] = weights[2 * from];
    w[2 * k + 1] = weights[2 * from + 1];
  });
  for (const [a, b] of SWAPPED) {
    [v[a], v[b]] = [values[b], values[a]];
    [w[a], w[b]] = [weights[b], weights[a]];
  }
  for (const at of NEGATED) v[at] = -v[at];
  return { values: v, weights: w };
}

/** Weight of the cell that holds the face against one that does not: there are a hundred of those. */
const FACE_WEIGHT = 15;

/** What the locator should say of a whole scene: scores, then boxes. Cells beside the face's count for nothing. */
export function locatorTarget(l: FaceLabels): { score: Target; box: Target } {
  const { columns, rows, stride, width } = LOCATOR;
  const area = columns * rows;
  const score = { values: new Float32Array(area), weights: new Float32Array(area).fill(1) };
  const box = { values: new Float32Array(4 * area), weights: new Float32Array(4 * area) };
  if (!l.box) return { score, box };
  const scale = width / SCENE.width / stride;
  const [cx, cy] = [(l.box.x + l.box.width / 2) * scale, (l.box.y + l.box.height / 2) * scale];
  const [column, row] = [Math.floor(cx), Math.floor(cy)];
  for (let y = Math.max(0, row - 1); y <= Math.min(rows - 1, row + 1); y++)
    for (let x = Math.max(0, column - 1); x <= Math.min(columns - 1, column + 1); x++) {
      const cell = y * columns + x;
      const here = x === column && y === row;
      score.weights[cell] = here ? FACE_WEIGHT : 0;
      score.values[cell] = here ? 1 : 0;
      const aim = [cx - x - 0.5, cy - y - 0.5, l.box.width * scale, l.box.height * scale];
      aim.forEach((v, k) => {
        box.values[k * area + cell] = k < 2 ? v : Math.log((v * stride) / BOX_UNIT);
        box.weights[k * area + cell] = here ? 1 : 0.3;
      });
    }
  return { score, box };
}
