import fc from "fast-check";
import { expect, test } from "vitest";
import { floats } from "../../toolkit/graph/tensor.js";
import { activationGrid, quantizeBias } from "../../toolkit/quantize/affine.js";
import { RangeObserver } from "../../toolkit/quantize/observer.js";
import { quantizeWeight } from "../../toolkit/quantize/weights.js";

const observed = (...batches: ArrayLike<number>[]): RangeObserver => {
  const o = new RangeObserver();
  for (const b of batches) o.add(Float64Array.from(b));
  return o;
};

/** Sorted-array quantile: the brute-force counterpart. */
const quantileOf = (values: readonly number[], q: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
};

/** A long-tailed, reproducible sequence. */
const tailed = (n: number, seed = 1): number[] => {
  let state = seed;
  return Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const u = (state + 0.5) / 2 ** 32;
    return Math.log(u / (1 - u)) * (1 + (state % 7));
  });
};

test("min-max covers all finite values and always zero", () => {
  expect(observed([1, 2], [3, 0.5]).range({ kind: "minmax" })).toEqual({ low: 0, high: 3 });
  expect(observed([-1, -5]).range({ kind: "minmax" })).toEqual({ low: -5, high: 0 });
});

test("percentiles agree with a sorted array to one bin", () => {
  for (const seed of [1, 2, 3]) {
    const values = tailed(20000, seed);
    const o = observed(values.slice(0, 100), values.slice(100));
    for (const q of [0.0005, 0.01, 0.3, 0.5, 0.99, 0.9995]) {
      expect(Math.abs(o.quantile(q) - quantileOf(values, q)), `${q}`).toBeLessThanOrEqual(o.binWidth);
    }
    const r = o.range({ kind: "percentile", percentile: 99.9 });
    expect(Math.abs(r.high - quantileOf(values, 0.9995))).toBeLessThanOrEqual(o.binWidth);
    expect(Math.abs(r.low - quantileOf(values, 0.0005))).toBeLessThanOrEqual(o.binWidth);
  }
});

test("a thinned histogram keeps the extremes and comes near the quantiles", () => {
  const values = Float64Array.from(tailed(50000));
  values[4999] = 500;
  const o = new RangeObserver();
  for (const part of [values.subarray(0, 25000), values.subarray(25000)]) {
    const sample = part.filter((_, i) => i % 7 === 3);
    o.addSample({ min: Math.min(...part), max: Math.max(...part), sample });
  }
  expect(o.range({ kind: "minmax" }).high).toBe(500);
  expect(o.count).toBeGreaterThan(50000 / 7 - 3);
  expect(o.count).toBeLessThan(50000 / 7 + 3);
  expect(Math.abs(o.quantile(0.9) - quantileOf([...values], 0.9))).toBeLessThan(0.1 * quantileOf([...values], 0.9));
});

test("the order and the cut of the data into batches change nothing", () => {
  fc.assert(
    fc.property(
      fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 }), {
        minLength: 1,
        maxLength: 60,
      }),
      fc.nat(59),
      (values, cut) => {
        const a = observed(values.slice(0, cut), values.slice(cut));
        const b = observed(values.toReversed());
        expect(a.range({ kind: "mse" })).toEqual(b.range({ kind: "mse" }));
        expect(a.quantile(0.7)).toBe(b.quantile(0.7));
        expect(a.count).toBe(values.length);
      },
    ),
  );
});

test("memory does not depend on the amount of data", () => {
  const cells = (o: RangeObserver): number => o.positive.length + o.negative.length;
  const small = observed([1]);
  const large = observed(...Array.from({ length: 50 }, (_, i) => tailed(2000, i + 1)));
  expect(cells(large)).toBe(cells(small));
  expect(large.count).toBe(100000);
  const total = large.zeros + large.positive.reduce((a, b) => a + b, 0) + large.negative.reduce((a, b) => a + b, 0);
  expect(total).toBe(100000);
});

