/**
 * Where the driver's attention lies: the road, a mirror, down (a phone, a lap), or away. The road is where this driver looked
 * during the first seconds. The gaze decides; where it is not known, the head does.
 */
import { Baseline } from "./baseline.js";
import type { Direction } from "./observation.js";
import type { BehaviourSettings } from "./settings.js";
import { TimeWindow } from "./timeWindow.js";

export type Zone = "road" | "mirror" | "down" | "away";

export interface AttentionReport {
  /** Undefined where no direction, or no straight ahead, is known. */
  zone?: Zone;
  by?: "gaze" | "head";
  /** How long the attention has been off the road, in this or another zone. */
  offRoadMs: number;
  /** Longest that the present look may take. */
  limitMs: number;
  /** Time away within the window, mirrors apart. */
  awaySumMs: number;
}

/** Yaw and pitch of straight ahead, once known. */
class Ahead {
  private readonly yaw: Baseline;
  private readonly pitch: Baseline;

  constructor(lengthMs: number) {
    this.yaw = new Baseline(0.5, lengthMs);
    this.pitch = new Baseline(0.5, lengthMs);
  }

  add(d: Direction, weightMs: number): void {
    this.yaw.add(d.yaw, weightMs);
    this.pitch.add(d.pitch, weightMs);
  }

  /** Undefined while straight ahead is not known. */
  relative(d: Direction | undefined): Direction | undefined {
    const [yaw, pitch] = [this.yaw.value, this.pitch.value];
    return d && yaw !== undefined && pitch !== undefined ? { yaw: d.yaw - yaw, pitch: d.pitch - pitch } : undefined;
  }

  reset(): void {
    this.yaw.reset();
    this.pitch.reset();
  }
}

export class Attention {
  private readonly gazeAhead: Ahead;
  private readonly headAhead: Ahead;
  private readonly awayTime: TimeWindow;
  private zone: Zone | undefined;
  private lastMs: number | undefined;
  private faceMs = Number.NEGATIVE_INFINITY;
  private offSince: number | undefined;
  private roadSince: number | undefined;
  /** Whether some part of the present look away was not at a mirror. */
  private beyondMirrors = false;

  constructor(private readonly s: BehaviourSettings) {
    this.gazeAhead = new Ahead(s.calibrationMs);
    this.headAhead = new Ahead(s.calibrationMs);
    this.awayTime = new TimeWindow(s.awayWindowMs);
  }

  reset(): void {
    this.gazeAhead.reset();
    this.headAhead.reset();
    this.awayTime.clear();
    this.forget();
  }

  /** @param seen undefined: no face; without `gaze`, the head decides */
  update(timeMs: number, seen: { gaze?: Direction; head: Direction } | undefined): AttentionReport {
    const gap = this.lastMs === undefined ? Number.POSITIVE_INFINITY : timeMs - this.lastMs;
    if (gap > this.s.maxGapMs) this.forget();
    if (!seen) {
      this.waitForFace(timeMs, gap);
      return this.report(timeMs, undefined);
    }
    this.faceMs = timeMs;
    if (gap <= this.s.maxGapMs) {
      this.headAhead.add(seen.head, gap);
      if (seen.gaze) this.gazeAhead.add(seen.gaze, gap);
      this.awayTime.add(timeMs - gap, timeMs, this.zone === "down" || this.zone === "away");
    }
    const byGaze = this.gazeAhead.relative(seen.gaze);
    const direction = byGaze ?? this.headAhead.relative(seen.head);
    const by = byGaze ? "gaze" : "head";
    this.lastMs = timeMs;
    if (!direction) return this.report(timeMs, undefined);
    this.zone = this.zoneOf(direction, by);
    this.follow(timeMs, this.zone);
    return this.report(timeMs, by);
  }

  /** A face that has turned so far that it is not found any more is still turned away. */
  private waitForFace(timeMs: number, gap: number): void {
    const turned = this.offSince !== undefined && this.roadSince === undefined;
    if (!turned || timeMs - this.faceMs > this.s.turnedAwayMs || gap > this.s.maxGapMs) return;
    this.awayTime.add(timeMs - gap, timeMs, this.zone !== "mirror");
    this.lastMs = timeMs;
  }

  private zoneOf({ yaw, pitch }: Direction, by: "gaze" | "head"): Zone {
    const { s } = this;
    const [wide, up, down] =
      by === "gaze" ? [s.roadYaw, s.roadUp, s.roadDown] : [s.headRoadYaw, s.headRoadUp, s.headRoadDown];
    const scale = this.zone === undefined || this.zone === "road" ? 1 : s.roadReturn;
    if (Math.abs(yaw) <= wide * scale && pitch <= up * scale && pitch >= -down * scale) return "road";
    if (pitch < -s.mirrorDown && Math.abs(yaw) <= s.mirrorYaw) return "down";
    return Math.abs(yaw) <= s.mirrorYaw && pitch >= -s.mirrorDown ? "mirror" : "away";
  }

  private follow(timeMs: number, zone: Zone): void {
    if (zone === "road") {
      this.roadSince ??= timeMs;
      if (timeMs - this.roadSince < this.s.roadReturnMs) return;
      this.offSince = undefined;
      this.beyondMirrors = false;
      return;
    }
    this.roadSince = undefined;
    this.offSince ??= timeMs;
    if (zone !== "mirror") this.beyondMirrors = true;
  }

  private forget(): void {
    this.zone = undefined;
    this.lastMs = undefined;
    this.offSince = undefined;
    this.roadSince = undefined;
    this.beyondMirrors = false;
  }

  private report(timeMs: number, by: "gaze" | "head" | undefined): AttentionReport {
    return {
      ...(by && this.zone ? { zone: this.zone, by } : {}),
      offRoadMs: this.offSince === undefined ? 0 : (this.roadSince ?? timeMs) - this.offSince,
      limitMs: this.offSince !== undefined && !this.beyondMirrors ? this.s.mirrorMs : this.s.awayMs,
      awaySumMs: this.awayTime.sums(timeMs).markedMs,
    };
  }
}
