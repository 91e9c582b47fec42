/**
 * The one timing loop, for a Node worker, a web page and an agent alike: it knows a clock and functions to call, no runtime.
 * The loop is ours because tinybench runs its tasks one after another and comparisons need them interleaved round by round;
 * whether a clock was fine enough for what it timed is judged by tinybench's criteria.
 */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { classifyTimerSaturation, medianAbsoluteDeviation, type SortedSamples } from "tinybench";
import { breather } from "./breath.js";
import { DeviceError } from "./errors.js";
import type { Measurement } from "./runner.js";

export interface SamplerOptions {
  /** Milliseconds, monotonic. */
  now: () => number;
  /** Step of that clock in milliseconds; measured when absent. */
  clockMs?: number;
  warmup?: number;
  minWarmupMs?: number;
  minSamples?: number;
  minTimeMs?: number;
  maxTimeMs?: number;
  callsBeforeSample?: number;
  /** Paced: one call per interval of this many milliseconds, and rest until the next one. */
  intervalMs?: number;
  /** Waits; for pacing. Default: `setTimeout`. */
  sleep?: (ms: number) => Promise<void>;
  seed?: number;
  signal?: AbortSignal;
  /** A sample takes at least this long, by several calls where one is shorter. Default 0. */
  minSampleMs?: number;
  /** Asked before each sample; a promise holds the work up until it settles, and the task is then called once untimed. */
  hold?: () => Promise<void> | null;
  /** Told of every sample, between calls: number of the task, and milliseconds per call. */
  onSample?: (task: number, ms: number) => void;
}

/** What the loop finds out about one task; the runner adds the model's id and the memory. */
export type Samples = Omit<Measurement, "model" | "peakMemoryBytes">;

/** A sample shorter than this many clock steps is batched: the step then is at most 2 % of it. */
const STEPS_PER_SAMPLE = 50;
const MAX_CALLS_PER_SAMPLE = 4096;

/**
 * Times the tasks. Each is warmed up on its own; then come rounds in which every task gives one sample, in an order shuffled
 * anew each round, so that sample r of one task and sample r of another saw the same moment of the machine (`pairedRatio`).
 * At least one round is made, whatever the cap. With `intervalMs` a call starts at the beginning of a frame, as a camera would
 * have it, and the processor rests in between; a frame that begins while the last call still runs is missed. Throws the signal's
 * reason when aborted, between two calls.
 * Conventions as in TensorFlow Lite's benchmark tool: at least 50 samples and one second by default.
 */
