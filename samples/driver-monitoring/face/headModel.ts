/**
 * A simple head in millimetres, and its exact picture: x to the right edge of the picture, y up, z out of the face, origin between the
 * eyes. It is turned and seen from far away (scaled orthographic projection), so that every label follows from it without error.
 */
import type { PicturePoint } from "../geometry/headPose.js";
import { type Angles, type Rotation, rotationOf, turn, type Vector } from "../geometry/rotation.js";

/** Where and how large the head is in the picture; lengths in units of the picture. */
export interface HeadPlace extends Angles {
  /** Origin of the head. */
  x: number;
  y: number;
  /** Units per millimetre. */
  scale: number;
}

/** What differs from head to head, as factors around 1. */
export interface HeadShape {
  width: number;
  height: number;
  jaw: number;
  nose: number;
}

/** A projection of head coordinates. */
export interface View {
  rotation: Rotation;
  place: HeadPlace;
}

export const viewOf = (place: HeadPlace): View => ({ rotation: rotationOf(place), place });

/** Picture of a point of the head; `depth` grows towards the camera. */
export function project({ rotation, place }: View, v: Vector): PicturePoint & { depth: number } {
  const [x, y, z] = turn(rotation, v);
  return { x: place.x + place.scale * x, y: place.y - place.scale * y, depth: z };
}

/** A flat patch on the head as an SVG matrix: local x along `right`, local y along minus `up`, per unit in millimetres. */
export function patch(view: View, at: Vector, right: Vector, up: Vector, unit: number): string {
  const o = project(view, at);
  const s = view.place.scale * unit;
  const [rx, ry] = turn(view.rotation, right);
  const [ux, uy] = turn(view.rotation, up);
  const m = [s * rx, -s * ry, -s * ux, s * uy, o.x, o.y];
  return `matrix(${m.map((v) => v.toFixed(4)).join(" ")})`;
}

/** Outline of an ellipsoid with axes along the head's, as a matrix that takes the unit circle there. */
export function silhouette(view: View, centre: Vector, radii: Vector): string {
  const { rotation, place } = view;
  const o = project(view, centre);
  // Covariance of the projected ellipsoid; its Cholesky factor maps the unit circle to the outline.
  let [xx, xy, yy] = [0, 0, 0];
  for (let k = 0; k < 3; k++) {
    const px = rotation[0][k] * radii[k];
    const py = -rotation[1][k] * radii[k];
    xx += px * px;
    xy += px * py;
    yy += py * py;
  }
  const a = Math.sqrt(xx);
  const b = xy / a;
  const d = Math.sqrt(Math.max(1e-9, yy - b * b));
  const m = [a * place.scale, b * place.scale, 0, d * place.scale, o.x, o.y];
  return `matrix(${m.map((v) => v.toFixed(4)).join(" ")})`;
}

/** Ellipsoids that make up the head. */
export const skull = (s: HeadShape) => ({
  centre: [0, 28 * s.height, -88] as Vector,
  radii: [77 * s.width, 92 * s.height, 96] as Vector,
});
export const jawBall = (s: HeadShape, drop: number) => ({
  centre: [0, -46 - drop * 0.5, -60] as Vector,
  radii: [61 * s.width * s.jaw, 66 + drop * 0.5, 62] as Vector,
});

/** Millimetres by which an open mouth lowers the chin. */
export const jawDrop = (mouthOpening: number): number => 30 * mouthOpening;

/** Points that the nets are trained to find, in this order. Left and right are the driver's. */
export const landmarkNames = [
  "right eye, outer",
  "right eye, inner",
  "left eye, inner",
  "left eye, outer",
  "nose",
  "mouth, right",
  "mouth, left",
  "chin",
] as const;

/** Places of the landmarks on a head, in the order of `landmarkNames`. */
export function landmarkPlaces(s: HeadShape, mouthOpening: number): Vector[] {
  const drop = jawDrop(mouthOpening);
  const mouth = MOUTH_WIDTH * 0.5 * (1 - 0.25 * Math.min(1, mouthOpening));
  return [
    [-46 * s.width, 0, -11],
    [-16 * s.width, -1, 0],
    [16 * s.width, -1, 0],
    [46 * s.width, 0, -11],
    noseTip(s),
    [-mouth * s.width, -78 * s.height - drop * 0.3, 4],
    [mouth * s.width, -78 * s.height - drop * 0.3, 4],
    [0, -112 * s.height - drop, 2],
  ];
}

export const MOUTH_WIDTH = 52;
export const noseTip = (s: HeadShape): Vector => [0, -42 * s.height, 30 * s.nose];

/** Outline of the face proper: forehead, temples, cheeks, jaw, chin. */
export function facePoints(s: HeadShape, mouthOpening: number, hairline: number): Vector[] {
  const drop = jawDrop(mouthOpening);
  const half: Vector[] = [
    [22, hairline, -2],
    [45, hairline - 6, -16],
    [62, hairline - 24, -38],
    [68, 10, -52],
    [67, -25, -54],
    [62, -58, -52 - drop * 0.1],
    [52 * s.jaw, -84 - drop * 0.5, -42],
    [36 * s.jaw, -103 - drop * 0.9, -22],
    [16, -114 - drop, -2],
  ];
  const scaled = half.map(([x, y, z]): Vector => [x * s.width, y > 0 ? y : y * s.height, z]);
  return [...scaled, ...scaled.map(([x, y, z]): Vector => [-x, y, z])];
}

/** Convex hull of points, counter-clockwise in a picture whose y grows downwards (Andrew's monotone chain). */
export function hull(points: readonly PicturePoint[]): PicturePoint[] {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const chain = (list: readonly PicturePoint[]): PicturePoint[] => {
    const out: PicturePoint[] = [];
    for (const p of list) {
      while (out.length >= 2) {
        const [a, b] = [out[out.length - 2], out[out.length - 1]];
        if ((b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x) > 0) break;
        out.pop();
      }
      out.push(p);
    }
    return out.slice(0, -1);
  };
  return [...chain(sorted), ...chain(sorted.reverse())];
}
