/** The arithmetic of searches: distributions of widths, expected costs, fitted widths, evolution. */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, expect, it } from "vitest";
import { Adam } from "../../toolkit/methods/adam.js";
import { slimGreedily, thinned } from "../../toolkit/methods/autoSlim.js";
import { costLoss } from "../../toolkit/methods/dmcp.js";
import { evolve } from "../../toolkit/methods/evolution.js";
import { ExpectedCost, interpolatedCost } from "../../toolkit/methods/expectedCost.js";
import { fitWidths, narrowest } from "../../toolkit/methods/fitWidths.js";
import { MarkovChain } from "../../toolkit/methods/markov.js";
import type { Cost, CostPart } from "../../toolkit/methods/method.js";
import { adapt } from "../../toolkit/methods/netAdapt.js";
import type { Widths } from "../../toolkit/prune/groups.js";

const candidates = new Map<string, readonly number[]>([
  ["a", [2, 3, 6, 8]],
  ["b", [4, 8, 12]],
  ["c", [1, 5]],
]);
const full = new Map([...candidates].map(([id, w]) => [id, w.at(-1)!]));

/** Costs with stairs: nothing that a smooth formula could reproduce. */
function stairs(share = 0.5): Cost {
  const part = (id: string, groups: string[], of: (w: Widths) => number): CostPart => ({
    id,
    groups,
    of: (w) => of(new Map([...full, ...w])),
  });
  const up = (v: number, step: number): number => step * Math.ceil(v / step);
  const parts = [
    part("first", ["a"], (w) => 3 * up(w.get("a")!, 4)),
    part("second", ["a", "b"], (w) => up(w.get("a")!, 3) * up(w.get("b")!, 5)),
    part("third", ["b", "c", "a"], (w) => w.get("b")! * up(w.get("c")!, 2) + Math.sqrt(w.get("a")!)),
  ];
  const of = (w: Widths, gone?: ReadonlySet<string>): number =>
    parts.reduce((sum, p) => (gone?.has(p.id) ? sum : sum + p.of(w)), 7);
  return { unit: "ms", parts, fixed: 7, of, original: of(full), target: share * of(full) };
}

const chainsWith = (form: "exp" | "sigmoid"): Map<string, MarkovChain> =>
  new Map(
    [...candidates].map(([id, w], g) => [
      id,
      new MarkovChain(
        w,
        form,
        Float64Array.from({ length: w.length - 1 }, (_, k) => 0.3 + 0.4 * ((g + 2 * k) % 3)),
      ),
    ]),
  );

