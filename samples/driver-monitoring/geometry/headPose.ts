/**
 * Head pose from landmarks: the rotation, scale and place of a rigid 3-D face under which its points, seen from far away (scaled
 * orthographic projection), come nearest to the landmarks in least squares. Levenberg-Marquardt on six parameters.
 */
import { type Angles, rotationOf, turn, type Vector } from "./rotation.js";

export interface PicturePoint {
  x: number;
  y: number;
}

export interface FittedPose extends Angles {
  /** Pixels per unit of the face's coordinates. */
  scale: number;
  /** Where the face's origin lies in the picture. */
  x: number;
  y: number;
  /** Root mean square distance of landmarks from the fit, in pixels. */
  residual: number;
}

const KEYS = ["yaw", "pitch", "roll", "scale", "x", "y"] as const;
/** Steps of the numerical derivative: degrees, and shares of the scale. */
const ANGLE_STEP = 1e-3;
const MAX_ROUNDS = 60;

type Parameters = Record<(typeof KEYS)[number], number>;

/** Distances of the picture's points from the projected face, x and y in turn. */
function distances(p: Parameters, face: readonly Vector[], seen: readonly PicturePoint[]): number[] {
  const r = rotationOf(p);
  return face.flatMap((v, i) => {
    const [x, y] = turn(r, v);
    return [p.x + p.scale * x - seen[i].x, p.y - p.scale * y - seen[i].y];
  });
}

const squared = (v: readonly number[]): number => v.reduce((sum, x) => sum + x * x, 0);

/** Solves a small system by Gaussian elimination with row exchanges; `a` holds rows with the right side last. */
function solve(a: number[][]): number[] {
  const n = a.length;
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let k = i + 1; k < n; k++) if (Math.abs(a[k][i]) > Math.abs(a[pivot][i])) pivot = k;
    [a[i], a[pivot]] = [a[pivot], a[i]];
    for (let k = i + 1; k < n; k++) {
      const factor = a[k][i] / a[i][i];
      for (let j = i; j <= n; j++) a[k][j] -= factor * a[i][j];
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    let sum = a[i][n];
    for (let j = i + 1; j < n; j++) sum -= a[i][j] * x[j];
    x[i] = sum / a[i][i];
  }
  return x;
}

/** A frontal face of the right size in the right place. */
function start(face: readonly Vector[], seen: readonly PicturePoint[]): Parameters {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [x, y] = [mean(seen.map((s) => s.x)), mean(seen.map((s) => s.y))];
  const [fx, fy] = [mean(face.map((v) => v[0])), mean(face.map((v) => v[1]))];
  const spread = Math.sqrt(mean(seen.map((s) => (s.x - x) ** 2 + (s.y - y) ** 2)));
  const faceSpread = Math.sqrt(mean(face.map((v) => (v[0] - fx) ** 2 + (v[1] - fy) ** 2)));
  const scale = spread / faceSpread;
  return { yaw: 0, pitch: 0, roll: 0, scale, x: x - scale * fx, y: y + scale * fy };
}

/**
 * Fits a face to landmarks. `face` and `seen` hold the same points in the same order, at least four of them, not all in one
 * plane that faces the camera; picture coordinates grow downwards.
 */
export function fitPose(face: readonly Vector[], seen: readonly PicturePoint[]): FittedPose {
  if (face.length !== seen.length || face.length < 4)
    throw new RangeError(`a pose needs at least four pairs of points, got ${face.length} and ${seen.length}`);
  let p = start(face, seen);
  let error = distances(p, face, seen);
  let damping = 1e-3;
  for (let round = 0; round < MAX_ROUNDS && damping < 1e9; round++) {
    const steps = KEYS.map((k) => (k === "scale" ? p.scale * 1e-5 : k === "x" || k === "y" ? 1e-3 : ANGLE_STEP));
    const jacobian = KEYS.map((k, i) => {
      const moved = distances({ ...p, [k]: p[k] + steps[i] }, face, seen);
      return moved.map((v, j) => (v - error[j]) / steps[i]);
    });
    const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, v, i) => sum + v * b[i], 0);
    const rows = jacobian.map((a, i) => [
      ...jacobian.map((b, j) => dot(a, b) * (i === j ? 1 + damping : 1)),
      -dot(a, error),
    ]);
    const change = solve(rows);
    const next = { ...p };
    KEYS.forEach((k, i) => {
      next[k] += change[i];
    });
    const nextError = distances(next, face, seen);
    if (!(squared(nextError) < squared(error))) {
      damping *= 8;
      continue;
    }
    const gain = squared(error) - squared(nextError);
    p = next;
    error = nextError;
    damping = Math.max(1e-9, damping / 8);
    if (gain < 1e-10 * (1 + squared(error))) break;
  }
  return { ...p, residual: Math.sqrt(squared(error) / face.length) };
}
