import { describe, expect, test } from "vitest";
import { contributions, eliminate } from "../../toolkit/prune/elimination.js";
import { emptyCross, emptyMoments, type Moments } from "../../toolkit/prune/gram.js";
import { ownTarget, solve } from "../../toolkit/prune/leastSquares.js";
import { gaussian } from "../support/random.js";

/** Rows of correlated inputs with non-zero means. */
function inputs(rows: number, columns: number, seed: number): Float64Array[] {
  const g = gaussian(seed);
  const mix = Array.from({ length: columns }, () => Float64Array.from({ length: columns }, g));
  return Array.from({ length: rows }, () => {
    const z = Float64Array.from({ length: columns }, g);
    return Float64Array.from({ length: columns }, (_, i) => 0.3 * i + mix[i].reduce((s, m, j) => s + m * z[j], 0));
  });
}

function momentsOf(x: readonly Float64Array[]): Moments {
  const p = x[0].length;
  const m = emptyMoments(p);
  for (const row of x) {
    for (let i = 0; i < p; i++) {
      m.sums[i] += row[i];
      for (let j = 0; j < p; j++) m.products[i * p + j] += row[i] * row[j];
    }
  }
  return { ...m, count: x.length };
}

/** Mean squared error of a solution, summed over outputs, measured on the rows themselves. */
function errorOn(
  x: readonly Float64Array[],
  t: readonly Float64Array[],
  kept: Int32Array,
  s: { weights: Float64Array; bias: Float64Array },
): number {
  let total = 0;
  for (const [r, row] of x.entries()) {
    for (let o = 0; o < s.bias.length; o++) {
      let y = s.bias[o];
      for (let i = 0; i < kept.length; i++) y += s.weights[o * kept.length + i] * row[kept[i]];
      total += (t[r][o] - y) ** 2;
    }
  }
  return total / x.length;
}

const columns = 8;
const outputs = 3;
const x = inputs(400, columns, 1);
const g = gaussian(2);
const w = Float64Array.from({ length: outputs * columns }, g);
const bias = Float64Array.from([0.5, -1, 2]);
const t = x.map((row) =>
  Float64Array.from({ length: outputs }, (_, o) => bias[o] + row.reduce((s, v, i) => s + v * w[o * columns + i], 0)),
);
const m = momentsOf(x);

describe("solve", () => {
  test("reproduces the target exactly when nothing is removed", () => {
    const all = Int32Array.from({ length: columns }, (_, i) => i);
    const s = solve(m, ownTarget(m, w, bias), all, w, 1e-9);
    expect(errorOn(x, t, all, s)).toBeLessThan(1e-9);
  });

  test("no small change of the weights or the bias lowers the error: it is a minimum", () => {
    const kept = Int32Array.from([0, 2, 3, 6]);
    const prior = new Float64Array(outputs * kept.length);
    const s = solve(m, ownTarget(m, w, bias), kept, prior, 1e-9);
    const least = errorOn(x, t, kept, s);
    for (const field of ["weights", "bias"] as const) {
      for (let i = 0; i < s[field].length; i++) {
        for (const step of [-0.01, 0.01]) {
          const moved = { weights: Float64Array.from(s.weights), bias: Float64Array.from(s.bias) };
          moved[field][i] += step;
          expect(errorOn(x, t, kept, moved)).toBeGreaterThan(least);
        }
      }
    }
  });

  test("cross moments with an explicit target equal those derived from the node's own weights", () => {
    const explicit = emptyCross(outputs, columns);
    for (const [r, row] of x.entries()) {
      for (let o = 0; o < outputs; o++) {
        explicit.sums[o] += t[r][o];
        for (let i = 0; i < columns; i++) explicit.products[o * columns + i] += t[r][o] * row[i];
      }
    }
    const own = ownTarget(m, w, bias);
    for (const [i, v] of own.products.entries()) expect(v).toBeCloseTo(explicit.products[i], 6);
    for (const [i, v] of own.sums.entries()) expect(v).toBeCloseTo(explicit.sums[i], 6);
  });
});

describe("eliminate", () => {
  const blocks = [0, 1, 2, 3].map((c) => Int32Array.from([2 * c, 2 * c + 1]));

  test("its error equals that of the regression on what remains, at every step", () => {
    const e = eliminate([{ moments: m, weights: w, blocks }], 4, 1e-9);
    const full = x.reduce((s, _, r) => s + t[r].reduce((q, v, o) => q + (v - meanOf(t, o)) ** 2, 0), 0) / x.length;
    const left = new Set([0, 1, 2, 3]);
    for (let k = 0; k < 3; k++) {
      left.delete(e.order[k]);
      const kept = Int32Array.from([...left].flatMap((c) => [...blocks[c]]));
      const s = solve(m, ownTarget(m, w, bias), kept, new Float64Array(outputs * kept.length), 1e-9);
      expect(e.error[k + 1]).toBeCloseTo(errorOn(x, t, kept, s) / full, 6);
    }
  });

  test("the first channel removed is the one whose removal costs least, by brute force", () => {
    const e = eliminate([{ moments: m, weights: w, blocks }], 4, 1e-9);
    const costs = blocks.map((_, c) => {
      const kept = Int32Array.from(blocks.flatMap((b, i) => (i === c ? [] : [...b])));
      return errorOn(x, t, kept, solve(m, ownTarget(m, w, bias), kept, new Float64Array(outputs * kept.length), 1e-9));
    });
    expect(e.order[0]).toBe(costs.indexOf(Math.min(...costs)));
  });

  test("a channel that another one duplicates is free to go", () => {
    const doubled = x.map((row) => Float64Array.from([...row, 2 * row[3]]));
    const weights = Float64Array.from({ length: outputs * 9 }, gaussian(5));
    const single = Array.from({ length: 9 }, (_, i) => Int32Array.of(i));
    const e = eliminate([{ moments: momentsOf(doubled), weights, blocks: single }], 9, 1e-9);
    expect([3, 8]).toContain(e.order[0]);
    expect(e.error[1]).toBeLessThan(1e-6);
  });
});

describe("contributions", () => {
  test("its moments are those of what each channel adds to the outputs", () => {
    const blocks = [0, 1, 2, 3].map((c) => Int32Array.from([2 * c, 2 * c + 1]));
    const { moments } = contributions({ moments: m, weights: w, blocks });
    const z = (row: Float64Array, c: number, o: number): number =>
      [...blocks[c]].reduce((s, k) => s + w[o * columns + k] * row[k], 0);
    for (let c = 0; c < 4; c++) {
      for (let d = 0; d < 4; d++) {
        let expected = 0;
        for (let o = 0; o < outputs; o++) {
          const [zc, zd] = [c, d].map((k) => x.map((row) => z(row, k, o)));
          const mean = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;
          expected += mean(zc.map((v, i) => v * zd[i])) - mean(zc) * mean(zd);
        }
        expect(moments.products[c * 4 + d]).toBeCloseTo(expected, 6);
      }
    }
  });
});

function meanOf(t: readonly Float64Array[], o: number): number {
  return t.reduce((s, row) => s + row[o], 0) / t.length;
}
