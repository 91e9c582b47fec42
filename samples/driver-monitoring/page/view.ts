/// <reference lib="dom" />
/** Draws what the worker found: marks on the picture, readings, stages, the last minute. Decides nothing. */
import type { DriverState } from "../behaviour/index.js";
import type { Analysis } from "../pipeline/pipeline.js";
import { budgetMs, PICTURE_MS, pageStages, type StageClock, stageNames } from "./budget.js";
import { attentionWord, drowsinessWord, type Saying, sayingFor } from "./words.js";

export const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Shows what the driver should know now. */
export function showSaying(s: Saying): void {
  element("alert").dataset.level = s.level;
  const [title, detail] = [element("alert-title"), element("alert-detail")];
  // A status that is written anew is read out anew.
  if (title.textContent !== s.title) title.textContent = s.title;
  if (detail.textContent !== s.detail) detail.textContent = s.detail;
}

/** A row of a list: name, bar, value. Rows are made once and written to afterwards. */
class Row {
  private readonly bar: HTMLElement;
  private readonly fill: HTMLElement;
  private readonly value: HTMLElement;

  constructor(list: HTMLElement, name: string) {
    const title = document.createElement("dt");
    title.textContent = name;
    this.bar = document.createElement("div");
    this.bar.className = "bar";
    this.fill = document.createElement("i");
    this.bar.append(this.fill);
    this.value = document.createElement("dd");
    list.append(title, this.bar, this.value);
  }

  set(text: string, part?: number, over = false): void {
    this.value.textContent = text;
    this.bar.style.visibility = part === undefined ? "hidden" : "visible";
    this.fill.style.width = `${Math.round(100 * Math.max(0, Math.min(1, part ?? 0)))}%`;
    this.bar.dataset.over = String(over);
  }
}

const percent = (v: number | undefined): string => (v === undefined ? "–" : `${Math.round(100 * v)} %`);
const degrees = (v: number): string => `${Math.round(v)}°`;

export class DriverPanel {
  private readonly rows: Record<string, Row>;

  constructor(list: HTMLElement) {
    const names = {
      left: "Left eye",
      right: "Right eye",
      perclos: "PERCLOS",
      drowsiness: "Drowsiness",
      attention: "Attention",
      gaze: "Gaze",
      head: "Head",
      mouth: "Mouth",
      yawns: "Yawns, 5 min",
      blinks: "Long blinks, 1 min",
    };
    this.rows = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, new Row(list, name)]));
  }

  show({ driver, state }: Analysis): void {
    const { rows } = this;
    const r = driver?.reading;
    const eye = (e: { openness: number; confidence: number } | undefined) =>
      e && e.confidence >= 0.4 ? e.openness : undefined;
    const [left, right] = [eye(r?.leftEye), eye(r?.rightEye)];
    rows.left.set(percent(left), left);
    rows.right.set(percent(right), right);
    rows.perclos.set(percent(state.eyes.perclos), (state.eyes.perclos ?? 0) / 0.3, (state.eyes.perclos ?? 0) >= 0.15);
    rows.drowsiness.set(drowsinessWord(state));
    rows.attention.set(
      attentionWord(state),
      state.attention.offRoadMs / state.attention.limitMs,
      state.attention.offRoadMs >= state.attention.limitMs,
    );
    rows.gaze.set(r?.gaze ? `${degrees(r.gaze.yaw)} ${degrees(r.gaze.pitch)}` : "–");
    rows.head.set(r ? `${degrees(r.head.yaw)} ${degrees(r.head.pitch)} ${degrees(r.head.roll)}` : "–");
    rows.mouth.set(state.mouth.yawning ? "yawning" : percent(r?.mouthOpening), r?.mouthOpening);
    rows.yawns.set(String(state.mouth.yawns));
    rows.blinks.set(String(state.eyes.longBlinks));
    showSaying(sayingFor(state));
  }
}

/** Below this rate short blinks fall between pictures, and below the second one nothing can be said over time. */
const FEW_PICTURES = 12;
const TOO_FEW_PICTURES = 4;

function slowness(perSecond: number, totalMs: number): string {
  const who = totalMs > PICTURE_MS ? "This device analyses" : "The camera gives";
  const rate = `${perSecond.toFixed(perSecond < 10 ? 1 : 0)} pictures a second`;
  if (perSecond < TOO_FEW_PICTURES) return `${who} ${rate}; to watch a driver takes ${TOO_FEW_PICTURES} at the least.`;
  return perSecond < FEW_PICTURES
    ? `${who} ${rate}. Durations are measured by the clock and stay right; short blinks may be missed.`
    : "";
}

export class StagePanel {
  private readonly rows: Record<string, Row>;

  constructor(list: HTMLElement) {
    this.rows = Object.fromEntries(
      [...pageStages, "total"].map((s) => [
        s,
        new Row(list, s === "total" ? "Whole picture" : stageNames[s as keyof typeof stageNames]),
      ]),
    );
  }

