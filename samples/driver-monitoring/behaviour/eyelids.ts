/**
 * Lids over time: open, closed or not seen; blinks by their length; PERCLOS. Times at which the lids pass a threshold are
 * interpolated between pictures, so that a closure is as long at 15 pictures a second as at 60.
 */
import { Baseline } from "./baseline.js";
import type { FaceReading } from "./observation.js";
import type { BehaviourSettings } from "./settings.js";
import { EventWindow, TimeWindow } from "./timeWindow.js";

export type LidState = "open" | "closed" | "unknown";

/** A closure of both eyes that has ended, or grew into a microsleep. */
export interface Closure {
  kind: "blink" | "long-blink" | "microsleep";
  startMs: number;
  /** So far, where the eyes are still closed. */
  durationMs: number;
}

export interface LidReport {
  state: LidState;
  /** Openness relative to this driver's open eye; undefined where the eyes are not seen. */
  openness?: number;
  /** How long the eyes have been closed; 0 when they are not. */
  closedMs: number;
  /** Share of closed time; undefined before enough was seen. */
  perclos?: number;
  longBlinks: number;
  /** Closures that became known with this picture. A microsleep is told once, as soon as it is one. */
  closures: readonly Closure[];
}

/** Openness of the pair: by confidence; undefined where neither eye is seen well enough. */
export function pairOpenness(face: FaceReading, minConfidence: number): number | undefined {
  const seen = [face.leftEye, face.rightEye].filter((e) => e.confidence >= minConfidence);
  const total = seen.reduce((sum, e) => sum + e.confidence, 0);
  return total > 0 ? seen.reduce((sum, e) => sum + e.confidence * e.openness, 0) / total : undefined;
}

/** Of the openings of the first seconds, blinks and all, this one is the open eye. */
const OPEN_QUANTILE = 0.6;

export class Eyelids {
  private readonly baseline: Baseline;
  private readonly closedTime: TimeWindow;
  private readonly longBlinks: EventWindow;
  private state: LidState = "unknown";
  private last: { timeMs: number; openness: number } | undefined;
  private closedSince = 0;
  private told = false;

  constructor(private readonly s: BehaviourSettings) {
    this.baseline = new Baseline(OPEN_QUANTILE, s.calibrationMs, s.minBaseline);
    this.closedTime = new TimeWindow(s.perclosWindowMs);
    this.longBlinks = new EventWindow(s.perclosWindowMs);
  }

  /** 0..1; 1 when the driver's own open eye is known. */
  get calibration(): number {
    return this.baseline.progress;
  }

  /** Forgets the driver. */
  reset(): void {
    this.baseline.reset();
    this.closedTime.clear();
    this.longBlinks.clear();
    this.forget();
  }

  /** @param raw openness of the pair in the source's unit; undefined: not seen */
  update(timeMs: number, raw: number | undefined): LidReport {
    if (raw === undefined) {
      // A short miss leaves everything as it is.
      if (!this.last || timeMs - this.last.timeMs > this.s.maxGapMs) this.forget();
      return this.report(timeMs, [], undefined);
    }
    const gap = this.last ? timeMs - this.last.timeMs : Number.POSITIVE_INFINITY;
    if (gap > this.s.maxGapMs) this.forget();
    else this.baseline.add(raw, gap);
    const openness = raw / (this.baseline.value ?? 1);
    const closures = this.last ? this.advance(this.last, timeMs, openness) : [];
    if (this.state === "unknown") {
      this.state = openness < this.s.closedBelow ? "closed" : "open";
      this.closedSince = timeMs;
      this.told = false;
    }
    this.last = { timeMs, openness };
    return this.report(timeMs, closures, openness);
  }

  private advance(last: { timeMs: number; openness: number }, timeMs: number, openness: number): Closure[] {
    const { closedBelow, openAbove } = this.s;
    const threshold = this.state === "closed" ? openAbove : closedBelow;
    const passes = this.state === "closed" ? openness > threshold : openness < threshold;
    if (!passes) {
      this.closedTime.add(last.timeMs, timeMs, this.state === "closed");
      return this.state === "closed" ? this.growing(timeMs) : [];
    }
    const part = (threshold - last.openness) / (openness - last.openness);
    const at = last.timeMs + Math.max(0, Math.min(1, part)) * (timeMs - last.timeMs);
    const wasClosed = this.state === "closed";
    this.closedTime.add(last.timeMs, at, wasClosed);
    this.closedTime.add(at, timeMs, !wasClosed);
    this.state = wasClosed ? "open" : "closed";
    if (wasClosed) return this.ended(at);
    this.closedSince = at;
    this.told = false;
    return [];
  }

  private growing(timeMs: number): Closure[] {
    const durationMs = timeMs - this.closedSince;
    if (this.told || durationMs < this.s.microsleepMs) return [];
    this.told = true;
    return [{ kind: "microsleep", startMs: this.closedSince, durationMs }];
  }

  private ended(at: number): Closure[] {
    const durationMs = at - this.closedSince;
    if (this.told || durationMs < this.s.blinkMs) return [];
    const { microsleepMs, longBlinkMs } = this.s;
    const kind = durationMs >= microsleepMs ? "microsleep" : durationMs >= longBlinkMs ? "long-blink" : "blink";
    if (kind === "long-blink") this.longBlinks.add(at);
    return [{ kind, startMs: this.closedSince, durationMs }];
  }

  private forget(): void {
    this.state = "unknown";
    this.last = undefined;
    this.told = false;
  }

  private report(timeMs: number, closures: readonly Closure[], openness: number | undefined): LidReport {
    const { seenMs, markedMs } = this.closedTime.sums(timeMs);
    return {
      state: this.state,
      closedMs: this.state === "closed" ? timeMs - this.closedSince : 0,
      longBlinks: this.longBlinks.count(timeMs),
      closures,
      ...(openness === undefined ? {} : { openness }),
      ...(seenMs >= this.s.perclosSeenMs ? { perclos: markedMs / seenMs } : {}),
    };
  }
}
