/**
 * What 66 landmarks say: the 68 points of iBUG 300-W (Sagonas et al. 2013) less the outer corners of the mouth, as OpenSeeFace
 * numbers them. "Right" is the driver's own and lies left in the picture.
 */
import type { HeadPose } from "../behaviour/observation.js";
import { fitPose, type PicturePoint } from "../geometry/headPose.js";
import type { Vector } from "../geometry/rotation.js";

/** Corner, two upper, corner, two lower: clockwise in the picture from its left end. */
export const RIGHT_EYE = [36, 37, 38, 39, 40, 41] as const;
export const LEFT_EYE = [42, 43, 44, 45, 46, 47] as const;
const MOUTH_CORNERS = [58, 62] as const;
const INNER_LIPS = [
  [59, 65],
  [60, 64],
  [61, 63],
] as const;

/** Eye aspect ratio of an ordinary open eye (Soukupová and Čech 2016 find 0.25 to 0.3); what counts as openness 1. */
const OPEN_ASPECT = 0.3;

/**
 * Points of an average adult face that hardly move, in millimetres: x to the right edge of the picture, y up, z out of the face, origin
 * between the eyes. Rounded from mean facial measurements (intercanthal and biocular breadth, nose and face heights).
 */
const RIGID: readonly (readonly [landmark: number, place: Vector])[] = [
  [36, [-45, 0, -11]],
  [39, [-17, -1, 0]],
  [42, [17, -1, 0]],
  [45, [45, 0, -11]],
  [27, [0, 4, 13]],
  [30, [0, -40, 32]],
  [33, [0, -51, 16]],
  [31, [-16, -48, 6]],
  [35, [16, -48, 6]],
  [8, [0, -115, -4]],
];

const distance = (a: PicturePoint, b: PicturePoint): number => Math.hypot(a.x - b.x, a.y - b.y);

/**
 * Gap between the lids relative to the eye's width (Soukupová and Čech 2016, equation 1).
 *
 * @param yaw of the head, in degrees: a turned head shows a narrower eye
 */
export function eyeAspect(points: readonly PicturePoint[], eye: readonly number[], yaw = 0): number {
  const [a, b, c, d, e, f] = eye.map((i) => points[i]);
  const ratio = (distance(b, f) + distance(c, e)) / (2 * distance(a, d));
  return ratio * Math.max(0.4, Math.cos((yaw * Math.PI) / 180));
}

/** Openness with 1 for an ordinary open eye. */
export const opennessOf = (points: readonly PicturePoint[], eye: readonly number[], yaw: number): number =>
  eyeAspect(points, eye, yaw) / OPEN_ASPECT;

/** Gap between the lips relative to the mouth's width. */
export function mouthOpeningOf(points: readonly PicturePoint[]): number {
  const gap = INNER_LIPS.reduce((sum, [up, low]) => sum + distance(points[up], points[low]), 0) / INNER_LIPS.length;
  return gap / distance(points[MOUTH_CORNERS[0]], points[MOUTH_CORNERS[1]]);
}

/** Head pose from the points that hardly move. */
export function headPoseOf(points: readonly PicturePoint[]): HeadPose {
  const { yaw, pitch, roll } = fitPose(
    RIGID.map(([, place]) => place),
    RIGID.map(([i]) => points[i]),
  );
  return { yaw, pitch, roll };
}
