/** Runs the temporal logic over a script, as a camera and perfect models would. */
import {
  type BehaviourEvent,
  type BehaviourSettings,
  DriverMonitor,
  type DriverState,
  type Observation,
} from "../../../samples/driver-monitoring/behaviour/index.js";
import { type Action, truthAt } from "../../../samples/driver-monitoring/scripts/script.js";

/** Everything that a driver's and a camera's person may change about the readings. */
export interface Reading {
  /** The driver's own open eye, in the unit of the readings. */
  openEye?: number;
  /** Where straight ahead lies for the camera. */
  ahead?: { yaw: number; pitch: number };
  /** Without a gaze, the head decides. */
  gaze?: boolean;
}

export function observe(actions: readonly Action[], timeMs: number, o: Reading = {}): Observation {
  const t = truthAt(actions, timeMs);
  if (!t.present) return { timeMs };
  const { openEye = 1, ahead = { yaw: 0, pitch: 0 }, gaze = true } = o;
  const eye = { openness: t.openness * openEye, confidence: t.sunglasses ? 0.1 : 0.9 };
  return {
    timeMs,
    face: {
      leftEye: eye,
      rightEye: eye,
      head: { yaw: t.head.yaw + ahead.yaw, pitch: t.head.pitch + ahead.pitch, roll: t.head.roll },
      ...(gaze ? { gaze: { yaw: t.gaze.yaw + ahead.yaw, pitch: t.gaze.pitch + ahead.pitch } } : {}),
      mouthOpening: t.mouthOpening,
      sunglasses: t.sunglasses ? 0.95 : 0.03,
    },
  };
}

export interface Followed {
  states: DriverState[];
  events: BehaviourEvent[];
  last: DriverState;
}

/** @param times of the pictures, in milliseconds */
export function follow(
  actions: readonly Action[],
  times: readonly number[],
  o: Reading & { settings?: Partial<BehaviourSettings> } = {},
): Followed {
  const monitor = new DriverMonitor(o.settings);
  const states = times.map((t) => monitor.observe(observe(actions, t, o)));
  return { states, events: states.flatMap((s) => s.events), last: states[states.length - 1] };
}

/** Times of a camera with the given rate. */
export const steady = (lengthMs: number, perSecond: number): number[] =>
  Array.from({ length: Math.floor((lengthMs * perSecond) / 1000) }, (_, i) => (i * 1000) / perSecond);
