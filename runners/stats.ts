/** Statistics of latency samples: pure functions of numbers, for every runner, report and page. */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { mean, quantileSorted, sampleStandardDeviation } from "simple-statistics";
import { DeviceError } from "./errors.js";

/** Below this many samples a 99th percentile rests on fewer than ten of them and is not given. */
export const P99_MIN_SAMPLES = 1000;

/** All times in milliseconds. */
export interface LatencySummary {
  n: number;
  min: number;
  mean: number;
  /** With n - 1; 0 for a single sample. */
  std: number;
  p50: number;
  p90: number;
  p95: number;
  /** null under `P99_MIN_SAMPLES` samples. */
  p99: number | null;
  /** 95 % bootstrap interval of p50. */
  p50Interval: [low: number, high: number];
}

export interface BootstrapOptions {
  /** Default 0. */
  seed?: number;
  /** Default 1000. */
  resamples?: number;
}

/** A ratio of two latencies with its 95 % interval. */
export interface Ratio {
  n: number;
  ratio: number;
  interval: [low: number, high: number];
}

/**
 * Quantiles interpolate linearly between order statistics (type 7, NumPy's default). The interval is the percentile bootstrap
 * (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3), which takes samples as independent: slow
 * changes of the machine within a job make it too narrow, and show in `Measurement.drift` instead.
 * Throws DeviceError without samples.
 */
export function summarize(samplesMs: ArrayLike<number>, o: BootstrapOptions = {}): LatencySummary {
  const sorted = sortedSamples(samplesMs);
  const n = sorted.length;
  return {
    n,
    min: sorted[0],
    mean: mean(sorted),
    std: n > 1 ? sampleStandardDeviation(sorted) : 0,
    p50: quantileSorted(sorted, 0.5),
    p90: quantileSorted(sorted, 0.9),
    p95: quantileSorted(sorted, 0.95),
    p99: n >= P99_MIN_SAMPLES ? quantileSorted(sorted, 0.99) : null,
    p50Interval: medianInterval(sorted, o),
  };
}

/** The p-th quantile (0 <= p <= 1) of samples in any order, type 7. Throws DeviceError without samples. */
export const quantile = (samples: ArrayLike<number>, p: number): number => quantileSorted(sortedSamples(samples), p);

/** Median of samples in any order. Throws DeviceError without samples. */
export const median = (samples: ArrayLike<number>): number => quantile(samples, 0.5);

/**
 * How many times `a` is as long as `b`: the median over rounds of a[r] / b[r], for two models of one measured job. What slows
 * the machine for a moment slows both samples of that round and leaves their ratio alone.
 * Throws DeviceError when the lengths differ (the samples are not of the same rounds) or a sample of `b` is not above 0.
 */
export function pairedRatio(a: ArrayLike<number>, b: ArrayLike<number>, o: BootstrapOptions = {}): Ratio {
  if (a.length !== b.length) {
    throw new DeviceError(
      "rounds-differ",
      `${a.length} samples cannot be paired with ${b.length}: they are not of the same rounds`,
    );
  }
  const ratios = sortedSamples(Array.from(a, (value, i) => value / b[i]));
  if (!ratios.every(Number.isFinite)) {
    throw new DeviceError("clock-too-coarse", "a sample of 0 ms has no ratio: the clock is too coarse for one call");
  }
  return { n: ratios.length, ratio: quantileSorted(ratios, 0.5), interval: medianInterval(ratios, o) };
}

function sortedSamples(samples: ArrayLike<number>): number[] {
  if (samples.length === 0) throw new DeviceError("no-samples", "there are no samples to take statistics of");
  return Array.from(Float64Array.from(samples).sort());
}

/** Each resample is kept as counts per rank, so that its median needs no sorting: 1,000 resamples of 10,000 take about 0.1 s. */
function medianInterval(sorted: readonly number[], { seed = 0, resamples = 1000 }: BootstrapOptions): [number, number] {
  const n = sorted.length;
  const random = xoroshiro128plus(seed);
  const counts = new Uint32Array(n);
  const medians = new Float64Array(resamples);
  const low = (n - 1) >> 1;
  const high = n >> 1;
  for (let r = 0; r < resamples; r++) {
    counts.fill(0);
    for (let i = 0; i < n; i++) counts[Math.floor(((random.next() >>> 0) / 2 ** 32) * n)]++;
    let rank = 0;
    let seen = counts[0];
    while (seen <= low) seen += counts[++rank];
    const below = sorted[rank];
    while (seen <= high) seen += counts[++rank];
    medians[r] = (below + sorted[rank]) / 2;
  }
  const ordered = sortedSamples(medians);
  return [quantileSorted(ordered, 0.025), quantileSorted(ordered, 0.975)];
}
