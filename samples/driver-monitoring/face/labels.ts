/** What is true of a rendered driver, exactly. Coordinates in units of the scene. */
import type { PicturePoint } from "../geometry/headPose.js";
import { facePoints, landmarkPlaces, project, type View, viewOf } from "./headModel.js";
import type { Look, Moment } from "./look.js";

export interface FaceLabels {
  /** Around forehead, cheeks, chin and all landmarks; absent without a driver. */
  box?: { x: number; y: number; width: number; height: number };
  /** In the order of `landmarkNames`. */
  landmarks: readonly PicturePoint[];
  leftOpenness: number;
  rightOpenness: number;
  gaze: { yaw: number; pitch: number };
  head: { yaw: number; pitch: number; roll: number };
  mouthOpening: number;
  glasses: boolean;
  sunglasses: boolean;
  mask: boolean;
  /** A hand or the wheel hides part of the face. */
  occluded: boolean;
}

/** Height of the box's upper edge above the eyes, in millimetres. */
const FOREHEAD = 45;

export const viewAt = (look: Look, m: Moment): View =>
  viewOf({ ...m.head, x: look.x + m.dx, y: look.y + m.dy, scale: look.scale });

/** Labels of a scene; a function of the numbers, not of the drawing. */
export function labelsOf(look: Look, m: Moment): FaceLabels {
  const view = viewAt(look, m);
  const places = landmarkPlaces(look.head, m.mouthOpening);
  const outline = [...facePoints(look.head, m.mouthOpening, FOREHEAD), ...places].map((v) => project(view, v));
  const xs = outline.map((p) => p.x);
  const ys = outline.map((p) => p.y);
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return {
    ...(m.present ? { box: { x: left, y: top, width: Math.max(...xs) - left, height: Math.max(...ys) - top } } : {}),
    landmarks: places.map((v) => {
      const { x, y } = project(view, v);
      return { x, y };
    }),
    leftOpenness: m.leftOpenness,
    rightOpenness: m.rightOpenness,
    gaze: m.gaze,
    head: m.head,
    mouthOpening: m.mouthOpening,
    glasses: look.glasses !== undefined && !look.sunglasses,
    sunglasses: look.sunglasses,
    mask: look.covering === "mask",
    occluded: look.covering === "hand" || look.covering === "wheel",
  };
}
