/**
 * What a model takes over many minutes: devices grow warm and slow down. Work is asked of the device in short jobs, so that any
 * runner can do it, a phone is not kept busy in one request, and stopping is quick; a reference kernel between the jobs
 * tells a slow device from a slow model.
 */
import { type DeviceRunner, type Feeds, quantile } from "../runners/index.js";
import { throwIfAborted } from "./graph/progress.js";
import type { CommonOptions } from "./options.js";
import { referenceKernel } from "./referenceKernel.js";

export interface SustainOptions extends Pick<CommonOptions, "onProgress" | "signal"> {
  minutes: number;
  /** Paced: one call per this many milliseconds. Default: calls in a row. */
  intervalMs?: number;
  /** Milliseconds, monotonic. Default: `performance.now`. */
  now?: () => number;
}

export interface SustainedMinute {
  /** Minutes since the start, of the first job that counts. */
  minute: number;
  samples: number;
  p50: number;
  p90: number;
  /** Median of the reference kernel, in ms. */
  referenceMs: number;
  /** Of the device's own sensor; null where it tells none. */
  temperatureC: number | null;
}

export interface Sustained {
  minutes: SustainedMinute[];
  intervalMs: number | null;
  /** Paced: intervals skipped because a call still ran. */
  missedFrames: number;
  /** Change of the median per minute, in percent of the first minute's: the median of slopes between all pairs of minutes. */
  slopePctPerMinute: number;
  /** The same of the reference kernel. */
  referenceSlopePctPerMinute: number;
  /** Median of the last minute over that of the first. */
  lastOverFirst: number;
}

const JOB_MS = 10_000;
const MINUTE_MS = 60_000;

/** Keeps a model busy for `minutes` and says what each of them was like. Throws what the runner throws. */
export async function sustain(
  runner: DeviceRunner,
  model: Uint8Array,
  feeds: Feeds,
  o: SustainOptions,
): Promise<Sustained> {
  const now = o.now ?? (() => performance.now());
  const reference = referenceKernel();
  const loaded: number[] = [];
  const minutes: SustainedMinute[] = [];
  let missedFrames = 0;
  try {
    for (const bytes of [model, reference.model]) loaded.push((await runner.load(bytes)).id);
    const measure = async (job: { id: number; feeds: Feeds; ms: number; warmup: number; intervalMs?: number }) => {
      const { id, feeds, ms, warmup, intervalMs } = job;
      const limits = { warmup, minWarmupMs: 0, minSamples: 5, minTimeMs: ms };
      const paced = intervalMs === undefined ? {} : { intervalMs };
      const [m] = await runner.measure({ models: [{ id, feeds }], ...limits, ...paced }, o.signal);
      return m;
    };
    const begin = now();
    let open = { minute: 0, samples: [] as number[], reference: [] as number[] };
    const finish = async (): Promise<void> => {
      if (open.samples.length === 0) return;
      const { temperatureC } = (await runner.describe()).conditions;
      minutes.push({
        minute: open.minute,
        samples: open.samples.length,
        p50: quantile(open.samples, 0.5),
        p90: quantile(open.samples, 0.9),
        referenceMs: quantile(open.reference, 0.5),
        temperatureC,
      });
    };
    for (let elapsed = 0; elapsed < o.minutes * MINUTE_MS; elapsed = now() - begin) {
      throwIfAborted(o.signal);
      const minute = Math.floor(elapsed / MINUTE_MS);
      if (minute !== open.minute) {
        await finish();
        open = { minute, samples: [], reference: [] };
      }
      o.onProgress?.({ stage: "sustaining", done: Math.floor(elapsed / 1000), total: Math.round(o.minutes * 60) });
      const ms = Math.min(JOB_MS, o.minutes * MINUTE_MS - elapsed);
      const own = await measure({ id: loaded[0], feeds, ms, warmup: 1, intervalMs: o.intervalMs });
      const gauge = await measure({ id: loaded[1], feeds: reference.feeds, ms: 50, warmup: 3 });
      for (const t of own.samplesMs) open.samples.push(t);
      for (const t of gauge.samplesMs) open.reference.push(t);
      missedFrames += own.missedFrames ?? 0;
    }
    await finish();
  } finally {
    await Promise.allSettled(loaded.map((id) => runner.unload(id)));
  }
  return {
    minutes,
    intervalMs: o.intervalMs ?? null,
    missedFrames,
    slopePctPerMinute: slopePct(minutes.map((m) => ({ at: m.minute, ms: m.p50 }))),
    referenceSlopePctPerMinute: slopePct(minutes.map((m) => ({ at: m.minute, ms: m.referenceMs }))),
    lastOverFirst: minutes[minutes.length - 1].p50 / minutes[0].p50,
  };
}

/** Theil-Sen slope in percent of the first value, per minute; 0 for a single minute. (Sen, JASA 63, 1968.) */
export function slopePct(points: readonly { at: number; ms: number }[]): number {
  const slopes = points.flatMap((a, i) => points.slice(i + 1).map((b) => (b.ms - a.ms) / (b.at - a.at)));
  return slopes.length === 0 ? 0 : (100 * quantile(slopes, 0.5)) / points[0].ms;
}
