import { describe, expect, it } from "vitest";
import type { Graph } from "../../toolkit/graph/graph.js";
import { toFloat32 } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { GatedNet, gatesAt, gatesOf, keepAt } from "../../toolkit/methods/gates.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { crossEntropy, Passes } from "../../toolkit/train/index.js";
import { efficientNet, mobileNetV2, resnetCifar } from "../../toolkit/zoo/index.js";
import { randomFeeds, randomKeep, runGraph } from "../support/graphs.js";
import { stripes } from "../train/nets.js";
import { untrained } from "./tinySearch.js";

const small = { inputSize: 8, classes: 3, widthMultiplier: 0.25, stem: "cifar", headChannels: 24 } as const;
const stage = { expand: 3, channels: 32, blocks: 2, stride: 1 };
const nets: [string, () => Graph][] = [
  ["a residual net", () => resnetCifar({ layers: 8, widthMultiplier: 0.25, inputSize: 8 })],
  ["a residual net with padded shortcuts", () => resnetCifar({ layers: 8, shortcut: "pad", inputSize: 8 })],
  ["inverted residuals", () => mobileNetV2({ ...small, stages: [stage, stage] })],
  ["squeeze and excitation", () => efficientNet({ ...small, stages: [{ ...stage, kernel: 5 }] })],
];

const full = (g: ReturnType<typeof findGroups>): Map<string, number> => new Map(g.prunable.map((e) => [e.id, e.width]));

describe("gates on weights", () => {
  it.each(nets)("of 0 and 1 give what masks give, in %s", async (_, build) => {
    const g = inferShapes(tidy(build()));
    const groups = findGroups(g);
    const passes = await Passes.open({ graph: g, batchDims: [2, 3, 8, 8], loss: crossEntropy(), threads: 1 });
    const net = new GatedNet(g, groups, passes.parameters);
    expect([...net.whole]).toEqual([]);
    const keep = randomKeep(groups, 3, 0.5);
    const gated = passes.graphOf(net.effective(passes.initial(), gatesOf(keep, full(groups))));
    const feeds = randomFeeds(g, 1);
    const [masked, own] = [await runGraph(maskGraph(g, groups, keep), feeds), await runGraph(gated, feeds)];
    await passes.dispose();
    const [a, b] = [toFloat32(masked.logits), toFloat32(own.logits)];
    const scale = Math.max(...a.map(Math.abs));
    expect(Math.max(...a.map((v, i) => Math.abs(v - b[i])))).toBeLessThan(1e-5 * scale);
  });

  it("have the gradients of finite differences, and so do the weights behind them", async () => {
    const g = untrained();
    const passes = await Passes.open({ graph: g, batchDims: [32, 1, 8, 8], loss: crossEntropy(), threads: 1 });
    const net = new GatedNet(g, findGroups(g), passes.parameters);
    const batch = await stripes(32, 5).batch(Array.from({ length: 32 }, (_, i) => i));
    // The builder's classifier is faint; gradients behind it would drown in rounding.
    const parameters = passes.initial().map((v) => 3 * v);
    const faint = passes.parameters.entries.find((e) => e.name === "classifier.weight")!;
    for (let i = 0; i < faint.length; i++) parameters[faint.offset + i] *= 30;
    const gates = net.open();
    for (const [i, gate] of [...gates.values()].entries())
      for (const c of gate.keys()) gate[c] = 0.3 + ((i + 3 * c) % 7) / 10;
    const { gradient } = await passes.gradient(batch, net.effective(parameters, gates));
    const own = net.split(parameters, gates, gradient);
    const lossAt = async (): Promise<number> => (await passes.forward(batch, net.effective(parameters, gates))).loss;
    const slope = async (list: Float32Array, i: number): Promise<number> => {
      const old = list[i];
      list[i] = old + 5e-4;
      const above = await lossAt();
      list[i] = old - 5e-4;
      const below = await lossAt();
      list[i] = old;
      return (above - below) / 1e-3;
    };
    for (const id of net.ids) {
      const largest = Math.max(...own.gates.get(id)!.map(Math.abs));
      expect(largest, id).toBeGreaterThan(0.01);
      for (const c of [0, 2]) {
        const error = own.gates.get(id)![c] - (await slope(gates.get(id)!, c));
        expect(Math.abs(error), `${id}, ${c}`).toBeLessThan(0.03 * largest + 2e-3);
      }
    }
    for (const e of passes.parameters.entries.filter((entry) => entry.dims.length === 4).slice(1, 4)) {
      const largest = Math.max(...own.parameters.subarray(e.offset, e.offset + e.length).map(Math.abs));
      const error = own.parameters[e.offset + 1] - (await slope(parameters, e.offset + 1));
      expect(Math.abs(error), e.name).toBeLessThan(0.03 * largest + 2e-3);
    }
    await passes.dispose();
  });

  it("keep the most important channels", () => {
    const orders = new Map([["a", Int32Array.from([2, 0, 3, 1])]]);
    expect(Array.from(gatesAt(new Map([["a", 2]]), orders).get("a")!)).toEqual([0, 1, 0, 1]);
    expect(Array.from(keepAt(new Map([["a", 3]]), orders).get("a")!)).toEqual([0, 1, 3]);
  });
});
