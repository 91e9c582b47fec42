import { describe, expect, it } from "vitest";
import { fitSurface } from "../../toolkit/latency/surface.js";

const row = (widths: number[], us: number, n = 1) => ({ widths, us, n, launches: 1, spread: 0 });
const grid = (step: number, last: number) => Array.from({ length: last / step }, (_, i) => step * (i + 1));

describe("fitSurface", () => {
  const stairs = (cin: number, cout: number) => 2 + 5 * Math.ceil(cin / 16) * Math.ceil(cout / 16);

  it("fills gaps of a staircase exactly once it has found the block size", () => {
    const all = grid(4, 64).flatMap((cin) => grid(4, 64).map((cout) => [cin, cout]));
    const seen = all.filter((_, i) => i % 5 === 0);
    const surface = fitSurface(
      seen.map(([a, b]) => row([a, b], stairs(a, b))),
      0.01,
    );
    for (const [a, b] of all) expect(surface.at([a, b]).us).toBeCloseTo(stairs(a, b), 6);
    expect(surface.at([4, 4]).interpolated).toBe(false);
    expect(surface.at([8, 4]).interpolated).toBe(true);
  });

  it("finds plain growth where there are no steps", () => {
    const smooth = (a: number, b: number) => 3 + 0.1 * a * b;
    const seen = grid(4, 32).flatMap((a) =>
      grid(4, 32)
        .filter((b) => (a + b) % 12 !== 0)
        .map((b) => row([a, b], smooth(a, b))),
    );
    const surface = fitSurface(seen, 0.01);
    expect(surface.at([8, 4]).us).toBeCloseTo(smooth(8, 4), 6);
    expect(surface.at([18, 30]).us).toBeCloseTo(smooth(18, 30), 6);
  });

  it("sees that narrow inputs run other code", () => {
    const cost = (cin: number, cout: number) => (cin < 16 ? 4 + 0.5 * cin * Math.ceil(cout / 16) : stairs(cin, cout));
    const all = grid(4, 48).flatMap((a) => grid(4, 48).map((b) => [a, b]));
    const surface = fitSurface(
      all.filter((_, i) => i % 4 !== 1).map(([a, b]) => row([a, b], cost(a, b))),
      0.01,
    );
    for (const [a, b] of all) expect(Math.abs(surface.at([a, b]).us / cost(a, b) - 1)).toBeLessThan(0.02);
  });

  it("draws a noisy row to its plateau, more for one observation than for many", () => {
    const rows = grid(4, 64).map((w) => row([w], 10 * Math.ceil(w / 16)));
    const with1 = rows.map((r) => (r.widths[0] === 24 ? { ...r, us: 22 } : r));
    const once = fitSurface(with1, 0.05).at([24]).us;
    expect(once).toBeGreaterThan(20);
    expect(once).toBeLessThan(21);
    const often = fitSurface(
      rows.map((r) => ({ ...r, n: 1000, us: r.widths[0] === 24 ? 22 : r.us })),
      0.05,
    ).at([24]).us;
    expect(often).toBeGreaterThan(21.5);
  });

  it("knows its own scatter: less with more observations", () => {
    const rows = grid(4, 64).map((w) => row([w], 10 * Math.ceil(w / 16)));
    const error = (n: number) =>
      fitSurface(
        rows.map((r) => ({ ...r, n })),
        0.04,
      ).at([24]).error;
    expect(error(1)).toBeLessThan(0.04);
    expect(error(1)).toBeGreaterThan(0.005);
    expect(error(4)).toBeCloseTo(error(1) / 2);
  });

  it("keeps a kernel without widths, or with a single row, as it was measured", () => {
    expect(fitSurface([row([], 7, 40)], 0.03).at([]).us).toBe(7);
    const single = fitSurface([row([16, 16], 9)], 0.03);
    expect(single.at([16, 16])).toMatchObject({ us: 9, launches: 1, interpolated: false });
    expect(single.at([16, 32])).toMatchObject({ us: 9, launches: 1, interpolated: true });
  });
});
