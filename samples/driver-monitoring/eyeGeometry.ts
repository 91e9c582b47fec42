/**
 * Where the parts of an eye lie, from its shape. Crop units; the origin is midway between the corners, x grows from the
 * nose to the temple, y grows downwards. Knows nothing of colours.
 */
import type { EyeShape } from "./appearance.js";

export interface Point {
  x: number;
  y: number;
}

/** A cubic Bezier curve. */
export type Curve = readonly [Point, Point, Point, Point];

/** Heights of the lids as parts of the wide-open gap, measured from the line between the corners. */
const UPPER_OPEN = -0.66;
const LOWER_OPEN = 0.34;
const LINE_CLOSED = 0.24;
/** Radius of the eyeball as a part of the eye's width: 12 mm to 30 mm. */
const EYEBALL = 0.4;

export interface EyeGeometry {
  upperLid: Curve;
  lowerLid: Curve;
  /** Fold above the upper lid, and the one under the eye. */
  crease: Curve;
  bag: Curve;
  iris: { x: number; y: number; rx: number; ry: number };
  /** Middle of the brow; its ends follow from the arch. */
  brow: Curve;
  /** Wide-open gap in units. */
  openGap: number;
}

/** Point of a curve at parameter t in 0..1. */
export function pointAt([a, b, c, d]: Curve, t: number): Point {
  const s = 1 - t;
  const [k0, k1, k2, k3] = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t];
  return { x: k0 * a.x + k1 * b.x + k2 * c.x + k3 * d.x, y: k0 * a.y + k1 * b.y + k2 * c.y + k3 * d.y };
}

/** Lids, iris, folds and brow of an eye. The gap between the lids at their middle is exactly openness x openRatio x width. */
export function eyeGeometry(shape: EyeShape): EyeGeometry {
  const { width } = shape;
  const openGap = shape.openRatio * width;
  const inner: Point = { x: -width / 2, y: (shape.tilt * width) / 2 };
  const outer: Point = { x: width / 2, y: (-shape.tilt * width) / 2 };
  const follow = -shape.gazePitch * 0.1 * width;
  const arc = (middle: number, peak: number, stretch = 1): Curve => {
    // A cubic with equal control heights c passes its middle at 0.75 c.
    const height = middle / 0.75;
    const from = { x: inner.x * stretch, y: inner.y };
    const to = { x: outer.x * stretch, y: outer.y };
    return [
      from,
      { x: from.x + width * 0.24, y: from.y + height * (1 - peak) },
      { x: to.x - width * 0.26, y: to.y + height * (1 + peak) },
      to,
    ];
  };
  const lid = (open: number) => (LINE_CLOSED + (open - LINE_CLOSED) * shape.openness) * openGap + follow;
  const upper = lid(UPPER_OPEN);
  const lower = lid(LOWER_OPEN);
  const closing = Math.max(0, Math.min(1, 1 - shape.openness));
  const creaseHeight = UPPER_OPEN * openGap * (1 - 0.3 * closing) - shape.creaseDistance * width;
  const browHeight = -0.5 * openGap - shape.browDistance + 3 * closing;
  return {
    upperLid: arc(upper, shape.peak),
    lowerLid: arc(lower, -0.12),
    crease: arc(Math.min(creaseHeight, upper - 2), shape.peak * 0.6, 1.04).map((p, i) => ({
      ...p,
      y: p.y - (i === 0 ? 1.2 : i === 3 ? 2 : 0),
    })) as unknown as Curve,
    bag: [
      { x: -width * 0.46, y: inner.y + 0.07 * width },
      { x: -width * 0.3, y: LOWER_OPEN * openGap + 0.2 * width },
      { x: width * 0.02, y: LOWER_OPEN * openGap + 0.26 * width },
      { x: width * 0.3, y: LOWER_OPEN * openGap + 0.12 * width },
    ],
    iris: {
      x: EYEBALL * width * Math.sin(shape.gazeYaw),
      y: -EYEBALL * width * Math.sin(shape.gazePitch) - 0.14 * openGap + follow * 0.4,
      rx: shape.iris * width * Math.cos(shape.gazeYaw),
      ry: shape.iris * width * Math.cos(shape.gazePitch),
    },
    brow: [
      { x: -width * 0.56, y: browHeight + shape.browArch * 0.6 },
      { x: -width * 0.2, y: browHeight - shape.browArch * 0.5 },
      { x: width * 0.3, y: browHeight - shape.browArch },
      { x: width * 0.66, y: browHeight + shape.browArch * 1.1 },
    ],
    openGap,
  };
}
