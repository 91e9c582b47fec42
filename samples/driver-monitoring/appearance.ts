/**
 * What an eye crop shows, as plain numbers and colours: the exact labels and everything that the picture varies besides.
 * Values are drawn at random in population.ts, pictured in eyeSvg.ts, and spoiled by a camera in camera.ts.
 */
import type { Rgb } from "./colour.js";

/** Width and height of a crop in pixels. */
export const CROP_SIDE = 32;

/** Below this openness an eye counts as closed. Openness is relative to the same person's wide-open eye. */
export const CLOSED_BELOW = 0.2;
/** Above this openness an eye counts as open. Between the two bounds the state is ambiguous, and no crop is drawn there. */
export const OPEN_ABOVE = 0.35;

export type Eyewear = "none" | "glasses" | "sunglasses";

/** The shape of the eye. Lengths are in crop units (the crop is 96 units wide and high), angles in radians. */
export interface EyeShape {
  /** Corner to corner. */
  width: number;
  /** Gap between the lids of this person's wide-open eye, as a part of `width`. */
  openRatio: number;
  /** Gap between the lids now, as a part of the wide-open gap: 0 closed, 1 wide open. The label. */
  openness: number;
  /** Outer corner above (negative: below) the inner one, as a part of `width`. */
  tilt: number;
  /** Where the upper lid peaks: negative towards the nose. */
  peak: number;
  /** Iris radius as a part of `width`. */
  iris: number;
  /** Pupil radius as a part of the iris radius. */
  pupil: number;
  /** Gaze direction of the eye in its head. */
  gazeYaw: number;
  gazePitch: number;
  /** Distance of the lid crease above the lid, as a part of `width`, and its strength (0: no crease). */
  creaseDistance: number;
  creaseStrength: number;
  /** Strength 0..1 of the fold under the eye and of the wrinkles at its outer corner. */
  bag: number;
  wrinkles: number;
  /** Distance of the brow above the eye, its thickness, both in units, and its density 0..1. */
  browDistance: number;
  browThickness: number;
  browDensity: number;
  browArch: number;
  /** Lash length in units, lashes in the upper row, eyeliner thickness in units. */
  lashLength: number;
  lashCount: number;
  liner: number;
}

export interface EyePalette {
  skin: Rgb;
  /** Lid colour: skin, or make-up on it. */
  lid: Rgb;
  hair: Rgb;
  iris: Rgb;
  sclera: Rgb;
  pupil: Rgb;
  /** Inner corner and lid margin. */
  flesh: Rgb;
  shadow: Rgb;
}

export interface EyeLight {
  /** Side light: direction of the light in the picture, strength 0..1. */
  angle: number;
  side: number;
  /** Darkness of the eye socket 0..1. */
  socket: number;
  /** Highlights on the eye: offset from the iris centre in iris radii, size in iris radii. */
  glints: readonly { dx: number; dy: number; size: number }[];
  /** A hard shadow edge across the crop (car pillar, visor): position in units and darkness; absent: none. */
  cast?: { angle: number; offset: number; darkness: number };
}

export interface EyeGlasses {
  kind: Exclude<Eyewear, "none">;
  frame: Rgb;
  frameThickness: number;
  /** Half-axes of the lens and its centre, in units; corner radius as a part of the half height. */
  lens: { rx: number; ry: number; cx: number; cy: number; corner: number };
  tint: Rgb;
  tintOpacity: number;
  /** Reflections on the lens. */
  glare: readonly {
    x: number;
    y: number;
    width: number;
    height: number;
    angle: number;
    opacity: number;
    soft: boolean;
  }[];
}

/** How the crop lies over the eye. */
export interface CropPose {
  rotation: number;
  scale: number;
  dx: number;
  dy: number;
  /** Horizontal foreshortening by the head's yaw, and shear. */
  squeeze: number;
  shear: number;
}

/** What the camera does; see camera.ts. Lengths are in pixels of the final 32x32 crop, levels in 0..255. */
export interface CameraEffects {
  /** A sensor without colour, as near-infrared cameras have. */
  monochrome: boolean;
  gain: number;
  gamma: number;
  whiteBalance: Rgb;
  vignette: number;
  blurSigma: number;
  motion: { dx: number; dy: number };
  /** The crop was enlarged from this many pixels a side. */
  sourcePixels: number;
  noiseSigma: number;
  /** JPEG quality; 0: not compressed. */
  jpegQuality: number;
}

export interface EyeAppearance {
  side: "left" | "right";
  infrared: boolean;
  eyewear: Eyewear;
  shape: EyeShape;
  palette: EyePalette;
  light: EyeLight;
  glasses?: EyeGlasses;
  /** A strand of hair over the crop. */
  strand?: { x: number; lean: number; width: number };
  pose: CropPose;
  camera: CameraEffects;
  /** Seeds the fine detail (single lashes, iris fibres, noise). */
  detail: number;
}

/** 1 open, 0 closed, undefined in the ambiguous band. */
export function eyeState(openness: number): 0 | 1 | undefined {
  if (openness < CLOSED_BELOW) return 0;
  return openness > OPEN_ABOVE ? 1 : undefined;
}
