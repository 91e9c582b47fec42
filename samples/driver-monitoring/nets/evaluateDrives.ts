/** How well a pipeline follows scripted drives: rendered, found, read, and judged over time, against what the scripts say. */
import { type Progress, throwIfAborted } from "../../../toolkit/graph/progress.js";
import { type AlertKind, type AlertLevel, defaultBehaviour } from "../behaviour/index.js";
import { renderDriver } from "../face/renderFace.js";
import { driveOf, watchableLook } from "../face/sequence.js";
import { Pipeline } from "../pipeline/pipeline.js";
import type { FaceLocator, FaceReader } from "../pipeline/stack.js";
import { type Scenario, scenarios } from "../scripts/scenarios.js";
import { truthAt } from "../scripts/script.js";

export interface DriveResult {
  scenario: string;
  driver: number;
  /** Alerts of the script that came, and those that did not. */
  came: number;
  missed: string[];
  /** Alerts that the script does not know. */
  stray: string[];
  /** Read and true PERCLOS at the end; absent where too little was seen. */
  perclos?: { read: number; true: number };
  pictures: number;
}

export interface DriveOptions {
  /** Drivers for each scenario. */
  drivers: number;
  /** Pictures per second. */
  rate: number;
  seed: number;
  /** Default: all. */
  only?: readonly Scenario[];
  onProgress?: Progress;
  signal?: AbortSignal;
}

/** Stream family of the drivers: neither the training's nor the test pictures'. */
const DRIVER_FAMILY = 40;
const LEVELS: readonly AlertLevel[] = ["notice", "warning", "critical"];
/** Beyond the script's own times: for readings a little early or late. */
const SLACK_MS = 700;

/** Share of the last window in which the script's lids cover at least 80 % of the open eye, by small steps; undefined where they are not seen at all. */
export function truePerclos(s: Scenario, windowMs: number): number | undefined {
  const from = Math.max(0, s.lengthMs - windowMs);
  const open = truthAt([], 0).openness;
  const stepMs = 5;
  let closed = 0;
  let count = 0;
  for (let t = from; t < s.lengthMs; t += stepMs) {
    const truth = truthAt(s.actions, t);
    if (!truth.present || truth.sunglasses) continue;
    count++;
    if (truth.openness < defaultBehaviour.closedBelow * open) closed++;
  }
  return count > 0 ? closed / count : undefined;
}

/** Stretches in which an alert of a kind was up, with its highest level. */
interface Episode {
  kind: AlertKind;
  level: AlertLevel;
  fromMs: number;
  toMs: number;
}

async function follow(
  stack: { locator: FaceLocator; reader: FaceReader },
  s: Scenario,
  driver: number,
  o: DriveOptions,
): Promise<DriveResult> {
  const drive = driveOf(s.actions, watchableLook(o.seed, DRIVER_FAMILY, driver));
  const pipeline = new Pipeline({ ...stack, now: () => performance.now() });
  const episodes: Episode[] = [];
  const up = new Map<AlertKind, Episode>();
  let perclos: number | undefined;
  const pictures = Math.floor((s.lengthMs * o.rate) / 1000);
  for (let i = 0; i < pictures; i++) {
    throwIfAborted(o.signal);
    const t = (i * 1000) / o.rate;
    const frame = await renderDriver(drive.look(t), drive.moment(t), 320, i);
    const { state } = await pipeline.analyse(frame, t);
    perclos = state.eyes.perclos;
    for (const a of state.alerts) {
      const known = up.get(a.kind);
      const episode = known ?? { kind: a.kind, level: a.level, fromMs: t, toMs: t };
      if (LEVELS.indexOf(a.level) > LEVELS.indexOf(episode.level)) episode.level = a.level;
      episode.toMs = t;
      if (known) continue;
      up.set(a.kind, episode);
      episodes.push(episode);
    }
    for (const kind of [...up.keys()]) if (!state.alerts.some((a) => a.kind === kind)) up.delete(kind);
  }
  const overlaps = (e: Episode, a: { kind: AlertKind; fromMs: number; toMs: number }): boolean =>
    e.kind === a.kind && e.fromMs <= a.toMs + SLACK_MS && e.toMs >= a.fromMs - SLACK_MS;
  const missed = s.alerts.filter(
    (a) => !episodes.some((e) => overlaps(e, a) && LEVELS.indexOf(e.level) >= LEVELS.indexOf(a.level)),
  );
  const stray = episodes.filter((e) => !s.alerts.some((a) => overlaps(e, a)));
  const truth = truePerclos(s, defaultBehaviour.perclosWindowMs);
  return {
    scenario: s.name,
    driver,
    came: s.alerts.length - missed.length,
    missed: missed.map((a) => `${a.kind} ${a.level}`),
    stray: stray.map((e) => `${e.kind} ${e.level} at ${(e.fromMs / 1000).toFixed(1)} s`),
    ...(perclos === undefined || truth === undefined ? {} : { perclos: { read: perclos, true: truth } }),
    pictures,
  };
}

export interface DrivesEvaluation {
  drives: readonly DriveResult[];
  /** Alerts that the scripts know, of all that came. */
  precision: number;
  /** Alerts that came, of all that the scripts know. */
  recall: number;
  /** Mean and largest absolute error, over the drives that were long enough. */
  perclosError: { mean: number; largest: number; drives: number };
}

/** Renders every scenario with several drivers and follows them. */
export async function evaluateDrives(
  stack: { locator: FaceLocator; reader: FaceReader },
  o: DriveOptions,
): Promise<DrivesEvaluation> {
  const list = o.only ?? scenarios;
  const drives: DriveResult[] = [];
  for (const s of list)
    for (let driver = 0; driver < o.drivers; driver++) {
      drives.push(await follow(stack, s, driver, o));
      o.onProgress?.({ stage: "following drives", done: drives.length, total: list.length * o.drivers, note: s.name });
    }
  const sum = (f: (d: DriveResult) => number): number => drives.reduce((total, d) => total + f(d), 0);
  const [came, missed, stray] = [sum((d) => d.came), sum((d) => d.missed.length), sum((d) => d.stray.length)];
  const errors = drives.flatMap((d) => (d.perclos ? [Math.abs(d.perclos.read - d.perclos.true)] : []));
  return {
    drives,
    precision: came / (came + stray),
    recall: came / (came + missed),
    perclosError: {
      mean: errors.reduce((a, b) => a + b, 0) / errors.length,
      largest: Math.max(...errors),
      drives: errors.length,
    },
  };
}
