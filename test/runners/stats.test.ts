import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { median, pairedRatio, quantile, summarize } from "../../runners/stats.js";

/** Type-7 quantile straight from its definition. */
function definedQuantile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const position = p * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] * (1 - (position - below)) + sorted[above] * (position - below);
}

const samples = fc.array(fc.double({ min: 0.001, max: 1000, noNaN: true }), { minLength: 1, maxLength: 60 });

describe("summarize", () => {
  test("agrees with the definitions", () => {
    fc.assert(
      fc.property(samples, (values) => {
        const s = summarize(values, { resamples: 50 });
        const average = values.reduce((a, b) => a + b, 0) / values.length;
        const squares = values.reduce((a, v) => a + (v - average) ** 2, 0);
        expect(s.n).toBe(values.length);
        expect(s.min).toBe(Math.min(...values));
        expect(s.mean).toBeCloseTo(average, 8);
        expect(s.std).toBeCloseTo(values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0, 8);
        for (const [p, key] of [
          [0.5, "p50"],
          [0.9, "p90"],
          [0.95, "p95"],
        ] as const) {
          expect(s[key]).toBeCloseTo(definedQuantile(values, p), 8);
          expect(quantile(values, p)).toBe(s[key]);
        }
        expect(s.p50Interval[0]).toBeLessThanOrEqual(s.p50Interval[1]);
        expect(s.p50Interval[0]).toBeGreaterThanOrEqual(s.min);
        expect(s.p50Interval[1]).toBeLessThanOrEqual(Math.max(...values));
      }),
      { seed: 1, numRuns: 200 },
    );
  });

  test("leaves the samples in their order", () => {
    const values = Float64Array.of(3, 1, 2);
    expect(median(values)).toBe(2);
    expect(values).toEqual(Float64Array.of(3, 1, 2));
  });

  test("gives p99 from 1,000 samples on, not before", () => {
    const values = Array.from({ length: 1000 }, (_, i) => i);
    expect(summarize(values).p99).toBeCloseTo(989.01, 9);
    expect(summarize(values.slice(1)).p99).toBeNull();
  });

  test("refuses an empty list", () => {
    expect(() => summarize([])).toThrow(expect.objectContaining({ code: "no-samples" }));
  });

  test.each([9, 10])("the interval is that of resamples drawn and sorted one by one (%i samples)", (n) => {
    const values = Array.from({ length: n }, (_, i) => i ** 2);
    const s = summarize(values, { resamples: 20_000, seed: 3 });
    const medians: number[] = [];
    let state = 12345;
    const draw = () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    for (let r = 0; r < 20_000; r++)
      medians.push(
        definedQuantile(
          Array.from({ length: n }, () => values[draw()]),
          0.5,
        ),
      );
    for (const [side, p] of [
      [0, 0.025],
      [1, 0.975],
    ] as const) {
      // The distribution is discrete: allow the neighbouring step.
      const expected = [p - 0.006, p, p + 0.006].map((q) => definedQuantile(medians, q));
      expect(s.p50Interval[side]).toBeGreaterThanOrEqual(expected[0]);
      expect(s.p50Interval[side]).toBeLessThanOrEqual(expected[2]);
    }
  });

  test("the interval covers the true median about as often as it says", () => {
    let covered = 0;
    let state = 99;
    const uniform = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state + 0.5) / 2 ** 32;
    };
    for (let trial = 0; trial < 300; trial++) {
      const values = Array.from({ length: 60 }, () => -Math.log(uniform())); // exponential, median ln 2
      const [low, high] = summarize(values, { resamples: 300, seed: trial }).p50Interval;
      if (low <= Math.LN2 && Math.LN2 <= high) covered++;
    }
    expect(covered / 300).toBeGreaterThan(0.9);
    expect(covered / 300).toBeLessThan(0.99);
  });

  test("the same seed gives the same interval", () => {
    const values = Array.from({ length: 200 }, (_, i) => Math.sin(i) + 2);
    expect(summarize(values, { seed: 5 })).toEqual(summarize(values, { seed: 5 }));
    expect(summarize(values, { seed: 5 }).p50Interval).not.toEqual(summarize(values, { seed: 6 }).p50Interval);
  });
});

describe("pairedRatio", () => {
  test("is the median of the rounds' ratios, untouched by what slows both", () => {
    const slow = [1, 1, 5, 1, 1, 9, 1];
    const b = slow.map((s) => 2 * s);
    const a = slow.map((s, i) => 2 * s * (1.5 + 0.01 * (i - 3)));
    const r = pairedRatio(a, b);
    expect(r.ratio).toBeCloseTo(1.5, 12);
    expect(r.interval[0]).toBeGreaterThanOrEqual(1.47 - 1e-9);
    expect(r.interval[1]).toBeLessThanOrEqual(1.53 + 1e-9);
    expect(r.n).toBe(7);
  });

  test("refuses samples of different rounds and samples of 0 ms", () => {
    expect(() => pairedRatio([1, 2], [1])).toThrow(expect.objectContaining({ code: "rounds-differ" }));
    expect(() => pairedRatio([1, 2], [1, 0])).toThrow(expect.objectContaining({ code: "clock-too-coarse" }));
  });
});