test("the MSE range beats the full range and every coarser choice where there are outliers", () => {
  const values = [...tailed(5000), 200];
  const o = observed(values);
  const error = (r: { low: number; high: number }): number => {
    const { scale, zeroPoint } = activationGrid(r);
    return values.reduce((sum, v) => {
      const q = Math.min(255, Math.max(0, Math.round(v / scale) + zeroPoint));
      return sum + ((q - zeroPoint) * scale - v) ** 2;
    }, 0);
  };
  const full = o.range({ kind: "minmax" });
  const chosen = error(o.range({ kind: "mse" }));
  expect(chosen).toBeLessThanOrEqual(error(full));
  for (let a = 0.3; a <= 1; a += 0.05) {
    // The search looks at bin centres, the brute force at the values: they differ by a little.
    expect(chosen).toBeLessThanOrEqual(1.02 * error({ low: full.low * a, high: full.high * a }));
  }
});

test("NaN and infinity are counted and enter no range", () => {
  const o = observed([1, Number.NaN, 2, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  expect(o.nonFinite).toBe(3);
  expect(o.count).toBe(2);
  expect(o.range({ kind: "minmax" })).toEqual({ low: 0, high: 2 });
  expect(o.positive.reduce((a, b) => a + b, 0)).toBe(2);
});

test.each([
  ["all zero", [0, 0, 0], { low: 0, high: 0 }],
  ["constant", [3, 3, 3], { low: 0, high: 3 }],
  ["nothing", [], { low: 0, high: 0 }],
  ["only NaN", [Number.NaN], { low: 0, high: 0 }],
  ["one denormal", [1e-40], { low: 0, high: 1e-40 }],
] as const)("%s gives a usable grid", (_, values, range) => {
  for (const method of [{ kind: "minmax" }, { kind: "percentile", percentile: 99.9 }] as const) {
    const r = observed([...values]).range(method);
    expect(r).toEqual(range);
    const grid = activationGrid(r);
    expect(grid.scale).toBeGreaterThan(0);
    expect(grid.zeroPoint).toBe(0);
  }
  expect(activationGrid(observed([...values]).range({ kind: "mse" })).scale).toBeGreaterThan(0);
});

test("zero is represented exactly on every grid", () => {
  fc.assert(
    fc.property(
      fc.double({ noNaN: true, min: -1e3, max: 1e3 }),
      fc.double({ noNaN: true, min: 0, max: 1e3 }),
      (low, width) => {
        const { scale, zeroPoint } = activationGrid({ low, high: low + width });
        expect(Number.isInteger(zeroPoint)).toBe(true);
        expect(zeroPoint).toBeGreaterThanOrEqual(0);
        expect(zeroPoint).toBeLessThanOrEqual(255);
        expect(Math.fround(scale)).toBe(scale);
      },
    ),
  );
  expect(() => activationGrid({ low: Number.NaN, high: 1 })).toThrow();
});

test("weights are rounded per channel of the given axis", () => {
  const w = floats([1, -2, 0.5, 0.25, 100, -100], [2, 3]);
  const rows = quantizeWeight(w, 0);
  expect([...rows.scales]).toEqual([Math.fround(2 / 127), Math.fround(100 / 127)]);
  expect([...(rows.values.data as Int8Array)]).toEqual([64, -127, 32, 0, 127, -127]);
  const columns = quantizeWeight(w, 1);
  expect([...(columns.values.data as Int8Array)]).toEqual([127, -3, 1, 32, 127, -127]);
  const reduced = quantizeWeight(w, 0, { reduceRange: true });
  expect(Math.max(...(reduced.values.data as Int8Array).map(Math.abs))).toBe(64);
});

test("the bias of a channel with tiny weights still fits into int32", () => {
  const w = floats([1e-9, 0, 1, 1], [2, 2]);
  const q = quantizeWeight(w, 0, { bias: [50, 50], inputScale: 1e-4 });
  const b = quantizeBias([50, 50], 1e-4, q.scales);
  const values = b.values.data as Int32Array;
  const scales = b.scales.data as Float32Array;
  for (const c of [0, 1]) expect(Math.abs(values[c] * scales[c] - 50)).toBeLessThan(1e-3);
});

test("the moving average is not carried away by one extreme call", () => {
  const calls = Array.from({ length: 40 }, (_, i) => [-1, i === 20 ? 1000 : 2]);
  const o = observed(...calls);
  expect(o.range({ kind: "minmax" })).toEqual({ low: -1, high: 1000 });
  const r = o.range({ kind: "moving-average" });
  expect(r.low).toBeCloseTo(-1, 6);
  // The mean of the calls' largest elements: the first hundred count alike.
  expect(r.high).toBeCloseTo((39 * 2 + 1000) / 40, 6);
  // Later ones weigh a hundredth.
  const long = observed(...Array.from({ length: 200 }, () => [1]), [101]);
  expect(long.range({ kind: "moving-average" }).high).toBeCloseTo(2, 6);
});

/** KL(P || Q) by the book, on the elements themselves cut into fine bins. */
function divergenceOf(values: readonly number[], r: { low: number; high: number }, binWidth: number): number {
  const scale = (r.high - r.low) / 255;
  const bins = new Map<number, number>();
  for (const v of values)
    if (v !== 0) bins.set(Math.floor(v / binWidth), (bins.get(Math.floor(v / binWidth)) ?? 0) + 1);
  const all = [...bins].sort((a, b) => a[0] - b[0]).map(([k, n]) => ({ at: (k + 0.5) * binWidth, n }));
  const inside = all.filter((b) => b.at >= r.low && b.at <= r.high);
  const count = (list: typeof all): number => list.reduce((s, b) => s + b.n, 0);
  const p = inside.map((b) => b.n);
  p[0] += count(all.filter((b) => b.at < r.low));
  p[p.length - 1] += count(all.filter((b) => b.at > r.high));
  const code = (b: { at: number }): number => Math.round(b.at / scale);
  const q = inside.map((b) => {
    const same = inside.filter((c) => code(c) === code(b));
    return count(same) / same.length / count(inside);
  });
  return p.reduce((s, n, i) => s + (n / count(all)) * Math.log(n / count(all) / q[i]), 0);
}

test("the entropy range has no more divergence than any other cut of the same values", () => {
  const values = [...tailed(3000), 150, -90];
  const o = observed(values);
  const full = o.range({ kind: "minmax" });
  const r = o.range({ kind: "entropy" });
  expect(r.high).toBeLessThan(full.high);
  expect(r.low / full.low).toBeCloseTo(r.high / full.high, 6);
  const chosen = divergenceOf(values, r, o.binWidth);
  for (const share of [0.3, 0.4, 0.5, 0.65, 0.8, 0.9, 1]) {
    const other = divergenceOf(values, { low: full.low * share, high: full.high * share }, o.binWidth);
    expect(chosen).toBeLessThanOrEqual(other + 0.01);
  }
});

test("values without outliers keep their whole range under entropy", () => {
  const even = Array.from({ length: 4000 }, (_, i) => (i - 2000) / 500);
  const r = observed(even).range({ kind: "entropy" });
  expect(r.high).toBeGreaterThan(3.5);
  expect(r.low).toBeLessThan(-3.5);
});

test("16 bits keep what 8 bits would clip", () => {
  const o = observed(Float64Array.from({ length: 400_000 }, (_, i) => (i === 7 ? 5 : Math.sin(i))));
  expect(o.range({ kind: "mse" }).high).toBeLessThan(4);
  expect(o.range({ kind: "mse" }, 65535).high).toBe(5);
});

test("weight scales of least squares clip an outlier where that pays, and only then", () => {
  const many = Array.from({ length: 999 }, (_, i) => Math.sin(i));
  const w = floats([...many, 1.6], [1, 1000]);
  const error = (scale: number): number =>
    [...many, 1.6].reduce((s, v) => s + (v - scale * Math.max(-127, Math.min(127, Math.round(v / scale)))) ** 2, 0);
  const largest = quantizeWeight(w, 0).scales[0];
  const best = quantizeWeight(w, 0, { scales: "mse" }).scales[0];
  expect(error(best)).toBeLessThanOrEqual(error(largest));
  const even = floats(many, [1, 999]);
  expect(quantizeWeight(even, 0, { scales: "mse" }).scales[0]).toBeCloseTo(quantizeWeight(even, 0).scales[0], 3);
  const one = quantizeWeight(w, 0, { perTensor: true });
  expect(one.scales).toHaveLength(1);
});
