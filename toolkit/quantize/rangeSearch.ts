/** Ranges that are searched for on a histogram. Pure functions. */
import type { QuantRange } from "./affine.js";

/** Occupied bins in ascending order. */
export interface Histogram {
  centers: Float64Array;
  counts: Float64Array;
  binWidth: number;
}

/**
 * Least mean squared error of rounding and clipping to `steps` intervals. Coordinate search: both ends together, then each
 * alone, over 0.3 to 1.0 of the full range (Krishnamoorthi 2018; Nagel et al. 2021, section 3.1).
 */
export function leastSquaresRange(h: Histogram, full: QuantRange, steps: number): QuantRange {
  const shares = Array.from({ length: 36 }, (_, i) => 0.3 + i * 0.02);
  let best = full;
  let least = squaredError(h, full, steps);
  const attempt = (r: QuantRange): void => {
    const e = squaredError(h, r, steps);
    if (e < least) {
      least = e;
      best = r;
    }
  };
  for (const a of shares) attempt({ low: full.low * a, high: full.high * a });
  if (full.low < 0 && full.high > 0) {
    const { low } = best;
    for (const a of shares) attempt({ low, high: full.high * a });
    const { high } = best;
    for (const a of shares) attempt({ low: full.low * a, high });
  }
  return best;
}

function squaredError({ centers, counts }: Histogram, r: QuantRange, steps: number): number {
  const scale = (r.high - r.low) / steps;
  if (scale === 0) return Number.POSITIVE_INFINITY;
  const zero = Math.round(-r.low / scale);
  let sum = 0;
  for (let i = 0; i < centers.length; i++) {
    const q = Math.max(-zero, Math.min(steps - zero, Math.round(centers[i] / scale)));
    const e = centers[i] - q * scale;
    sum += counts[i] * e * e;
  }
  return sum;
}

/**
 * Least divergence KL(P || Q) of the distribution P with everything outside the range moved to its ends, from Q, which is
 * the same with all bins of one integer made equal (Migacz 2017). Both ends shrink together, in 128 steps down to where
 * a bin is as wide as an integer's interval.
 */
export function entropyRange(h: Histogram, full: QuantRange, steps: number): QuantRange {
  const width = full.high - full.low;
  const least = Math.min(1, (steps * h.binWidth) / width);
  let best = full;
  let smallest = Number.POSITIVE_INFINITY;
  const tries = 128;
  for (let t = tries; t >= 1; t--) {
    const share = least + ((1 - least) * t) / tries;
    const r = { low: full.low * share, high: full.high * share };
    const d = divergence(h, r, steps);
    // Later ones are narrower: a tie goes to the wider range.
    if (d < smallest) {
      smallest = d;
      best = r;
    }
  }
  return best;
}

function divergence({ centers, counts }: Histogram, r: QuantRange, steps: number): number {
  const scale = (r.high - r.low) / steps;
  if (scale === 0) return Number.POSITIVE_INFINITY;
  let first = 0;
  while (first < centers.length && centers[first] < r.low) first++;
  let end = centers.length;
  while (end > first && centers[end - 1] > r.high) end--;
  if (end === first) return Number.POSITIVE_INFINITY;
  let [below, above, total] = [0, 0, 0];
  for (let i = 0; i < centers.length; i++) {
    total += counts[i];
    if (i < first) below += counts[i];
    else if (i >= end) above += counts[i];
  }
  const inside = total - below - above;
  let sum = 0;
  for (let i = first; i < end; ) {
    const code = Math.round(centers[i] / scale);
    let [j, mass] = [i, 0];
    while (j < end && Math.round(centers[j] / scale) === code) mass += counts[j++];
    const q = mass / (j - i) / inside;
    for (let k = i; k < j; k++) {
      const p = (counts[k] + (k === first ? below : 0) + (k === end - 1 ? above : 0)) / total;
      sum += p * Math.log(p / q);
    }
    i = j;
  }
  return sum;
}
