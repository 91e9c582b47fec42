/**
 * Head and gaze angles as rotations. Axes: x to the right edge of the picture, y up, z from the head towards the camera. Angles
 * in degrees: yaw grows towards the right edge, pitch upwards, roll clockwise in the picture.
 */

export type Vector = readonly [x: number, y: number, z: number];

/** Rows of a 3x3 matrix. */
export type Rotation = readonly [Vector, Vector, Vector];

export interface Angles {
  yaw: number;
  pitch: number;
  roll: number;
}

const RADIANS = Math.PI / 180;

/** Turns a head that faces the camera: first roll, then pitch, then yaw. */
export function rotationOf({ yaw, pitch, roll }: Angles): Rotation {
  const [sy, cy] = [Math.sin(yaw * RADIANS), Math.cos(yaw * RADIANS)];
  const [sp, cp] = [Math.sin(pitch * RADIANS), Math.cos(pitch * RADIANS)];
  const [sr, cr] = [Math.sin(roll * RADIANS), Math.cos(roll * RADIANS)];
  return [
    [cy * cr + sy * sp * sr, cy * sr - sy * sp * cr, sy * cp],
    [-cp * sr, cp * cr, sp],
    [-sy * cr + cy * sp * sr, -sy * sr - cy * sp * cr, cy * cp],
  ];
}

export const turn = (r: Rotation, v: Vector): Vector => [
  r[0][0] * v[0] + r[0][1] * v[1] + r[0][2] * v[2],
  r[1][0] * v[0] + r[1][1] * v[1] + r[1][2] * v[2],
  r[2][0] * v[0] + r[2][1] * v[1] + r[2][2] * v[2],
];

/** The inverse turn. */
export const turnBack = (r: Rotation, v: Vector): Vector => [
  r[0][0] * v[0] + r[1][0] * v[1] + r[2][0] * v[2],
  r[0][1] * v[0] + r[1][1] * v[1] + r[2][1] * v[2],
  r[0][2] * v[0] + r[1][2] * v[1] + r[2][2] * v[2],
];

/** Unit vector of a direction. */
export function vectorOf({ yaw, pitch }: { yaw: number; pitch: number }): Vector {
  const cp = Math.cos(pitch * RADIANS);
  return [Math.sin(yaw * RADIANS) * cp, Math.sin(pitch * RADIANS), Math.cos(yaw * RADIANS) * cp];
}

/** The direction of a vector of any length above 0. */
export function directionOf([x, y, z]: Vector): { yaw: number; pitch: number } {
  return { yaw: Math.atan2(x, z) / RADIANS, pitch: Math.atan2(y, Math.hypot(x, z)) / RADIANS };
}

/** Angle between two directions, in degrees. */
export function angleBetween(a: { yaw: number; pitch: number }, b: { yaw: number; pitch: number }): number {
  const [u, v] = [vectorOf(a), vectorOf(b)];
  return Math.acos(Math.max(-1, Math.min(1, u[0] * v[0] + u[1] * v[1] + u[2] * v[2]))) / RADIANS;
}
