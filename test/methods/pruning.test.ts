/** Methods that remove channels, each run on a little net: targets by counted graphs, choices by calculations of their own. */
import { beforeAll, describe, expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { toFloat32 } from "../../toolkit/graph/tensor.js";
import { runMethod, tensorsOf } from "../../toolkit/methods/context.js";
import { macsCost } from "../../toolkit/methods/cost.js";
import { prefixNet, uncut } from "../../toolkit/methods/cut.js";
import { methodNamed } from "../../toolkit/methods/index.js";
import { pruneRound, roundWidths } from "../../toolkit/methods/l1Iterative.js";
import { reinitialized } from "../../toolkit/methods/reinitialize.js";
import { transferred } from "../../toolkit/methods/rethinking.js";
import { retrainingBy, retrainingNames } from "../../toolkit/methods/retraining.js";
import { uniformWidths } from "../../toolkit/methods/uniformWidths.js";
import { aimed, comparable, globalWidths } from "../../toolkit/methods/widths.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { relativeError } from "../../toolkit/prune/sensitivity.js";
import { outputsOn } from "../../toolkit/prune/walk.js";
import { residualNet } from "../prune/residualNet.js";
import { tinyContext, tinyTest, trainedTiny } from "./tiny.js";

let graph: Graph;
beforeAll(async () => {
  graph = await trainedTiny();
});

const values = (g: Graph, name: string): number[] => Array.from(toFloat32(g.initializers.get(name)!));

describe.each(["edgefit", "l1", "slimming", "group-lasso", "scratch-e", "snip-channels", "uniform", "taylor"])(
  "%s",
  (name) => {
    test("gives a plain, smaller net within the cost and the steps", async () => {
      const c = tinyContext(graph, { steps: 16 });
      const r = await runMethod(methodNamed(name), c);
      checkGraph(r.graph);
      expect(costsOf(r.graph).macs).toBeLessThanOrEqual(c.cost.target);
      expect(costsOf(r.graph).macs).toBeGreaterThan(0.3 * c.cost.target);
      expect(costsOf(r.graph).macs).toBe(c.cost.of(r.widths!));
      expect(r.graph.inputs).toEqual(graph.inputs);
      expect(r.graph.outputs.map((v) => v.name)).toEqual(graph.outputs.map((v) => v.name));
      expect(r.steps.retrain).toBeGreaterThan(0);
      expect(c.meter.used).toBeLessThanOrEqual(16.01);
      expect(r.notes.join()).not.toMatch(/where the budget is/);
    });
  },
);

test.each(["edgefit", "random"])("%s gives the same net again", async (name) => {
  const [a, b] = [tinyContext(graph), tinyContext(graph)];
  const [first, again] = [await runMethod(methodNamed(name), a), await runMethod(methodNamed(name), b)];
  for (const [parameter, t] of first.graph.initializers)
    expect(values(again.graph, parameter)).toEqual(Array.from(toFloat32(t)));
});

test("scratch-b trains longer by what a step costs less, and says that it exceeds the steps", async () => {
  const c = tinyContext(graph, { steps: 10 });
  const r = await runMethod(methodNamed("scratch-b"), c);
  const ratio = costsOf(graph).macs / costsOf(r.graph).macs;
  expect(r.steps.retrain / (10 - c.meter.spent.forwardImages / 96)).toBeCloseTo(Math.min(2, ratio), 0);
  expect(r.notes.join()).toMatch(/times as long as the budget.*|where the budget is/);
});

test("edgefit's net gives more nearly what the original gives than the uniform one, before any training", async () => {
  const images = await tensorsOf(graph, tinyTest, 200);
  const reference = await outputsOn(graph, images, { threads: 1 });
  const error = async (name: string): Promise<number> => {
    const cost = macsCost(graph, findGroups(graph), 0.3);
    const { graph: net } = await runMethod(methodNamed(name), tinyContext(graph, { steps: 0, cost }));
    return relativeError(await outputsOn(net, images, { threads: 1 }), reference);
  };
  expect(await error("edgefit")).toBeLessThan(0.5 * (await error("uniform")));
});

describe("L1 pruning in rounds", () => {
  test("a round keeps the filters of largest norm, by a calculation on the weights", async () => {
    const c = tinyContext(graph);
    const [group] = c.groups.prunable;
    const cut = await pruneRound(c, uncut(c), new Map([[group.id, 5]]), {
      steps: 0,
      phase: "search",
      schedule: "cyclic",
      round: 1,
    });
    const { weight } = group.producers[0];
    const w = values(graph, weight);
    const size = w.length / group.width;
    const filters = Array.from({ length: group.width }, (_, f) => w.slice(f * size, (f + 1) * size));
    const norm = (f: readonly number[]): number => f.reduce((s, v) => s + Math.abs(v), 0);
    const least = filters.map(norm).sort((a, b) => b - a)[4];
    const expected = filters.filter((f) => norm(f) >= least).flat();
    expect(values(cut.graph, weight)).toEqual(expected);
  });

  test("rounds get narrower step by step and end at the last widths", () => {
    const c = tinyContext(graph);
    const last = uniformWidths(c);
    const seen = Array.from({ length: 4 }, (_, i) => roundWidths(c, last, i + 1, 4));
    expect(seen[3]).toEqual(last);
    for (const id of last.keys()) {
      const widths = seen.map((w) => w.get(id)!);
      expect(widths).toEqual([...widths].sort((a, b) => b - a));
    }
  });
});

describe("widths", () => {
  test("uniform: no larger share of every layer would do", () => {
    const c = tinyContext(graph);
    const widths = uniformWidths(c);
    expect(c.cost.of(widths)).toBeLessThanOrEqual(c.cost.target);
    const shares = [...widths].map(([id, w]) => w / c.groups.group(id).width);
    const wider = (by: number) =>
      new Map(
        [...c.candidates].map(([id, list]) => {
          const want = (Math.max(...shares) + by) * list.at(-1)!;
          return [id, list.reduce((a, b) => (Math.abs(b - want) <= Math.abs(a - want) ? b : a))];
        }),
      );
    expect(c.cost.of(wider(0.2))).toBeGreaterThan(c.cost.target);
  });

  test("global: the channels that go have no higher score than those that stay, but for rounding up to candidates", () => {
    const c = tinyContext(graph, { candidates: new Map([["Conv_1", [1, 2, 3, 4, 5, 6, 7, 8]]]) });
    const all = new Map(c.groups.prunable.map((g) => [g.id, Array.from({ length: g.width }, (_, i) => i + 1)]));
    const every = { ...c, candidates: all };
    const scores = new Map(
      c.groups.prunable.map((g, k) => [g.id, Float64Array.from({ length: g.width }, (_, i) => i * 2 + k)]),
    );
    const widths = globalWidths(every, scores);
    const gone = [...scores].flatMap(([id, s]) => [...s].slice(0, s.length - widths.get(id)!));
    const stay = [...scores].flatMap(([id, s]) => [...s].slice(s.length - widths.get(id)!));
    // A group keeps its last channel whatever its score.
    expect(Math.max(...gone)).toBeLessThan(Math.min(...stay));
    expect(c.cost.of(widths)).toBeLessThanOrEqual(c.cost.target);
    expect([...comparable(scores).values()].map((s) => s.reduce((a, b) => a + b) / s.length)).toEqual([1, 1]);
  });

  test("aiming: what is measured keeps the target although the table is a fifth off", async () => {
    const c = tinyContext(graph);
    const counted = { ...c, cost: { ...c.cost, unit: "ms" as const } };
    const true_ = (g: Graph): number => 1.2 * costsOf(g).macs;
    const calls: number[] = [];
    const widths = await aimed(
      {
        ...counted,
        measure: async (g) => {
          calls.push(true_(g));
          return true_(g);
        },
      },
      (target) => uniformWidths({ ...counted, candidates: everyWidth(c) }, target),
    );
    const net = prefixNet(uncut(c), widths);
    expect(true_(net.graph)).toBeLessThanOrEqual(c.cost.target);
    expect(true_(net.graph)).toBeGreaterThan(0.85 * c.cost.target);
    expect(calls.length).toBeLessThanOrEqual(6);
  });
});

const everyWidth = (c: ReturnType<typeof tinyContext>): Map<string, number[]> =>
  new Map(c.groups.prunable.map((g) => [g.id, Array.from({ length: g.width }, (_, i) => i + 1)]));

describe("retraining schedules", () => {
  const rates = (name: string): number[] => Array.from({ length: 72 }, (_, i) => retrainingBy(name, 0.1)(i, 72));

  test("are those of the comparison by Le and Hua, for 72 epochs from 0.1 to 0.001", () => {
    expect(new Set(rates("fine-tune"))).toEqual(new Set([0.001]));
    const rewound = rates("rewinding");
    expect(rewound.slice(0, 32).every((r) => Math.abs(r - 0.01) < 1e-12)).toBe(true);
    expect(rewound.slice(32).every((r) => Math.abs(r - 0.001) < 1e-12)).toBe(true);
    const scaled = rates("scaled");
    expect(Math.max(...scaled)).toBeCloseTo(0.1, 12);
    expect(scaled[35]).toBeCloseTo(0.1, 12);
    expect(scaled[36]).toBeCloseTo(0.01, 12);
    expect(scaled[54]).toBeCloseTo(0.001, 12);
    const cyclic = rates("cyclic");
    expect(cyclic[0]).toBeCloseTo(0.001, 12);
    expect(Math.max(...cyclic)).toBeCloseTo(0.1, 3);
    expect(cyclic[71]).toBeCloseTo(0.001, 12);
  });

  test("a name that is none is refused with the choices", () => {
    expect(() => retrainingBy("warm", 0.1)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(retrainingNames[0]) }),
    );
  });
});

