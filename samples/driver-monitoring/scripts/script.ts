/**
 * Drivers by script: a list of actions becomes, for every moment, what eyes, mouth and head truly do. Drives the tests of the
 * temporal logic and the rendered sequences, so that both have known answers.
 */
import type { Direction, HeadPose } from "../behaviour/observation.js";

/** Times in milliseconds from the start of the script, angles in degrees. */
export type Action =
  /** Both eyes shut for `forMs`, lids moving before and after. */
  | { do: "close"; at: number; forMs: number }
  | { do: "yawn"; at: number; forMs: number }
  /** Looks somewhere; the head takes part of the way, the eyes the rest. */
  | { do: "look"; at: number; forMs: number; yaw: number; pitch: number; head?: number }
  | { do: "sunglasses"; at: number; forMs: number }
  /** Out of the picture. */
  | { do: "leave"; at: number; forMs: number };

/** What is true at one moment. */
export interface Truth {
  present: boolean;
  /** Both eyes, relative to wide open. */
  openness: number;
  /** Head and eyes together. */
  gaze: Direction;
  head: HeadPose;
  mouthOpening: number;
  sunglasses: boolean;
}

/** Lids take this long to close or open, jaws this long, and a look this long to arrive. */
export const LID_MS = 90;
export const JAW_MS = 600;
export const LOOK_MS = 220;

const OPEN = 0.95;
const YAWN_OPENING = 0.85;
/** Lids follow a lowered gaze: this much openness per degree. */
const LID_PER_DEGREE_DOWN = 0.012;
const HEAD_SHARE = 0.6;

/** 0 outside, 1 during the action, straight lines of `ramp` milliseconds before and after. */
function presence(t: number, at: number, forMs: number, ramp: number): number {
  if (t >= at && t <= at + forMs) return 1;
  const away = t < at ? at - t : t - at - forMs;
  return ramp > 0 ? Math.max(0, 1 - away / ramp) : 0;
}

/** What the actions make of the moment `t`. */
export function truthAt(actions: readonly Action[], t: number): Truth {
  const truth = {
    present: true,
    shut: 0,
    gaze: { yaw: 0, pitch: 0 },
    head: { yaw: 0, pitch: 0, roll: 0 },
    mouthOpening: 0.03,
    sunglasses: false,
  };
  for (const a of actions) {
    switch (a.do) {
      case "close":
        truth.shut = Math.max(truth.shut, presence(t, a.at, a.forMs, LID_MS));
        break;
      case "yawn": {
        const p = presence(t, a.at, a.forMs, JAW_MS);
        truth.mouthOpening = Math.max(truth.mouthOpening, p * YAWN_OPENING);
        truth.shut = Math.max(truth.shut, 0.35 * p); // eyes narrow in a yawn
        break;
      }
      case "look": {
        const p = presence(t, a.at, a.forMs, LOOK_MS);
        const share = (a.head ?? HEAD_SHARE) * p;
        truth.gaze.yaw += p * a.yaw;
        truth.gaze.pitch += p * a.pitch;
        truth.head.yaw += share * a.yaw;
        truth.head.pitch += share * a.pitch;
        break;
      }
      case "sunglasses":
        truth.sunglasses ||= presence(t, a.at, a.forMs, 0) > 0;
        break;
      case "leave":
        if (presence(t, a.at, a.forMs, 0) > 0) truth.present = false;
    }
  }
  const { shut, ...rest } = truth;
  const eyesDown = Math.max(0, rest.head.pitch - rest.gaze.pitch);
  return { ...rest, openness: (OPEN - LID_PER_DEGREE_DOWN * eyesDown) * (1 - shut) };
}

/** Times at which the eyes are shut for an ordinary blink, every few seconds, none within the given stretches. */
export function blinks(
  everyMs: number,
  untilMs: number,
  except: readonly (readonly [number, number])[] = [],
): Action[] {
  const list: Action[] = [];
  for (let at = everyMs; at < untilMs - everyMs / 2; at += everyMs) {
    if (except.every(([from, to]) => at < from || at > to)) list.push({ do: "close", at, forMs: 80 });
  }
  return list;
}
