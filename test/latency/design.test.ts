import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  coarseGrid,
  designWidths,
  errorFigures,
  fitCorrection,
  randomWidths,
  widthGrid,
} from "../../toolkit/latency/index.js";

const groups = [
  { id: "a", width: 16 },
  { id: "b", width: 64 },
];
const grids = new Map(groups.map((g) => [g.id, widthGrid(g.width)]));

describe("widthGrid", () => {
  it.each([
    [16, [4, 8, 12, 16]],
    [32, [4, 8, 12, 16, 20, 24, 28, 32]],
    [33, [8, 12, 16, 20, 24, 28, 32, 33]],
    [8, [2, 4, 6, 8]],
    [144, [32, 48, 64, 80, 96, 112, 128, 144]],
    [960, [128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960]],
    [1, [1]],
  ])("of %i channels", (width, expected) => {
    expect(widthGrid(width)).toEqual(expected);
  });

  it("always ends at the full width, ascends, and stays short", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (width) => {
        const grid = widthGrid(width);
        expect(grid.at(-1)).toBe(width);
        expect(grid.length).toBeLessThanOrEqual(17);
        expect(grid).toEqual([...new Set(grid)].sort((x, y) => x - y));
        expect(grid[0]).toBeGreaterThan(0);
      }),
    );
  });
});

it("coarseGrid keeps both ends and spreads the rest", () => {
  expect(coarseGrid(widthGrid(64), 8)).toEqual([8, 16, 24, 32, 40, 48, 56, 64]);
  expect(coarseGrid([4, 8, 12, 16], 8)).toEqual([4, 8, 12, 16]);
});

describe("designWidths", () => {
  it("starts with the full model and depends on nothing but the seed", () => {
    const design = designWidths(groups, grids, 20, 3);
    expect(design[0]).toEqual(
      new Map([
        ["a", 16],
        ["b", 64],
      ]),
    );
    expect(designWidths(groups, grids, 20, 3)).toEqual(design);
    expect(designWidths(groups, grids, 20, 4)).not.toEqual(design);
    for (const net of design) for (const [id, width] of net) expect(grids.get(id)).toContain(width);
  });

  it("shows every grid point equally often in its even half, and both small and large nets", () => {
    const design = designWidths(groups, grids, 1 + 2 * 15, 3);
    const even = design.filter((_, i) => i % 2 === 1).map((net) => net.get("b")!);
    expect(even.toSorted((x, y) => x - y)).toEqual(grids.get("b"));
    const sizes = design.slice(1).map((net) => net.get("a")! / 16 + net.get("b")! / 64);
    expect(Math.min(...sizes)).toBeLessThan(0.6);
    expect(Math.max(...sizes)).toBeGreaterThan(1.7);
  });
});

it("randomWidths stays on the grid", () => {
  for (const net of randomWidths(groups, grids, 50, 1))
    for (const [id, width] of net) expect(grids.get(id)).toContain(width);
});

describe("fitCorrection", () => {
  const sums = Array.from({ length: 30 }, (_, i) => ({ us: 100 + 13 * i, launches: 20 + ((i * 7) % 11) }));
  const truth = (s: { us: number; launches: number }) => (1.05 * s.us - 1.5 * s.launches + 12) / 1000;

  it("recovers the law and is not misled by a few disturbed measurements", () => {
    const ms = sums.map((s, i) => truth(s) * (i % 10 === 3 ? 1.5 : 1));
    const c = fitCorrection(sums, ms);
    for (const s of sums)
      expect(Math.abs((c.scale * s.us + c.perLaunchUs * s.launches + c.perCallUs) / 1000 / truth(s) - 1)).toBeLessThan(
        0.01,
      );
  });

  it("is defined where all nets have the same number of launches, or are one", () => {
    const flat = sums.map((s) => ({ ...s, launches: 20 }));
    const c = fitCorrection(flat, flat.map(truth));
    const at = (s: { us: number; launches: number }) =>
      (c.scale * s.us + c.perLaunchUs * s.launches + c.perCallUs) / 1000;
    for (const s of flat) expect(Math.abs(at(s) / truth(s) - 1)).toBeLessThan(0.005);
    const one = fitCorrection([sums[0]], [truth(sums[0])]);
    expect(Object.values(one).every(Number.isFinite)).toBe(true);
  });
});

it("errorFigures are those worked out by hand", () => {
  const f = errorFigures([1.1, 2, 2.7, 4.4], [1, 2, 3, 4]);
  expect(f.medianErrorPct).toBeCloseTo(10);
  expect(f.spearman).toBeCloseTo(1);
  expect(errorFigures([1], [1]).spearman).toBeNull();
});
