/** The two halves of the pipeline that models stand behind: finding faces, and reading one. */
import type { FaceReading } from "../behaviour/observation.js";
import type { PicturePoint } from "../geometry/headPose.js";
import type { FaceBox } from "./boxes.js";
import type { Frame } from "./frame.js";

/** Milliseconds now, on a clock that only moves forward. */
export type Clock = () => number;

/** Times of what a model's stage consists of. */
export interface StageMs {
  /** From the picture to the model's input. */
  prepareMs: number;
  /** The model. */
  runMs: number;
}

export interface Located {
  faces: readonly FaceBox[];
  times: StageMs;
}

export interface FaceLocator {
  readonly name: string;
  /** Faces in a picture, best first. */
  locate(frame: Frame, now: Clock): Promise<Located>;
  close(): Promise<void>;
}

export interface ReadFace {
  reading: FaceReading;
  /** In pixels of the frame. */
  landmarks: readonly PicturePoint[];
  times: StageMs;
}

export interface FaceReader {
  readonly name: string;
  /** Whether readings tell the direction of the eyes, and dark glasses. */
  readonly tells: { gaze: boolean; sunglasses: boolean };
  read(frame: Frame, face: FaceBox, now: Clock): Promise<ReadFace>;
  close(): Promise<void>;
}

/** Models by their outputs' names and dims, so that a file may be called anything. */
export interface Signature {
  inputs: readonly { name: string; dims: readonly (number | string | null)[] }[];
  outputs: readonly { name: string; dims: readonly (number | string | null)[] }[];
}