export async function sample(tasks: readonly (() => unknown)[], options: SamplerOptions): Promise<Samples[]> {
  const {
    now,
    warmup = 10,
    minWarmupMs = 200,
    minSamples = 50,
    minTimeMs = 1000,
    maxTimeMs = 60_000,
    seed = 0,
    signal,
  } = options;
  const { intervalMs, sleep = rest } = options;
  // A camera asks once per frame: calls to warm the caches would be what pacing is there to leave out.
  const callsBeforeSample = options.callsBeforeSample ?? (tasks.length > 1 && intervalMs === undefined ? 1 : 0);
  const clockMs = options.clockMs ?? clockStep(now);
  /** Time without what was spent held up. */
  let heldMs = 0;
  const spent = () => now() - heldMs;
  const begin = spent();

  const breathe = breather(now);
  const shortestMs = intervalMs !== undefined ? 0 : Math.max(STEPS_PER_SAMPLE * clockMs, options.minSampleMs ?? 0);

  const timed = async (call: () => unknown, calls: number): Promise<number> => {
    await breathe();
    signal?.throwIfAborted();
    const held = options.hold?.();
    if (held) {
      const from = now();
      await held;
      heldMs += now() - from;
      signal?.throwIfAborted();
      await call();
    }
    const start = now();
    for (let i = 0; i < calls; i++) await call();
    return now() - start;
  };

  const states = [];
  for (const [index, call] of tasks.entries()) {
    // Warm-ups may use half of the time, evenly shared, so that a slow model still gets samples.
    const until = begin + ((index + 1) * maxTimeMs) / (2 * tasks.length);
    const warmStart = spent();
    const firstRunMs = await timed(call, 1);
    let warmups = 1;
    let shortestCallMs = Number.POSITIVE_INFINITY;
    while ((warmups < warmup || spent() - warmStart < minWarmupMs) && spent() < until) {
      shortestCallMs = Math.min(shortestCallMs, await timed(call, 1));
      warmups++;
    }
    // The shortest, not the mean: calls that something interrupted would pass for long enough, and samples would be too short.
    const expectedMs = warmups > 1 ? shortestCallMs : firstRunMs;
    let callsPerSample = 1;
    for (let batchMs = expectedMs; batchMs < shortestMs && callsPerSample < MAX_CALLS_PER_SAMPLE; ) {
      callsPerSample *= 2;
      batchMs = await timed(call, callsPerSample);
      warmups += callsPerSample;
    }
    states.push({ task: index, call, firstRunMs, warmups, callsPerSample, samples: [] as number[], missedFrames: 0 });
  }

  const random = xoroshiro128plus(seed);
  const order = [...states];
  const start = spent();

  /** Waits for the next frame; how many began, unused, since the last one. */
  let frame = -1;
  const nextFrame = async (interval: number): Promise<number> => {
    const next = Math.floor((spent() - start) / interval) + 1;
    const missed = frame < 0 ? 0 : next - frame - 1;
    frame = next;
    for (let left = start + next * interval - spent(); left > 0; left = start + next * interval - spent()) {
      signal?.throwIfAborted();
      await sleep(Math.min(left, LONGEST_REST_MS));
    }
    return missed;
  };

  let rounds = 0;
  let stopped: Samples["stopped"] | undefined;
  while (!stopped) {
    for (let i = order.length - 1; i > 0; i--) {
      const j = uniformInt(random, 0, i);
      [order[i], order[j]] = [order[j], order[i]];
    }
    for (const s of order) {
      if (intervalMs !== undefined) s.missedFrames += await nextFrame(intervalMs);
      if (callsBeforeSample > 0) await timed(s.call, callsBeforeSample);
      const ms = (await timed(s.call, s.callsPerSample)) / s.callsPerSample;
      s.samples.push(ms);
      options.onSample?.(s.task, ms);
    }
    rounds++;
    if (rounds >= minSamples && spent() - start >= minTimeMs) stopped = "enough";
    else if (spent() - begin >= maxTimeMs) stopped = "cap";
  }

  return states.map(({ firstRunMs, warmups, callsPerSample, samples, missedFrames }) => {
    const samplesMs = Float64Array.from(samples);
    return {
      firstRunMs,
      warmups,
      samplesMs,
      callsPerSample,
      drift: drift(samplesMs),
      saturation: saturation(samplesMs),
      stopped,
      ...(intervalMs === undefined ? {} : { missedFrames }),
    };
  });
}

/** A job that is to stop is asked at least this often. */
const LONGEST_REST_MS = 250;

const rest = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Step of a clock in its own unit: the median of the jumps seen while reading it as fast as possible. For a clock finer than
 * the time of one reading this is the time of one reading. Throws DeviceError for a clock that stands still.
 */
export function clockStep(now: () => number): number {
  const jumps = new Float64Array(31);
  for (let i = 0; i < jumps.length; i++) {
    const start = now();
    let next = now();
    for (let reads = 0; next === start; next = now()) {
      if (++reads > 50_000_000)
        throw new DeviceError("clock-stopped", "the device's clock does not advance, so nothing can be timed with it");
    }
    jumps[i] = next - start;
  }
  return jumps.sort()[15];
}

function drift(samples: Float64Array): number {
  const third = Math.floor(samples.length / 3);
  if (third === 0) return 0;
  const first = middle(samples.slice(0, third));
  return first === 0 ? 0 : middle(samples.slice(-third)) / first - 1;
}

function middle(values: Float64Array): number {
  values.sort();
  const half = values.length >> 1;
  return values.length % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

function saturation(samples: Float64Array): Samples["saturation"] {
  const sorted = Array.from(samples).sort((a, b) => a - b) as unknown as SortedSamples;
  return classifyTimerSaturation(sorted, medianAbsoluteDeviation(sorted)) ?? null;
}
