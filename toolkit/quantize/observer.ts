/** What is remembered of a value's elements while calibration data streams by: constant memory, whatever the data. */
import type { QuantRange } from "./affine.js";
import { entropyRange, type Histogram, leastSquaresRange } from "./rangeSearch.js";

/** How a range is chosen from what was observed. */
export type RangeMethod =
  | { kind: "minmax" }
  /** Averages the smallest and largest element of each call: a single extreme image does not decide. */
  | { kind: "moving-average" }
  /** Cuts (100 - percentile) / 2 percent of the elements from each end. */
  | { kind: "percentile"; percentile: number }
  /** Least Kullback-Leibler divergence between the elements and their 8-bit rounding (Migacz 2017, "8-bit inference with TensorRT"). */
  | { kind: "entropy" }
  /** Grid search for the least mean squared error of 8-bit rounding and clipping. */
  | { kind: "mse" };

/** Least share of a call in the moving average, as other tools have it. */
const AVERAGING = 0.01;

/** Bins on each side of zero. At least half of them are in use, so a bin is finer than an eighth of an 8-bit step. */
const BINS = 4096;

/**
 * Histogram with bins of a power of two that start at zero. A value beyond the last bin doubles the width and merges
 * neighbours, which is exact: the result does not depend on the order of the data. Exact zeros are counted apart.
 */
export class RangeObserver {
  /** Finite elements in the histogram. */
  count = 0;
  zeros = 0;
  /** NaN and infinite elements seen; they enter nothing else. */
  nonFinite = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  /** Mean of the calls' smallest and largest elements; after the first hundred calls an exponential one. */
  averageMin = 0;
  averageMax = 0;
  private calls = 0;
  /** Width of a bin; 0 until an element other than zero was seen. */
  binWidth = 0;
  readonly positive = new Float64Array(BINS);
  readonly negative = new Float64Array(BINS);

  /** Takes in the elements of one call; those that are not finite are counted and left out. */
  add(data: Float32Array | Float64Array): void {
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
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
    if (min <= max) this.addSample({ min, max, sample: data });
  }

  /**
   * Takes in one call by its smallest and largest element and a sample of all elements, each of which counts `weight` times: for
   * calls of which no sample was taken.
   */
  addSample({ min, max, sample }: { min: number; max: number; sample: Float32Array | Float64Array }, weight = 1): void {
    this.calls++;
    const share = Math.max(AVERAGING, 1 / this.calls);
    this.averageMin += share * (min - this.averageMin);
    this.averageMax += share * (max - this.averageMax);
    this.min = Math.min(this.min, min);
    this.max = Math.max(this.max, max);
    const largest = Math.max(-this.min, this.max);
    if (largest > 0) this.fit(largest);
    const { positive, negative } = this;
    const perWidth = largest > 0 ? 1 / this.binWidth : 0;
    let taken = 0;
    let zeros = 0;
    for (let i = 0; i < sample.length; i++) {
      const v = sample[i];
      if (v - v !== 0) continue;
      taken++;
      // The largest value of all falls on the end of the last bin.
      if (v > 0) positive[Math.min(BINS - 1, (v * perWidth) | 0)] += weight;
      else if (v < 0) negative[Math.min(BINS - 1, (-v * perWidth) | 0)] += weight;
      else zeros++;
    }
    this.count += taken * weight;
    this.zeros += zeros * weight;
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

  /** The range for a grid of `steps` intervals; [0, 0] when nothing but zeros was seen. Always holds 0. */
  range(method: RangeMethod, steps = 255): QuantRange {
    const full = { low: Math.min(0, this.min), high: Math.max(0, this.max) };
    if (this.count === 0 || full.low === full.high) return { low: 0, high: 0 };
    switch (method.kind) {
      case "minmax":
        return full;
      case "moving-average":
        return this.notEmpty({ low: Math.min(0, this.averageMin), high: Math.max(0, this.averageMax) }, full);
      case "percentile":
        return this.percentileRange(method.percentile, full);
      case "entropy":
        return entropyRange(this.histogram(1), full, steps);
      case "mse":
        // Pairs of bins are still finer than a quarter of an 8-bit step.
        return leastSquaresRange(this.histogram(2), full, steps);
    }
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
    return this.notEmpty({ low, high }, full);
  }

  /** Nearly everything is zero: the few other values are what the value is about. */
  private notEmpty(r: QuantRange, full: QuantRange): QuantRange {
    return r.low === r.high ? full : r;
  }

  /** Occupied bins, ascending, `merged` neighbours taken together; zeros, which every grid represents, are left out. */
  histogram(merged: number): Histogram {
    const centers: number[] = [];
    const counts: number[] = [];
    const take = (side: Float64Array, k: number, sign: number): void => {
      let n = 0;
      let sum = 0;
      for (let i = k; i < k + merged; i++) {
        n += side[i];
        sum += side[i] * (i + 0.5);
      }
      if (n === 0) return;
      centers.push((sign * sum * this.binWidth) / n);
      counts.push(n);
    };
    for (let k = BINS - merged; k >= 0; k -= merged) take(this.negative, k, -1);
    for (let k = 0; k < BINS; k += merged) take(this.positive, k, 1);
    return { centers: Float64Array.from(centers), counts: Float64Array.from(counts), binWidth: merged * this.binWidth };
  }
}
