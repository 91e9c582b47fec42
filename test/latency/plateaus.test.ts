import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lowerEnvelope, plateauEdges, type WidthPoint } from "../../toolkit/latency/index.js";

const curve = (ms: readonly number[]): WidthPoint[] => ms.map((v, i) => ({ width: 4 * (i + 1), ms: v }));
/** Steps every `block` points, plus noise that makes the curve rise and fall inside a plateau. */
const noisyStairs = fc
  .record({
    block: fc.integer({ min: 1, max: 6 }),
    steps: fc.integer({ min: 1, max: 6 }),
    rise: fc.double({ min: 0.2, max: 2, noNaN: true }),
    noise: fc.array(fc.double({ min: -0.01, max: 0.01, noNaN: true }), { minLength: 40, maxLength: 40 }),
  })
  .map(({ block, steps, rise, noise }) => {
    const ms = Array.from({ length: block * steps }, (_, i) => 1 + rise * Math.floor(i / block) + noise[i]);
    return { block, points: curve(ms) };
  });

describe("lowerEnvelope", () => {
  it("is the least cost at this width or any larger one", () => {
    const points = curve([3, 5, 2, 4, 4, 9]);
    expect(lowerEnvelope(points).map((p) => p.ms)).toEqual([2, 2, 2, 4, 4, 9]);
    expect(lowerEnvelope(points).map((p) => p.use)).toEqual([12, 12, 12, 20, 20, 24]);
  });

  it("never falls and never exceeds the curve, whatever the order of the points", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 1, maxLength: 30 }), (ms) => {
        const points = curve(ms);
        const envelope = lowerEnvelope(points.toReversed());
        envelope.forEach((e, i) => {
          expect(e.ms).toBe(Math.min(...ms.slice(i)));
          expect(e.ms).toBeLessThanOrEqual(points[i].ms);
          expect(points.find((p) => p.width === e.use)!.ms).toBe(e.ms);
        });
      }),
    );
  });
});

describe("plateauEdges", () => {
  it("finds the last width of each step", () => {
    expect(plateauEdges(curve([1, 1, 1, 2, 2, 2, 3, 3, 3]), 0)).toEqual([12, 24, 36]);
  });

  it("lets small rises of a slow slope add up", () => {
    const slope = curve(Array.from({ length: 100 }, (_, i) => 100 + 0.3 * i));
    const edges = plateauEdges(slope, 0);
    expect(edges.length).toBeGreaterThan(10);
    expect(edges.length).toBeLessThan(40);
  });

  it("never offers a width inside a plateau, for noise within three sigma", () => {
    fc.assert(
      fc.property(noisyStairs, ({ block, points }) => {
        const edges = plateauEdges(points, 0.01);
        for (const width of edges) expect((width / 4) % block).toBe(0);
        expect(edges).toHaveLength(points.length / block);
      }),
    );
  });

  it("offers only widths for which no larger one is cheaper or equal, and always the full one", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.1, max: 10, noNaN: true }), { minLength: 1, maxLength: 30 }), (ms) => {
        const points = curve(ms);
        const edges = plateauEdges(points, 0);
        expect(edges.at(-1)).toBe(points.at(-1)!.width);
        for (const edge of edges) {
          const cost = points.find((p) => p.width === edge)!.ms;
          for (const p of points) if (p.width > edge) expect(p.ms).toBeGreaterThan(cost);
        }
        expect(edges).toEqual([...edges].sort((a, b) => a - b));
      }),
    );
  });
});
