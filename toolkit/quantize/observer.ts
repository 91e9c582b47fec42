/** What is remembered of a value's elements while calibration data streams by: constant memory, whatever the data. */
import type { QuantRange } from "./affine.js";

/** How a range is chosen from what was observed. */
export type RangeMethod =
  | { kind: "minmax" }
  /** Cuts (100 - percentile) / 2 percent of the elements from each end. */
  | { kind: "percentile"; percentile: number }
  /** Grid search for the least mean squared error of 8-bit rounding and clipping. */
  | { kind: "mse" };

/** Bins on each side of zero. At least half of them are in use, so a bin is finer than an eighth of an 8-bit step. */
const BINS = 4096;

/**
 * Histogram with bins of a power of two that start at zero. A value beyond the last bin doubles the width and merges
 * neighbours, which is exact: the result does not depend on the order of the data. Exact zeros are counted apart.
 */
export class RangeObserver {
  /** Finite elements in the histogram. */
  count = 0;
  /** Where the next batch's strides begin, so that they do not always meet the same places. */
  private offset = 0;
  zeros = 0;
  /** NaN and infinite elements seen; they enter nothing else. */
  nonFinite = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  /** Width of a bin; 0 until an element other than zero was seen. */
  binWidth = 0;
  readonly positive = new Float64Array(BINS);
  readonly negative = new Float64Array(BINS);

  /**
   * Takes in the elements of one batch. Smallest, largest and non-finite elements are looked for in all of it; the
   * histogram takes every `stride`-th element (default: each).
   */
  add(data: Float32Array | Float64Array, stride = 1): void {
    let { min, max } = this;
    let bad = 0;
    for (let i = 0; i < data.length; i++) {
      const v = data[i];
      // NaN - NaN and Inf - Inf are not 0.
      if (v - v === 0) {
        if (v < min) min = v;
        if (v > max) max = v;
      } else bad++;
    }
    this.nonFinite += bad;
    if (min > max) return;
    this.min = min;
    this.max = max;
    const largest = Math.max(Math.abs(min), Math.abs(max));
    if (largest > 0) this.fit(largest);
    const { positive, negative } = this;
    const perWidth = largest > 0 ? 1 / this.binWidth : 0;
    let taken = 0;
    let zeros = 0;
    for (let i = this.offset % stride; i < data.length; i += stride) {
      const v = data[i];
      if (v - v !== 0) continue;
      taken++;
      // The largest value of all falls on the end of the last bin.
      if (v > 0) positive[Math.min(BINS - 1, (v * perWidth) | 0)]++;
      else if (v < 0) negative[Math.min(BINS - 1, (-v * perWidth) | 0)]++;
      else zeros++;
    }
    this.count += taken;
    this.zeros += zeros;
    this.offset++;
  }

  private fit(largest: number): void {
    const needed = 2 ** Math.ceil(Math.log2(largest / BINS));
    if (this.binWidth === 0) this.binWidth = needed;
    while (this.binWidth < needed) {
      for (const side of [this.positive, this.negative]) {
        for (let k = 0; k < BINS / 2; k++) side[k] = side[2 * k] + side[2 * k + 1];
        side.fill(0, BINS / 2);
      }
      this.binWidth *= 2;
    }
  }

  /** The range for 8-bit unsigned quantisation; [0, 0] when nothing but zeros was seen. Always holds 0. */
  range(method: RangeMethod): QuantRange {
    const full = { low: Math.min(0, this.min), high: Math.max(0, this.max) };
    if (this.count === 0 || full.low === full.high) return { low: 0, high: 0 };
    if (method.kind === "minmax") return full;
    return method.kind === "percentile" ? this.percentileRange(method.percentile, full) : this.mseRange(full);
  }

  /** Value below which the share `q` of the elements lies, exact to one bin. */
  quantile(q: number): number {
    const target = q * this.count;
    let seen = 0;
    for (let k = BINS - 1; k >= 0; k--) {
      const n = this.negative[k];
      if (n > 0 && seen + n >= target) return this.inside(-(k + 1 - (target - seen) / n) * this.binWidth);
      seen += n;
    }
    seen += this.zeros;
    if (seen >= target) return 0;
    for (let k = 0; k < BINS; k++) {
      const n = this.positive[k];
      if (n > 0 && seen + n >= target) return this.inside((k + (target - seen) / n) * this.binWidth);
      seen += n;
    }
    return this.max;
  }

  private inside(v: number): number {
    return Math.max(this.min, Math.min(this.max, v));
  }

  private percentileRange(percentile: number, full: QuantRange): QuantRange {
    const cut = (100 - percentile) / 200;
    const low = Math.min(0, this.quantile(cut));
    const high = Math.max(0, this.quantile(1 - cut));
    // Nearly everything is zero: the few other values are what the value is about.
    return low === high ? full : { low, high };
  }

  /** Coordinate search: both ends together, then each alone, over 0.3 to 1.0 of the full range (see Krishnamoorthi 2018, Nagel 2021). */
  private mseRange(full: QuantRange): QuantRange {
    const { centers, counts } = this.occupied();
    const steps = Array.from({ length: 36 }, (_, i) => 0.3 + i * 0.02);
    let best = full;
    let least = squaredError(centers, counts, full);
    const attempt = (r: QuantRange): void => {
      const e = squaredError(centers, counts, r);
      if (e < least) {
        least = e;
        best = r;
      }
    };
    for (const a of steps) attempt({ low: full.low * a, high: full.high * a });
    if (full.low < 0 && full.high > 0) {
      const { low } = best;
      for (const a of steps) attempt({ low, high: full.high * a });
      const { high } = best;
      for (const a of steps) attempt({ low: full.low * a, high });
    }
    return best;
  }

  private occupied(): { centers: Float64Array; counts: Float64Array } {
    const centers: number[] = [];
    const counts: number[] = [];
    for (const [side, sign] of [
      [this.negative, -1],
      [this.positive, 1],
    ] as const) {
      // Pairs of bins are still finer than a quarter of an 8-bit step.
      for (let k = 0; k < BINS; k += 2) {
        const n = side[k] + side[k + 1];
        if (n === 0) continue;
        centers.push((sign * (side[k] * (k + 0.5) + side[k + 1] * (k + 1.5)) * this.binWidth) / n);
        counts.push(n);
      }
    }
    return { centers: Float64Array.from(centers), counts: Float64Array.from(counts) };
  }
}

function squaredError(centers: Float64Array, counts: Float64Array, r: QuantRange): number {
  const scale = (r.high - r.low) / 255;
  if (scale === 0) return Number.POSITIVE_INFINITY;
  const zero = Math.round(-r.low / scale);
  let sum = 0;
  for (let i = 0; i < centers.length; i++) {
    const q = Math.max(-zero, Math.min(255 - zero, Math.round(centers[i] / scale)));
    const e = centers[i] - q * scale;
    sum += counts[i] * e * e;
  }
  return sum;
}
