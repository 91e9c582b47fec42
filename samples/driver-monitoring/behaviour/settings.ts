/** Thresholds of the temporal logic, with where each of them comes from. Times in milliseconds, angles in degrees. */

export interface BehaviourSettings {
  /** Readings under this confidence count as not seen. */
  minConfidence: number;
  /** A picture says something about at most this much time before it; longer gaps are time in which nothing was seen. */
  maxGapMs: number;

  /** Time of seen, steady eyes after which the driver's own open eye and straight-ahead direction are known. */
  calibrationMs: number;
  /** Calibration starts anew when nobody was seen for this long: it may be another driver. */
  recalibrateAfterMs: number;
  /** An open-eye baseline below this is not believed (the eyes were shut): calibration goes on. */
  minBaseline: number;

  /** Eyes are closed below this part of the open eye: P80, lids over 80 % of the opening (Wierwille et al. 1994). */
  closedBelow: number;
  /** Closed eyes are open again above this part. */
  openAbove: number;
  /** Shorter closures are noise of the reading. */
  blinkMs: number;
  /** From here on a closure is a long blink (0.5 s: Caffier et al. 2003 find drowsy blinks there). */
  longBlinkMs: number;
  /** From here on it is a microsleep (Euro NCAP driver state: 1 to 2 s). */
  microsleepMs: number;

  /** PERCLOS: share of closed time in this window. */
  perclosWindowMs: number;
  /** ... of which at least this much must have been seen. */
  perclosSeenMs: number;
  /** Tired above the first, drowsy above the second (Dinges and Grace 1998 use 0.08 and 0.15, without ordinary blinks). */
  perclosTired: number;
  perclosDrowsy: number;
  /** A level is left when PERCLOS is this much below its threshold. */
  perclosHysteresis: number;
  /** This many long blinks in the PERCLOS window make a driver tired. */
  longBlinksTired: number;

  /** The mouth is wide open above the first, and no longer below the second. */
  yawnAbove: number;
  yawnEndsBelow: number;
  /** Wide open for this long is a yawn. */
  yawnMs: number;
  /** This many yawns within the window make a driver tired. */
  yawnsTired: number;
  yawnWindowMs: number;

  /** Half-width of the road around straight ahead. */
  roadYaw: number;
  roadUp: number;
  roadDown: number;
  /** The same where only the head's direction is known: eyes move before heads do. */
  headRoadYaw: number;
  headRoadUp: number;
  headRoadDown: number;
  /** Mirrors lie up to this yaw to either side, and not below this pitch. */
  mirrorYaw: number;
  mirrorDown: number;
  /** Back on the road inside this part of its half-widths. */
  roadReturn: number;
  /** A look back at the road counts once it lasts this long. */
  roadReturnMs: number;
  /** Longest single look down (a phone, a lap) or elsewhere: NHTSA 2013 asks for glances under 2 s. */
  awayMs: number;
  /** Longest look at a mirror; a glance takes about a second. */
  mirrorMs: number;
  /** This much time away (mirrors apart) within the window is distraction too (Euro NCAP: 10 s of 30 s). */
  awaySumMs: number;
  awayWindowMs: number;

  /** A face that vanished while it was turned off the road counts as still there for this long. */
  turnedAwayMs: number;

  /** Dark glasses are believed above the first and until below the second, when that lasts for `sunglassesMs`. */
  sunglassesAbove: number;
  sunglassesBelow: number;
  sunglassesMs: number;

  /** A face missing for less than this changes nothing. */
  faceHoldMs: number;
  /** A face missing for this long is worth a word. */
  faceLostMs: number;
  /** Hidden eyes are worth a word after this long. */
  eyesHiddenMs: number;
  /** An alert stays at least this long after its cause has gone, so that it can be read. */
  alertHoldMs: number;
}

export const defaultBehaviour: BehaviourSettings = {
  minConfidence: 0.4,
  maxGapMs: 500,
  calibrationMs: 4000,
  recalibrateAfterMs: 20_000,
  minBaseline: 0.35,
  closedBelow: 0.2,
  openAbove: 0.35,
  blinkMs: 40,
  longBlinkMs: 500,
  microsleepMs: 1000,
  perclosWindowMs: 60_000,
  perclosSeenMs: 20_000,
  perclosTired: 0.1,
  perclosDrowsy: 0.15,
  perclosHysteresis: 0.02,
  longBlinksTired: 3,
  yawnAbove: 0.5,
  yawnEndsBelow: 0.35,
  yawnMs: 1500,
  yawnsTired: 2,
  yawnWindowMs: 300_000,
  roadYaw: 18,
  roadUp: 14,
  roadDown: 14,
  headRoadYaw: 25,
  headRoadUp: 18,
  headRoadDown: 18,
  mirrorYaw: 60,
  mirrorDown: 16,
  roadReturn: 0.8,
  roadReturnMs: 300,
  awayMs: 2000,
  mirrorMs: 3000,
  awaySumMs: 10_000,
  awayWindowMs: 30_000,
  turnedAwayMs: 6000,
  sunglassesAbove: 0.6,
  sunglassesBelow: 0.4,
  sunglassesMs: 500,
  faceHoldMs: 500,
  faceLostMs: 2000,
  eyesHiddenMs: 3000,
  alertHoldMs: 1500,
};
