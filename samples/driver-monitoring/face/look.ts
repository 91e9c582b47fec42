/** A driver and a car as plain numbers: what stays the same through a drive (`Look`), and what a moment changes (`Moment`). */
import type { EyeGlasses, EyePalette, EyeShape } from "../appearance.js";
import type { Direction, HeadPose } from "../behaviour/observation.js";
import type { Rgb } from "../colour.js";
import type { HeadShape } from "./headModel.js";

/** Size of the scene in units; the camera's picture has this shape whatever its number of pixels. */
export const SCENE = { width: 320, height: 240 } as const;

export type Covering = "none" | "mask" | "hand" | "wheel";

export interface Look {
  infrared: boolean;
  head: HeadShape;
  /** Of both eyes; openness, gaze and side are the moment's. */
  eye: EyeShape;
  palette: EyePalette;
  lips: Rgb;
  hair: {
    colour: Rgb;
    style: "bald" | "short" | "full" | "long" | "scarf" | "cap";
    /** Height of the hairline above the eyes, in millimetres. */
    line: number;
    volume: number;
  };
  beard: { density: number; moustache: number; colour: Rgb };
  glasses?: EyeGlasses;
  /** Whether the glasses hide the eyes. */
  sunglasses: boolean;
  covering: Covering;
  coveringColour: Rgb;
  /** Place of the head at rest, in units, and its size in units per millimetre. */
  x: number;
  y: number;
  scale: number;
  car: {
    seat: Rgb;
    clothes: Rgb;
    window: Rgb;
    cabin: Rgb;
    belt: boolean;
    /** Random shapes behind the driver. */
    shapes: readonly { x: number; y: number; width: number; height: number; colour: Rgb; round: number }[];
  };
  light: { angle: number; side: number; glow: number; cast?: { angle: number; offset: number; darkness: number } };
  camera: {
    gain: number;
    gamma: number;
    balance: Rgb;
    vignette: number;
    blurSigma: number;
    noiseSigma: number;
    jpegQuality: number;
  };
  detail: number;
}

export interface Moment {
  present: boolean;
  /** Lids relative to wide open, 0..1.1, for each eye. */
  leftOpenness: number;
  rightOpenness: number;
  /** Where the driver looks, as the camera sees it; head and eyes together. */
  gaze: Direction;
  head: HeadPose;
  /** Gap between the lips relative to the mouth's width at rest. */
  mouthOpening: number;
  /** Shift of the head from its place, in units. */
  dx: number;
  dy: number;
}