describe("fresh weights", () => {
  test("have the deviation of their fan-out, depend on the seed alone, and keep the shape", () => {
    const net = residualNet(1);
    const fresh = reinitialized(net, 4);
    expect(values(reinitialized(net, 4), "inner.weight")).toEqual(values(fresh, "inner.weight"));
    expect(values(reinitialized(net, 5), "inner.weight")).not.toEqual(values(fresh, "inner.weight"));
    const w = values(fresh, "inner.weight");
    const deviation = Math.sqrt(w.reduce((s, v) => s + v * v, 0) / w.length);
    expect(deviation / Math.sqrt(2 / (9 * 6))).toBeCloseTo(1, 0);
    expect(values(fresh, "inner.bn.scale")).toEqual(new Array(6).fill(1));
    expect(values(fresh, "inner.bn.mean")).toEqual(new Array(6).fill(0));
    expect(values(fresh, "inner.bn.var")).toEqual(new Array(6).fill(1));
    expect(values(fresh, "fc.bias")).toEqual(new Array(4).fill(0));
  });

  test("an architecture moves to other classes", () => {
    const net = transferred(residualNet(1), 7, 3);
    checkGraph(net);
    expect(net.outputs[0].type.dims).toEqual(["N", 7]);
    expect(net.initializers.get("fc.weight")!.dims).toEqual([7, 6]);
    expect(() => transferred(graphWithoutDense(), 7, 3)).toThrow(/dense layer/);
  });
});

function graphWithoutDense(): Graph {
  const net = residualNet(1);
  const at = net.nodes.findIndex((n) => n.name === "outer.bn");
  return {
    ...net,
    nodes: net.nodes.slice(0, at + 1),
    outputs: [{ name: net.nodes[at].outputs[0], type: { elemType: "float32" } }],
  };
}

test("a setting that a method does not know is refused with those that it does", async () => {
  const c = tinyContext(graph, { settings: { rouds: 3 } });
  await expect(runMethod(methodNamed("l1"), c)).rejects.toMatchObject({
    code: "method-setting",
    hint: expect.stringContaining("rounds"),
  });
});

test("a method that is none is refused with the list", () => {
  expect(() => methodNamed("nonsense")).toThrow(expect.objectContaining({ hint: expect.stringContaining("slimming") }));
});
