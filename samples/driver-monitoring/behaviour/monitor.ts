/**
 * The temporal logic of driver monitoring: observations in, one after another; what they mean, out. Knows no model, camera or
 * clock, and works at any rate of pictures.
 */
import { type Alert, AlertBoard, type AlertKind, type AlertLevel } from "./alerts.js";
import { Attention, type AttentionReport } from "./attention.js";
import { type Drowsiness, drowsinessOf } from "./drowsiness.js";
import { type Closure, Eyelids, type LidState, pairOpenness } from "./eyelids.js";
import { Mouth } from "./mouth.js";
import type { FaceReading, Observation } from "./observation.js";
import { type BehaviourSettings, defaultBehaviour } from "./settings.js";

/** Something that happened, told once. */
export type BehaviourEvent = Closure | { kind: "yawn"; startMs: number };

export interface DriverState {
  timeMs: number;
  /** What can be said at all. */
  status: "no-face" | "calibrating" | "eyes-hidden" | "watching";
  /** 0..1, how far the driver's own open eye is known. */
  calibration: number;
  eyes: {
    state: LidState;
    /** Relative to the driver's open eye. */
    openness?: number;
    closedMs: number;
    perclos?: number;
    longBlinks: number;
  };
  mouth: { yawning: boolean; yawns: number };
  attention: AttentionReport;
  drowsiness: Drowsiness;
  events: readonly BehaviourEvent[];
  /** Gravest first. */
  alerts: readonly Alert[];
}

/** Something that must last before it counts. */
class Lasting {
  private since: number | undefined;

  /** How long `holds` has been true without a break, in milliseconds. */
  update(timeMs: number, holds: boolean): number {
    if (!holds) this.since = undefined;
    else this.since ??= timeMs;
    return this.since === undefined ? 0 : timeMs - this.since;
  }
}

export class DriverMonitor {
  private readonly s: BehaviourSettings;
  private readonly eyelids: Eyelids;
  private readonly mouth: Mouth;
  private readonly attention: Attention;
  private readonly board: AlertBoard;
  private readonly glassesOn = new Lasting();
  private readonly glassesOff = new Lasting();
  private readonly hidden = new Lasting();
  private darkGlasses = false;
  private drowsiness: Drowsiness = "unknown";
  private lastMs: number | undefined;
  private firstMs: number | undefined;
  private faceMs: number | undefined;

  constructor(settings: Partial<BehaviourSettings> = {}) {
    this.s = { ...defaultBehaviour, ...settings };
    this.eyelids = new Eyelids(this.s);
    this.mouth = new Mouth(this.s);
    this.attention = new Attention(this.s);
    this.board = new AlertBoard(this.s.alertHoldMs);
  }

  /** Takes the next observation. Throws RangeError when time does not move forward. */
  observe({ timeMs, face }: Observation): DriverState {
    if (!Number.isFinite(timeMs) || (this.lastMs !== undefined && timeMs <= this.lastMs))
      throw new RangeError(`observations must move forward in time: ${timeMs} ms after ${this.lastMs} ms`);
    this.lastMs = timeMs;
    this.firstMs ??= timeMs;
    const lostMs = face ? 0 : timeMs - (this.faceMs ?? this.firstMs);
    if (face && this.faceMs !== undefined && timeMs - this.faceMs > this.s.recalibrateAfterMs) this.reset();
    if (face) this.faceMs = timeMs;

    const usable = face && this.eyesUsable(timeMs, face);
    const lids = this.eyelids.update(timeMs, usable ? pairOpenness(face, this.s.minConfidence) : undefined);
    const hiddenMs = this.hidden.update(timeMs, face !== undefined && lids.state === "unknown");
    const { yawn, ...mouth } = this.mouth.update(timeMs, face?.mouthOpening);
    const gaze = lids.state === "open" && lids.openness !== undefined ? face?.gaze : undefined;
    const attention = this.attention.update(timeMs, face && { head: face.head, ...(gaze ? { gaze } : {}) });
    this.drowsiness = drowsinessOf({ ...lids, yawns: mouth.yawns }, this.drowsiness, this.s);

    const noFace = lostMs >= this.s.faceHoldMs || this.faceMs === undefined;
    const { closures, ...eyes } = lids;
    const calibration = this.eyelids.calibration;
    return {
      timeMs,
      status: noFace
        ? "no-face"
        : lids.state === "unknown"
          ? "eyes-hidden"
          : calibration < 1
            ? "calibrating"
            : "watching",
      calibration,
      eyes,
      mouth,
      attention,
      drowsiness: this.drowsiness,
      events: yawn ? [...closures, { kind: "yawn", ...yawn }] : closures,
      alerts: this.board.update(timeMs, this.causes(lids.closedMs, attention, lostMs, hiddenMs)),
    };
  }

  /** Forgets the driver: calibration, windows and all. */
  reset(): void {
    this.eyelids.reset();
    this.mouth.reset();
    this.attention.reset();
    this.board.clear();
    this.darkGlasses = false;
    this.drowsiness = "unknown";
  }

  private eyesUsable(timeMs: number, { sunglasses }: FaceReading): boolean {
    const { sunglassesAbove, sunglassesBelow, sunglassesMs } = this.s;
    if (this.glassesOn.update(timeMs, sunglasses > sunglassesAbove) >= sunglassesMs) this.darkGlasses = true;
    if (this.glassesOff.update(timeMs, sunglasses < sunglassesBelow) >= sunglassesMs) this.darkGlasses = false;
    // Behind what may be dark glasses nothing is read, even before that is sure.
    return !this.darkGlasses && sunglasses <= sunglassesAbove;
  }

  private causes(
    closedMs: number,
    attention: AttentionReport,
    lostMs: number,
    hiddenMs: number,
  ): ReadonlyMap<AlertKind, AlertLevel> {
    const { s } = this;
    const causes = new Map<AlertKind, AlertLevel>();
    const away = attention.zone === "down" || attention.zone === "away";
    if (closedMs >= s.microsleepMs) causes.set("microsleep", "critical");
    if (this.drowsiness === "drowsy") causes.set("drowsiness", "warning");
    else if (this.drowsiness === "tired") causes.set("drowsiness", "notice");
    if (attention.offRoadMs >= 2 * attention.limitMs) causes.set("distraction", "critical");
    else if (attention.offRoadMs >= attention.limitMs || (away && attention.awaySumMs >= s.awaySumMs))
      causes.set("distraction", "warning");
    if (lostMs >= s.faceLostMs) causes.set("face-lost", "notice");
    if (hiddenMs >= s.eyesHiddenMs) causes.set("eyes-hidden", "notice");
    return causes;
  }
}