describe.each(["exp", "sigmoid"] as const)("chains of widths, %s", (form) => {
  it("are distributions: they sum to 1, and their mean is that of the marginals", () => {
    for (const chain of chainsWith(form).values()) {
      const p = chain.distribution();
      expect(p.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
      expect(Math.min(...p)).toBeGreaterThan(0);
      // E[C] = c_min + Σ_k m_k (c_k - c_{k-1})
      const m = chain.marginal();
      const mean = chain.widths.reduce((sum, w, k) => sum + m[k] * (w - (chain.widths[k - 1] ?? 0)), 0);
      expect(chain.expectedWidth()).toBeCloseTo(mean, 12);
    }
  });

  it("are sampled as often as they say", () => {
    const chain = chainsWith(form).get("a")!;
    const random = xoroshiro128plus(5);
    const counts = new Map(chain.widths.map((w) => [w, 0]));
    for (let i = 0; i < 20_000; i++) {
      const w = chain.sample(random);
      counts.set(w, counts.get(w)! + 1);
    }
    const p = chain.distribution();
    chain.widths.forEach((w, k) => {
      // Four standard errors.
      expect(Math.abs(counts.get(w)! / 20_000 - p[k])).toBeLessThan(4 * Math.sqrt((p[k] * (1 - p[k])) / 20_000));
    });
  });

  it("gate the channels of a block with its marginal probability, the most important first", () => {
    const chain = chainsWith(form).get("a")!;
    const m = chain.marginal();
    const order = Int32Array.from([7, 0, 5, 4, 1, 6, 3, 2]); // channel 2 matters most
    const gates = chain.gates(order);
    expect([gates[2], gates[3]]).toEqual([1, 1]);
    expect(gates[6]).toBeCloseTo(m[1], 6);
    expect(gates[5]).toBeCloseTo(m[2], 6);
    expect(gates[7]).toBeCloseTo(m[3], 6);
  });

  it("have an expected cost that equals brute force over all nets, and gradients that equal finite differences", () => {
    const cost = stairs();
    const chains = chainsWith(form);
    const expected = new ExpectedCost(cost, candidates);
    const distributions = (): Map<string, Float64Array> =>
      new Map([...chains].map(([id, chain]) => [id, chain.distribution()]));
    const p = distributions();
    let brute = 0;
    candidates.get("a")!.forEach((a, i) => {
      candidates.get("b")!.forEach((b, j) => {
        candidates.get("c")!.forEach((c, k) => {
          const share = p.get("a")![i] * p.get("b")![j] * p.get("c")![k];
          brute += share * cost.of(new Map(Object.entries({ a, b, c })));
        });
      });
    });
    const { value, gradient } = expected.at(p);
    expect(value).toBeCloseTo(brute, 9);
    for (const [id, chain] of chains) {
      const byAlpha = chain.throughMarginal(chain.throughDistribution(gradient.get(id)!));
      chain.alpha.forEach((old, k) => {
        chain.alpha[k] = old + 1e-5;
        const above = expected.at(distributions()).value;
        chain.alpha[k] = old - 1e-5;
        const below = expected.at(distributions()).value;
        chain.alpha[k] = old;
        expect(byAlpha[k]).toBeCloseTo((above - below) / 2e-5, 5);
      });
    }
  });

  it("end between 95 % of the target and the target when the cost alone teaches them", () => {
    for (const share of [0.4, 0.7]) {
      const cost = stairs(share);
      const chains = new Map(
        [...candidates].map(([id, w]) => [
          id,
          new MarkovChain(w, form, new Float64Array(w.length - 1).fill(form === "exp" ? 0 : 3)),
        ]),
      );
      const adams = new Map([...chains].map(([id, chain]) => [id, new Adam(chain.alpha, { learningRate: 0.03 })]));
      const expected = new ExpectedCost(cost, candidates);
      const now = () => expected.at(new Map([...chains].map(([id, chain]) => [id, chain.distribution()])));
      expect(now().value).toBeGreaterThan(cost.target);
      for (let step = 0; step < 400; step++) {
        const { value, gradient } = now();
        const { slope } = costLoss(value, cost.target, 0.1);
        for (const [id, chain] of chains) {
          const byMarginal = chain.throughDistribution(gradient.get(id)!).map((v) => slope * v);
          adams.get(id)!.update(chain.throughMarginal(byMarginal), 1 - step / 400);
        }
      }
      expect(now().value / cost.target).toBeGreaterThan(0.93);
      expect(now().value / cost.target).toBeLessThan(1.02);
    }
  });

  it("pass the gradient of gates on to their parameters", () => {
    const chain = chainsWith(form).get("a")!;
    const order = Int32Array.from([7, 0, 5, 4, 1, 6, 3, 2]);
    const weight = [0.3, -1, 2, 0.5, 1.5, -0.7, 0.2, 0.9];
    const value = (): number => {
      const m = chain.marginal();
      const block = (rank: number): number => chain.widths.findIndex((w) => rank < w);
      return order.reduce((sum, channel, i) => sum + weight[channel] * m[block(order.length - 1 - i)], 0);
    };
    const byAlpha = chain.throughMarginal(chain.throughGates(order, weight));
    chain.alpha.forEach((old, k) => {
      chain.alpha[k] = old + 1e-5;
      const above = value();
      chain.alpha[k] = old - 1e-5;
      const below = value();
      chain.alpha[k] = old;
      expect(byAlpha[k]).toBeCloseTo((above - below) / 2e-5, 6);
    });
  });
});

describe("costs", () => {
  it("between candidate widths lie on the lines between them, with their slopes", () => {
    const cost = stairs();
    const at = (a: number, b: number, c: number): number =>
      interpolatedCost(cost, new Map(Object.entries({ a, b, c })), candidates).value;
    expect(at(3, 8, 5)).toBeCloseTo(cost.of(new Map(Object.entries({ a: 3, b: 8, c: 5 }))), 9);
    expect(at(4.5, 8, 5)).toBeCloseTo((at(3, 8, 5) + at(6, 8, 5)) / 2, 9);
    expect(at(0.5, 8, 5)).toBe(at(2, 8, 5));
    const { gradient } = interpolatedCost(cost, new Map(Object.entries({ a: 4, b: 9, c: 2 })), candidates);
    expect(gradient.get("a")).toBeCloseTo((at(4.01, 9, 2) - at(3.99, 9, 2)) / 0.02, 6);
    expect(gradient.get("b")).toBeCloseTo((at(4, 9.01, 2) - at(4, 8.99, 2)) / 0.02, 6);
  });

  it("push towards the target from both sides, and not within 5 % below it", () => {
    expect(costLoss(97, 100, 0.1)).toEqual({ value: 0, slope: 0 });
    for (const e of [60, 90, 105, 180]) {
      const { slope } = costLoss(e, 100, 0.1);
      expect(Math.sign(slope)).toBe(e > 100 ? 1 : -1);
      const difference = (costLoss(e + 1e-4, 100, 0.1).value - costLoss(e - 1e-4, 100, 0.1).value) / 2e-4;
      expect(slope).toBeCloseTo(difference, 8);
    }
  });
});

describe("fitted widths", () => {
  it("keep the target, and leave no room for a wider group", () => {
    for (const share of [0.3, 0.5, 0.8, 1]) {
      const cost = stairs(share);
      const widths = fitWidths(cost, new Map(Object.entries({ a: 4, b: 12, c: 3 })), candidates);
      expect(cost.of(widths)).toBeLessThanOrEqual(cost.target);
      for (const [id, list] of candidates) {
        const next = list[list.indexOf(widths.get(id)!) + 1];
        if (next !== undefined) expect(cost.of(new Map(widths).set(id, next))).toBeGreaterThan(cost.target);
      }
    }
  });

  it("are refused where even the narrowest cost too much", () => {
    expect(() => narrowest(stairs(0.05), candidates)).toThrow(expect.objectContaining({ code: "target-unreachable" }));
  });
});

it("Adam follows its formula", () => {
  const adam = new Adam(Float64Array.of(1), { learningRate: 0.1 });
  let [first, second, x] = [0, 0, 1];
  for (let t = 1; t <= 5; t++) {
    const g = 2 * x - 1;
    first = 0.9 * first + 0.1 * g;
    second = 0.999 * second + 0.001 * g * g;
    x -= (0.1 * (first / (1 - 0.9 ** t))) / (Math.sqrt(second / (1 - 0.999 ** t)) + 1e-8);
    adam.update([2 * adam.values[0] - 1]);
    expect(adam.values[0]).toBeCloseTo(x, 12);
  }
});

describe("greedy slimming", () => {
  it("takes the move of least loss per cost saved, until the target is met", async () => {
    const cost = stairs();
    // Channels of b are worth little, those of a much.
    const lossOf = async (w: Widths): Promise<number> =>
      10 * (8 - w.get("a")!) + 0.1 * (12 - w.get("b")!) + (5 - w.get("c")!);
    const path = await slimGreedily(cost, candidates, lossOf, "ratio");
    expect(path[0]).toEqual(full);
    expect(cost.of(path.at(-1)!)).toBeLessThanOrEqual(cost.target);
    expect(cost.of(path.at(-2)!)).toBeGreaterThan(cost.target);
    expect(path.at(-1)!.get("a")).toBe(8);
    for (let i = 1; i < path.length; i++) {
      const changed = [...candidates.keys()].filter((id) => path[i].get(id) !== path[i - 1].get(id));
      expect(changed).toHaveLength(1);
      expect(cost.of(path[i])).toBeLessThan(cost.of(path[i - 1]));
    }
  });

  it("thins candidates evenly and keeps both ends", () => {
    expect(thinned(new Map([["a", [1, 2, 3, 4, 5, 6, 7]]]), 3).get("a")).toEqual([1, 4, 7]);
    expect(thinned(new Map([["a", [1, 2]]]), 3).get("a")).toEqual([1, 2]);
  });
});

describe("NetAdapt's loop", () => {
  const run = async (measured: (predicted: number) => number, choice: "ratio" | "accuracy" = "ratio") => {
    const cost = stairs(0.4);
    const accepted: string[] = [];
    const result = await adapt({
      cost,
      candidates,
      iterations: 6,
      decay: 0.9,
      choice,
      score: 0,
      async propose(w, group) {
        const score = -(8 - w.get("a")!) - 0.1 * (12 - w.get("b")!) - (5 - w.get("c")!);
        return { score, accept: () => accepted.push(group) };
      },
      measure: async (w) => measured(cost.of(w)),
    });
    return { cost, accepted, ...result };
  };

  it.each<[string, (v: number) => number]>([
    ["as predicted", (v) => v],
    ["slower than predicted", (v) => 1.1 * v],
  ])("keeps its schedule where nets are %s", async (_, measured) => {
    const { cost, trace, widths, accepted } = await run(measured);
    const first = (cost.original - cost.target) / ((1 - 0.9 ** 6) / 0.1);
    let resource = cost.original;
    trace.forEach((t, i) => {
      expect(t.goal).toBeCloseTo(Math.max(cost.target, resource - first * 0.9 ** i), 9);
      if (measured(1) === 1 && t.group) expect(t.resource).toBeLessThanOrEqual(t.goal + 1e-9);
      resource = t.resource;
    });
    expect(resource).toBeLessThanOrEqual(cost.target);
    expect(measured(cost.of(widths))).toBeCloseTo(resource, 9);
    expect(accepted).toEqual(trace.map((t) => t.group));
    expect(trace.length).toBeGreaterThan(1);
    expect(trace.length).toBeLessThanOrEqual(7);
  });

  it("takes the most accurate proposal when asked to", async () => {
    const { trace } = await run((v) => v, "accuracy");
    expect(trace[0].group).toBe("b");
  });
});

it("evolution keeps its constraint, repeats itself, and finds the best of a small space", async () => {
  const search = () =>
    evolve({
      choices: [6, 6, 6],
      population: 12,
      generations: 8,
      parents: 4,
      mutation: 0.2,
      random: xoroshiro128plus(3),
      draw: () => [0, 0, 1],
      admit: (g) => (g.reduce((a, b) => a + b, 0) <= 9 ? g : undefined),
      score: async ([a, b, c]) => (a - 2) ** 2 + (b - 5) ** 2 + (c - 4) ** 2,
    });
  const found = await search();
  for (const { genes } of found) expect(genes.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(9);
  // Of all triples with a sum of at most 9 the least score is 2.
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 216; i++) {
    const [a, b, c] = [i % 6, Math.floor(i / 6) % 6, Math.floor(i / 36)];
    if (a + b + c <= 9) least = Math.min(least, (a - 2) ** 2 + (b - 5) ** 2 + (c - 4) ** 2);
  }
  expect(found[0].score).toBe(least);
  expect(await search()).toEqual(found);
});