  show(clock: StageClock): void {
    const summary = clock.summary();
    if (!summary) return;
    for (const s of pageStages) {
      const ms = summary.times[s];
      this.rows[s].set(`${ms.toFixed(1)} / ${budgetMs[s]} ms`, ms / budgetMs[s], ms > budgetMs[s]);
    }
    this.rows.total.set(
      `${summary.totalMs.toFixed(1)} / ${PICTURE_MS.toFixed(0)} ms`,
      summary.totalMs / PICTURE_MS,
      summary.totalMs > PICTURE_MS,
    );
    element("slow").textContent = slowness(summary.picturesPerSecond, summary.totalMs);
  }
}

/** Marks on the picture: box, landmarks, where the eyes look. */
export function drawMarks(canvas: HTMLCanvasElement, { driver, faces }: Analysis, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const c = canvas.getContext("2d")!;
  c.clearRect(0, 0, width, height);
  const unit = width / 320;
  c.lineWidth = 1.2 * unit;
  for (const f of faces) {
    c.strokeStyle = f === driver?.box ? "#58a6ff" : "#8b949e";
    c.strokeRect(f.x, f.y, f.width, f.height);
  }
  if (!driver) return;
  c.fillStyle = "#3fb950";
  for (const p of driver.landmarks) {
    c.beginPath();
    c.arc(p.x, p.y, 1.4 * unit, 0, 2 * Math.PI);
    c.fill();
  }
  const { gaze } = driver.reading;
  if (!gaze || driver.landmarks.length !== 8) return;
  const length = driver.box.width * 0.55;
  c.strokeStyle = "#f2cc60";
  for (const [a, b] of [
    [0, 1],
    [2, 3],
  ]) {
    const x = (driver.landmarks[a].x + driver.landmarks[b].x) / 2;
    const y = (driver.landmarks[a].y + driver.landmarks[b].y) / 2;
    c.beginPath();
    c.moveTo(x, y);
    c.lineTo(x + length * Math.sin((gaze.yaw * Math.PI) / 180), y - length * Math.sin((gaze.pitch * Math.PI) / 180));
    c.stroke();
  }
}

interface Sample {
  atMs: number;
  openness?: number;
  offRoad: boolean;
  yawning: boolean;
  alert?: string;
}

const MINUTE_MS = 60_000;

/** Openness as a curve, and lanes for looks away, yawns and alerts, of the last minute. */
export class Timeline {
  private samples: Sample[] = [];

  constructor(private readonly canvas: HTMLCanvasElement) {}

  add(s: DriverState): void {
    const { openness } = s.eyes;
    this.samples.push({
      atMs: s.timeMs,
      ...(openness === undefined ? {} : { openness }),
      offRoad: s.attention.offRoadMs > 0,
      yawning: s.mouth.yawning,
      ...(s.alerts[0] ? { alert: s.alerts[0].level } : {}),
    });
    const first = this.samples.findIndex((x) => x.atMs > s.timeMs - MINUTE_MS);
    if (first > 200) this.samples = this.samples.slice(first);
  }

  clear(): void {
    this.samples = [];
  }

  draw(nowMs: number): void {
    const { canvas } = this;
    const ratio = devicePixelRatio;
    const [w, h] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== w) canvas.width = w;
    if (canvas.height !== h) canvas.height = h;
    const c = canvas.getContext("2d")!;
    c.clearRect(0, 0, w, h);
    const left = 62 * ratio;
    const x = (atMs: number): number => left + (w - left) * (1 - (nowMs - atMs) / MINUTE_MS);
    const lane = h / 6;
    c.font = `${11 * ratio}px system-ui, sans-serif`;
    c.textBaseline = "middle";
    c.fillStyle = colour("--soft");
    ["Eyes", "Away", "Yawn", "Alert"].forEach((name, i) => {
      c.fillText(name, 0, i === 0 ? 1.5 * lane : (2.5 + i) * lane);
    });
    c.strokeStyle = colour("--mark");
    c.lineWidth = 1.3 * ratio;
    c.beginPath();
    let open = false;
    for (const s of this.samples) {
      const at = x(s.atMs);
      if (at < left || s.openness === undefined) {
        open = false;
        continue;
      }
      const y = 2.8 * lane - 2.6 * lane * Math.max(0, Math.min(1.1, s.openness)) * 0.9;
      if (open) c.lineTo(at, y);
      else c.moveTo(at, y);
      open = true;
    }
    c.stroke();
    const fill = (i: number, of: (s: Sample) => string | undefined): void => {
      this.samples.forEach((s, k) => {
        const name = of(s);
        const at = x(s.atMs);
        if (!name || at < left) return;
        const next = this.samples[k + 1];
        c.fillStyle = colour(name);
        c.fillRect(
          at,
          (2.1 + i) * lane,
          Math.max(ratio, Math.min(8 * ratio, next ? x(next.atMs) - at + 0.5 : ratio)),
          lane * 0.8,
        );
      });
    };
    fill(1, (s) => (s.offRoad ? "--notice" : undefined));
    fill(2, (s) => (s.yawning ? "--mark" : undefined));
    fill(3, (s) => s.alert && `--${s.alert}`);
  }
}
