/** Single weights and penalties: zeros that stay zeros, sensitivities against differences, penalties against their formulas. */
import { beforeAll, describe, expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { cloneGraph, type Graph } from "../../toolkit/graph/graph.js";
import { floats, scalar, toFloat32 } from "../../toolkit/graph/tensor.js";
import { runMethod } from "../../toolkit/methods/context.js";
import { methodNamed } from "../../toolkit/methods/index.js";
import { countOf, magnitudes, maskable, masked, topMasks } from "../../toolkit/methods/masks.js";
import { scoredBatches } from "../../toolkit/methods/oneShot.js";
import { groupLasso, l1Penalty } from "../../toolkit/methods/penalties.js";
import { reinitialized } from "../../toolkit/methods/reinitialize.js";
import { trainSteps } from "../../toolkit/methods/training.js";
import { snipScores } from "../../toolkit/methods/unstructured.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { crossEntropy, type Optimizer, parameterGradients, sgd } from "../../toolkit/train/index.js";
import { tinyContext, trainedTiny } from "./tiny.js";

let graph: Graph;
beforeAll(async () => {
  graph = await trainedTiny();
});

const values = (g: Graph, name: string): Float32Array => toFloat32(g.initializers.get(name)!);

describe("masks", () => {
  test("keep the largest magnitudes over all layers", () => {
    const scores = magnitudes(graph, maskable(graph));
    const all = [...scores.values()].flatMap((s) => [...s]).sort((a, b) => b - a);
    const masks = topMasks(scores, 100);
    expect(countOf(masks)).toEqual({ total: all.length, kept: 100 });
    for (const [name, mask] of masks)
      mask.forEach((m, i) => {
        expect(m === 1).toBe(scores.get(name)![i] >= all[99]);
      });
    const narrower = topMasks(new Map([...scores].map(([name, s]) => [name, s.map((v) => -v)])), 50, masks);
    for (const [name, mask] of narrower)
      mask.forEach((m, i) => {
        expect(m).toBeLessThanOrEqual(masks.get(name)![i]);
      });
  });

  test("survive training exactly, with momentum, weight decay and everything else moving", async () => {
    const c = tinyContext(graph);
    const masks = topMasks(magnitudes(graph, maskable(graph)), 400);
    const start = masked(graph, masks);
    const trained = await trainSteps(c, start, { steps: 9, phase: "retrain", rate: (name) => masks.get(name) });
    let moved = 0;
    for (const [name, mask] of masks) {
      const [before, after] = [values(start, name), values(trained, name)];
      mask.forEach((m, i) => {
        if (m === 0) expect(Object.is(after[i], 0)).toBe(true);
        else if (after[i] !== before[i]) moved++;
      });
    }
    expect(moved).toBeGreaterThan(390);
  });
});

describe.each(["magnitude", "lottery", "snip"])("%s", (name) => {
  test("leaves the target's share of the weights, all others exactly zero, and says that nothing is gained", async () => {
    const c = tinyContext(graph, { steps: 12 });
    const r = await runMethod(methodNamed(name), c);
    const names = maskable(r.graph);
    const all = names.flatMap((n) => [...values(r.graph, n)]);
    const share = c.cost.target / c.cost.original;
    const zeros = all.filter((v) => Object.is(v, 0)).length;
    expect(zeros).toBe(all.length - Math.round(share * all.length));
    expect(r.notes.join()).toMatch(/no speed/);
    expect(c.meter.used).toBeLessThanOrEqual(12);
    for (const n of names) expect(r.graph.initializers.get(n)!.dims).toEqual(graph.initializers.get(n)!.dims);
  });
});

test("a lottery ticket is trained from the weights of the start, or of the step it is rewound to", async () => {
  // With a rate of zero, what comes out is what training began with.
  const ticket = async (settings: Record<string, number>) => {
    const c = tinyContext(graph, { steps: 12, settings, recipe: { learningRate: 0 } });
    return (await runMethod(methodNamed("lottery"), c)).graph;
  };
  const fresh = reinitialized(graph, 1);
  for (const rewind of [0, 2]) {
    const g = await ticket({ rewind });
    for (const name of maskable(g))
      values(g, name).forEach((v, i) => {
        expect(v === 0 || v === values(fresh, name)[i]).toBe(true);
      });
  }
});

describe("SNIP", () => {
  test("scores are the slopes of the loss by connection strengths, by central differences", async () => {
    const c = tinyContext(graph);
    const fresh = reinitialized(graph, 2);
    const names = maskable(fresh);
    const scores = await snipScores(c, fresh, names);
    const [batch] = await scoredBatches(c, c.recipe.batchSize);
    const lossAt = async (name: string, index: number, strength: number): Promise<number> => {
      const g = cloneGraph(fresh);
      const t = g.initializers.get(name)!;
      const data = Float32Array.from(toFloat32(t));
      data[index] *= strength;
      g.initializers.set(name, floats(data, t.dims));
      let loss = Number.NaN;
      await parameterGradients(g, [batch], crossEntropy(), {
        batchNorm: "batch",
        threads: 1,
        onBatch: (e) => {
          loss = e.loss;
        },
      });
      return loss;
    };
    for (const name of names) {
      const own = scores.get(name)!;
      const index = own.indexOf(Math.max(...own));
      const h = 0.05;
      const slope = ((await lossAt(name, index, 1 + h)) - (await lossAt(name, index, 1 - h))) / (2 * h);
      expect(Math.abs(slope) / own[index]).toBeCloseTo(1, 1);
    }
  });
});

describe("penalties", () => {
  const ENTRIES = [
    { name: "w", dims: [3, 2], offset: 0, length: 6, decay: true },
    { name: "scale", dims: [4], offset: 6, length: 4, decay: false },
  ];
  const w = [3, -4, 0, 0, 0.5, 0.1, 2, -1, 0, 0.25];

  /** Parameters after one step of plain descent at rate 1 without a gradient: w minus the penalty's own gradient. */
  async function afterStep(o: Optimizer): Promise<number[]> {
    const g = new GraphBuilder(emptyGraph("update"));
    const flat = (name: string) => g.input(name, [10]);
    const next = o.update(g, {
      parameters: flat("w"),
      gradient: flat("gradient"),
      decayMask: g.initializer("mask", floats(new Float32Array(10))),
      states: [],
      scalars: { learningRate: g.input("learningRate", []) },
      entries: ENTRIES,
    });
    g.output(g.identity(next.parameters, { out: "next" }));
    const feeds = { w: floats(w), gradient: floats(new Float32Array(10)), learningRate: scalar(1) };
    return Array.from(toFloat32((await withSession(g.graph, { threads: 1 }, (s) => s.run(feeds))).next));
  }

  test("L1 pulls the named parameters by its strength towards zero", async () => {
    const next = await afterStep(l1Penalty(sgd({ momentum: 0 }), 0.1, (name) => name === "scale"));
    w.forEach((v, i) => {
      expect(next[i]).toBeCloseTo(i < 6 ? v : v - 0.1 * Math.sign(v), 6);
    });
  });

  test("group lasso pulls each row along itself, by strength and the root of its length, and leaves zero rows alone", async () => {
    const next = await afterStep(groupLasso(sgd({ momentum: 0 }), 0.1, (name) => (name === "w" ? 0 : undefined)));
    w.forEach((v, i) => {
      const row = [0, 1].map((k) => w[2 * Math.floor(i / 2) + k]);
      const norm = Math.hypot(...row);
      const expected = i >= 6 ? v : norm === 0 ? 0 : v - (0.1 * Math.SQRT2 * v) / norm;
      expect(next[i]).toBeCloseTo(expected, 5);
    });
  });

  test("make scales smaller than training without them does", async () => {
    const scales = [...graph.initializers.keys()].filter((n) => n.endsWith("bn.scale"));
    const sum = async (strength: number): Promise<number> => {
      const optimizer = l1Penalty(sgd({ nesterov: true }), strength, (n) => scales.includes(n));
      const trained = await trainSteps(tinyContext(graph), graph, { steps: 12, phase: "search", optimizer });
      return scales.flatMap((n) => [...values(trained, n)]).reduce((a, v) => a + Math.abs(v), 0);
    };
    expect(await sum(0.2)).toBeLessThan(0.9 * (await sum(0)));
  });
});
