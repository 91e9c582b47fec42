/** What every method stands on: costs against counted graphs, steps on the account, batch norms that change nothing. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Graph } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { tensorsOf } from "../../toolkit/methods/context.js";
import { latencyCost, macsCost } from "../../toolkit/methods/cost.js";
import { prefixNet, uncut } from "../../toolkit/methods/cut.js";
import { insertBatchNorm } from "../../toolkit/methods/insertBatchNorm.js";
import { StepMeter } from "../../toolkit/methods/stepMeter.js";
import { accuracyOf, trainSteps } from "../../toolkit/methods/training.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { outputsOn } from "../../toolkit/prune/walk.js";
import { mobileNetV2, resnetCifar } from "../../toolkit/zoo/index.js";
import { residualNet } from "../prune/residualNet.js";
import { stripeNet } from "../train/nets.js";
import { tinyContext, tinyData, trainedTiny } from "./tiny.js";

describe("multiply-accumulates as a function of widths", () => {
  test.each<[string, Graph]>([
    ["a residual net", resnetCifar({ layers: 8 })],
    ["depthwise convolutions", mobileNetV2({ stem: "cifar", widthMultiplier: 0.5, inputSize: 32 })],
    ["a small net", residualNet(3)],
  ])("of %s are those of the net that is cut so", (_, net) => {
    const g = inferShapes(tidy(net));
    const groups = findGroups(g);
    const cost = macsCost(g, groups, 0.5);
    expect(cost.original).toBe(costsOf(g).macs);
    expect(cost.target).toBe(cost.original / 2);
    const widths = new Map(groups.prunable.map((e, i) => [e.id, Math.max(1, e.width - 2 - (i % 3))]));
    const context = tinyContext(g);
    const cut = prefixNet(uncut(context), widths);
    expect(cost.of(widths)).toBe(costsOf(cut.graph).macs);
    expect(new Map([...cut.widths].filter(([id]) => widths.has(id)))).toEqual(widths);
    const parts = cost.parts.reduce((sum, p) => sum + p.of(widths), cost.fixed);
    expect(parts).toBe(cost.of(widths));
    // Every part depends on nothing but its own groups.
    for (const p of cost.parts) {
      const own = new Map([...widths].filter(([id]) => p.groups.includes(id)));
      expect(p.of(own)).toBe(p.of(widths));
    }
  });
});

test("predicted milliseconds are scaled to the measured original, and add up from the parts", () => {
  const g = inferShapes(tidy(resnetCifar({ layers: 8 })));
  const groups = findGroups(g);
  const ids = groups.prunable.map((e) => e.id);
  const ms = (widths: ReadonlyMap<string, number>, id: string) => 0.1 + 0.01 * (widths.get(id) ?? 0);
  const costs = ids.map((id) => ({
    id,
    groups: [id],
    ms: (w: ReadonlyMap<string, number>) => ms(w, id),
    errorMs: () => 0,
  }));
  const model = {
    fixedMs: () => 0.5,
    costs: () => costs,
    msAt: (w: ReadonlyMap<string, number>) => ({ ms: 0.5 + ids.reduce((s, id) => s + ms(w, id), 0) }),
  } as unknown as Parameters<typeof latencyCost>[0];
  const cost = latencyCost(model, groups, { originalMs: 7, share: 0.25 });
  expect(cost.original).toBeCloseTo(7, 12);
  expect(cost.target).toBeCloseTo(1.75, 12);
  const narrow = new Map(ids.map((id) => [id, 4]));
  const full = new Map(groups.prunable.map((e) => [e.id, e.width]));
  expect(cost.of(narrow) / cost.original).toBeCloseTo(model.msAt(narrow).ms / model.msAt(full).ms, 12);
  const gone = new Set([ids[0]]);
  expect(cost.of(narrow, gone)).toBeCloseTo(cost.of(narrow) - cost.parts[0].of(narrow), 12);
});

describe("batch norms that are put in", () => {
  test("change no output, normalise what the images show, and are put in once", async () => {
    const g = inferShapes(tidy(stripeNet({ batchNorm: false })));
    const images = await tensorsOf(g, tinyData, 64);
    const with_ = await insertBatchNorm(g, images);
    expect(with_.nodes.filter((n) => n.opType === "BatchNormalization")).toHaveLength(2);
    const [before, after] = [await outputsOn(g, images), await outputsOn(with_, images)];
    for (const [i, b] of before.entries())
      b.logits.data.forEach((v, k) => {
        expect(Number(after[i].logits.data[k])).toBeCloseTo(Number(v), 4);
      });
    expect(await insertBatchNorm(with_, images)).toBe(with_);
  });
});

describe("the account of a method", () => {
  let graph: Graph;
  beforeAll(async () => {
    graph = await trainedTiny();
  });

  test("counts steps by phase, in batches of the recipe's size, and forward images", async () => {
    const c = tinyContext(graph, { steps: 20 });
    await trainSteps(c, graph, { steps: 7, phase: "search" });
    await trainSteps(c, graph, { steps: 4, phase: "retrain", batchSize: 16 });
    await accuracyOf(c, graph);
    expect(c.meter.spent).toEqual({ search: 7, retrain: 2, forwardImages: c.holdOut.count });
    expect(c.meter.used).toBeCloseTo(9 + c.holdOut.count / 96, 9);
    expect(c.meter.left).toBe(Math.floor(20 - c.meter.used));
    expect(c.meter.history.map((h) => [h.step, h.phase])).toEqual([
      [5, "search"],
      [7, "search"],
      [9, "retrain"],
    ]);
  });

  test("holds out training images that are not learned from", async () => {
    const c = tinyContext(graph);
    expect(c.train.count + c.holdOut.count).toBe(tinyData.count);
    const first = async (count: number, s: typeof c.train) =>
      new Set(await Promise.all(Array.from({ length: count }, async (_, i) => (await s.batch([i])).data.join())));
    const learned = await first(c.train.count, c.train);
    for (const held of await first(c.holdOut.count, c.holdOut)) expect(learned.has(held)).toBe(false);
  });

  test("refuses a number of steps that is none", () => {
    expect(() => new StepMeter(1.5, 32)).toThrow(/whole number/);
  });
});
