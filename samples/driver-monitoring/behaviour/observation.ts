/**
 * What one picture says about the driver. Angles are in degrees as the camera sees them: yaw grows towards the right edge of
 * the picture, pitch grows upwards, roll grows clockwise. Left and right are the driver's own.
 */

export interface Direction {
  yaw: number;
  pitch: number;
}

export interface HeadPose extends Direction {
  roll: number;
}

export interface EyeReading {
  /** Gap between the lids in any unit that grows with it and is 0 for shut lids; about 1 for a wide-open eye. */
  openness: number;
  /** How much the reading can be relied on, 0..1. */
  confidence: number;
}

export interface FaceReading {
  leftEye: EyeReading;
  rightEye: EyeReading;
  /** Where the driver looks, head and eyes together; absent where the source cannot tell. */
  gaze?: Direction;
  head: HeadPose;
  /** Gap between the lips relative to the mouth's width: 0 shut, about 0.1 when talking, above 0.6 in a yawn. */
  mouthOpening: number;
  /** Probability 0..1 that dark glasses hide the eyes. */
  sunglasses: number;
}

/** One picture's reading; `face` is absent where none was found. */
export interface Observation {
  /** On a clock that only moves forward, in milliseconds. */
  timeMs: number;
  face?: FaceReading;
}
