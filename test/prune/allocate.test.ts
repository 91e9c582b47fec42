import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AllocationProblem, allocateWidths, cheapest, costOf, knapsack } from "../../toolkit/prune/allocate.js";

const item = fc.record({ cost: fc.integer({ min: 0, max: 40 }), loss: fc.integer({ min: 0, max: 100 }) });
const knapsackClass = fc.array(item, { minLength: 1, maxLength: 5 });

function everyPick<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((picks, list) => picks.flatMap((p) => list.map((x) => [...p, x])), [[]]);
}

describe("knapsack", () => {
  test("equals brute force on whole costs", () => {
    fc.assert(
      fc.property(
        fc.array(knapsackClass, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 120 }),
        (classes, budget) => {
          const chosen = knapsack(
            classes.map((c) => ({ cost: c.map((i) => i.cost), loss: c.map((i) => i.loss) })),
            budget,
            budget * 4,
          );
          const feasible = everyPick(classes).filter((p) => p.reduce((s, i) => s + i.cost, 0) <= budget);
          const least = Math.min(...feasible.map((p) => p.reduce((s, i) => s + i.loss, 0)));
          if (feasible.length === 0) {
            expect(chosen).toBeUndefined();
            return;
          }
          expect(chosen!.reduce((s, i, c) => s + classes[c][i].cost, 0)).toBeLessThanOrEqual(budget);
          expect(chosen!.reduce((s, i, c) => s + classes[c][i].loss, 0)).toBe(least);
        },
      ),
    );
  });
});

/** A chain of convolutions whose costs are staircases in both widths, as on a device that works in blocks of four. */
function chain(losses: readonly (readonly number[])[], steps: readonly number[]): AllocationProblem {
  const widths = [4, 8, 12, 16];
  const choices = losses.map((l, i) => ({ id: `g${i}`, widths, loss: [...l.toSorted((a, b) => b - a), 0] }));
  const kernels = steps.map((scale, i) => ({
    groups: [`g${i - 1}`, `g${i}`].filter((id) => choices.some((c) => c.id === id)),
    ms: (w: ReadonlyMap<string, number>) => (scale * (w.get(`g${i - 1}`) ?? 3) * (w.get(`g${i}`) ?? 10)) / 64 + 0.5,
  }));
  return { choices, kernels, fixedMs: 1 };
}

const loss3 = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 3, maxLength: 3 });
const problem = fc
  .integer({ min: 1, max: 4 })
  .chain((n) =>
    fc.tuple(
      fc.array(loss3, { minLength: n, maxLength: n }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: n + 1, maxLength: n + 1 }),
    ),
  )
  .map(([losses, steps]) => chain(losses, steps));

function bruteForce(p: AllocationProblem, budget: number): number {
  const picks = everyPick(p.choices.map((c) => c.widths.map((_, i) => i)));
  let least = Number.POSITIVE_INFINITY;
  for (const pick of picks) {
    const widths = new Map(p.choices.map((c, i) => [c.id, c.widths[pick[i]]]));
    if (costOf(p, widths) <= budget)
      least = Math.min(
        least,
        pick.reduce((s, w, i) => s + p.choices[i].loss[w], 0),
      );
  }
  return least;
}

describe("allocateWidths", () => {
  test("keeps the exact budget on coupled chains, and finds brute force's optimum in nine of ten", () => {
    let optimal = 0;
    let runs = 0;
    fc.assert(
      fc.property(problem, fc.double({ min: 0, max: 1, noNaN: true }), (p, share) => {
        const low = cheapest(p).ms;
        const high = costOf(p, new Map(p.choices.map((c) => [c.id, 16])));
        const budget = low + (high - low) * share;
        const a = allocateWidths(p, budget);
        expect(a.ms).toBeLessThanOrEqual(budget);
        expect(costOf(p, a.widths)).toBe(a.ms);
        const least = bruteForce(p, budget);
        expect(a.loss).toBeGreaterThanOrEqual(least);
        runs++;
        if (a.loss <= least + 1e-9) optimal++;
        expect(a.loss).toBeLessThanOrEqual(least * 1.25 + 6);
      }),
      { numRuns: 300, seed: 7 },
    );
    expect(optimal / runs).toBeGreaterThan(0.9);
  });

  test("a larger budget never costs more loss", () => {
    const p = chain(
      [
        [30, 20, 10],
        [9, 5, 1],
        [50, 10, 2],
      ],
      [3, 5, 2, 4],
    );
    const high = costOf(p, new Map(p.choices.map((c) => [c.id, 16])));
    const low = cheapest(p).ms;
    let last = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= 20; i++) {
      const { loss } = allocateWidths(p, low + ((high - low) * i) / 20);
      expect(loss).toBeLessThanOrEqual(last);
      last = loss;
    }
    expect(last).toBe(0);
  });

  test("never stops inside a plateau: a narrower width at the same cost is not taken", () => {
    const stairs: AllocationProblem = {
      choices: [{ id: "g", widths: [9, 12, 16], loss: [5, 3, 0] }],
      kernels: [{ groups: ["g"], ms: (w) => Math.ceil(w.get("g")! / 4) }],
      fixedMs: 0,
    };
    expect(allocateWidths(stairs, 3).widths.get("g")).toBe(12);
  });

  test("says the fastest reachable latency when nothing fits", () => {
    const p = chain([[3, 2, 1]], [1, 1]);
    expect(() => allocateWidths(p, 0.1)).toThrow(/narrowest widths still take/);
  });
});
