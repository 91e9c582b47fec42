/** From PERCLOS, long blinks and yawns to one word. */
import type { BehaviourSettings } from "./settings.js";

export type Drowsiness = "unknown" | "awake" | "tired" | "drowsy";

export interface DrowsinessSigns {
  /** Undefined before enough of the eyes was seen. */
  perclos?: number;
  longBlinks: number;
  yawns: number;
}

/**
 * Drowsy: PERCLOS alone says so, or two of the three signs agree on tired. The present level keeps PERCLOS' thresholds a little
 * lower, so that it does not flicker. Without PERCLOS nobody is called awake.
 */
export function drowsinessOf(signs: DrowsinessSigns, before: Drowsiness, s: BehaviourSettings): Drowsiness {
  const { perclos } = signs;
  const above = (threshold: number, held: boolean): boolean =>
    perclos !== undefined && perclos >= threshold - (held ? s.perclosHysteresis : 0);
  const drowsyByTime = above(s.perclosDrowsy, before === "drowsy");
  const tiredByTime = above(s.perclosTired, before === "tired" || before === "drowsy");
  const tired = [tiredByTime, signs.longBlinks >= s.longBlinksTired, signs.yawns >= s.yawnsTired].filter(
    Boolean,
  ).length;
  if (drowsyByTime || tired >= 2) return "drowsy";
  if (tired === 1) return "tired";
  return perclos === undefined ? "unknown" : "awake";
}
