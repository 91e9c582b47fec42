/** Yawns: a mouth that stays wide open. Speech and laughter open it too, but not for as long. */
import type { BehaviourSettings } from "./settings.js";
import { EventWindow } from "./timeWindow.js";

export interface MouthReport {
  yawning: boolean;
  /** Yawns within the window. */
  yawns: number;
  /** Set with the picture in which a wide-open mouth becomes a yawn. */
  yawn?: { startMs: number };
}

export class Mouth {
  private readonly yawns: EventWindow;
  private openSince: number | undefined;
  private yawning = false;
  private lastSeen: { timeMs: number; opening: number } | undefined;

  constructor(private readonly s: BehaviourSettings) {
    this.yawns = new EventWindow(s.yawnWindowMs);
  }

  reset(): void {
    this.yawns.clear();
    this.forget();
  }

  /** @param opening undefined: not seen */
  update(timeMs: number, opening: number | undefined): MouthReport {
    const { maxGapMs, yawnAbove, yawnEndsBelow, yawnMs } = this.s;
    if (this.lastSeen && timeMs - this.lastSeen.timeMs > maxGapMs) this.forget();
    let yawn: MouthReport["yawn"];
    if (opening !== undefined) {
      if (this.openSince === undefined && opening > yawnAbove) this.openSince = this.crossing(timeMs, opening);
      if (opening < yawnEndsBelow) {
        this.openSince = undefined;
        this.yawning = false;
      }
      if (this.openSince !== undefined && !this.yawning && timeMs - this.openSince >= yawnMs) {
        this.yawning = true;
        this.yawns.add(timeMs);
        yawn = { startMs: this.openSince };
      }
      this.lastSeen = { timeMs, opening };
    }
    return { yawning: this.yawning, yawns: this.yawns.count(timeMs), ...(yawn ? { yawn } : {}) };
  }

  private crossing(timeMs: number, opening: number): number {
    const last = this.lastSeen;
    if (!last || last.opening >= opening) return timeMs;
    const part = (this.s.yawnAbove - last.opening) / (opening - last.opening);
    return last.timeMs + Math.max(0, Math.min(1, part)) * (timeMs - last.timeMs);
  }

  private forget(): void {
    this.openSince = undefined;
    this.yawning = false;
    this.lastSeen = undefined;
  }
}
