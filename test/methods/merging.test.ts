/** What methods build into nets and take out again: gates, compactors, branches and kernels that are switched off. */
import { describe, expect, it } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { cloneGraph, type Graph } from "../../toolkit/graph/graph.js";
import { floats, toFloat32 } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { insertCompactors, mergeCompactors, resetGradient } from "../../toolkit/methods/compactors.js";
import { macsCost } from "../../toolkit/methods/cost.js";
import { cropKernels, elasticKernels } from "../../toolkit/methods/elastic.js";
import { withStatistics } from "../../toolkit/methods/finishing.js";
import { absorbGates, PolarisedGates } from "../../toolkit/methods/gdp.js";
import { TaylorScores } from "../../toolkit/methods/halp.js";
import { DesignSpace } from "../../toolkit/methods/latencySearch.js";
import { gateOf, gateSlope, gatesFrom } from "../../toolkit/methods/polarisedGate.js";
import { cutRows, selectRows } from "../../toolkit/methods/resRep.js";
import { Supernet } from "../../toolkit/methods/supernet.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { crossEntropy, parameterGradients } from "../../toolkit/train/index.js";
import { mobileNetV2 } from "../../toolkit/zoo/index.js";
import { randomFeeds, runGraph, uniform } from "../support/graphs.js";
import { tinyContext, trained, untrained } from "./tinySearch.js";

const stage = { expand: 2, channels: 32, blocks: 2, stride: 1, kernel: 5 } as const;
const inverted = (): Graph =>
  inferShapes(
    tidy(
      mobileNetV2({
        stem: "cifar",
        inputSize: 8,
        inputChannels: 1,
        classes: 2,
        widthMultiplier: 0.25,
        headChannels: 16,
        stages: [stage],
      }),
    ),
  );

/** The net with its batch norms, compactors included, off their starting values. */
function shaken(g: Graph, seed: number): Graph {
  const out = cloneGraph(g);
  const random = uniform(seed);
  for (const [name, t] of g.initializers) {
    if (t.elemType !== "float32" || t.dims.length === 0) continue;
    const positive = name.includes("var");
    out.initializers.set(
      name,
      floats(
        toFloat32(t).map((v) => (positive ? v * (1 + random()) : v + 0.3 * (random() - 0.5))),
        t.dims,
      ),
    );
  }
  return out;
}

async function largestDifference(a: Graph, b: Graph): Promise<{ difference: number; scale: number }> {
  const feeds = randomFeeds(a, 3);
  const [x, y] = [toFloat32((await runGraph(a, feeds)).logits), toFloat32((await runGraph(b, feeds)).logits)];
  return { difference: Math.max(...x.map((v, i) => Math.abs(v - y[i]))), scale: Math.max(...x.map(Math.abs)) };
}

describe("compactors", () => {
  it("change nothing at first", async () => {
    const g = shaken(untrained(), 1);
    const { graph, compactors, skipped } = insertCompactors(g, findGroups(g));
    checkGraph(graph);
    expect(compactors.map((c) => c.group)).toEqual([
      "layer1.0.conv1.conv",
      "layer2.0.conv1.conv",
      "layer3.0.conv1.conv",
    ]);
    expect(skipped.size).toBe(3);
    const { difference, scale } = await largestDifference(g, graph);
    expect(difference).toBeLessThan(1e-5 * scale);
  });

  it.each<[string, () => Graph]>([
    ["a residual net", untrained],
    ["inverted residuals", inverted],
  ])("are merged without a change of the outputs, rows of 0 cut, in %s", async (_, build) => {
    const g = build();
    const c = tinyContext(g);
    const { graph, compactors } = insertCompactors(g, c.groups);
    const net = shaken(graph, 2);
    const forgotten = new Map(compactors.map((e) => [e.group, new Set([0, 2])]));
    for (const e of compactors) {
      const q = toFloat32(net.initializers.get(e.weight)!);
      for (const row of forgotten.get(e.group)!) {
        q.fill(0, row * e.width, (row + 1) * e.width);
        for (const name of e.shifts) toFloat32(net.initializers.get(name)!)[row] = 0;
      }
    }
    const whole = await withStatistics(c, net);
    const cut = cutRows(c, whole, compactors, forgotten);
    checkGraph(cut.graph);
    expect(compactors.length).toBeGreaterThan(1);
    for (const e of compactors) expect(cut.widths.get(e.group)).toBe(e.width - 2);
    expect(cut.graph.nodes.length).toBe(whole.nodes.length - 2 * compactors.length);
    expect(costsOf(cut.graph).macs).toBeLessThan(costsOf(g).macs);
    const { difference, scale } = await largestDifference(whole, cut.graph);
    expect(scale).toBeGreaterThan(0.01);
    expect(difference).toBeLessThan(1e-4 * scale);
    // A row that is not 0 would be missed: the comparison can fail.
    const wrong = cutRows(c, whole, compactors, new Map(compactors.map((e) => [e.group, new Set([0, 3])])));
    expect((await largestDifference(whole, wrong.graph)).difference).toBeGreaterThan(1e-3 * scale);
  });

  it("have gradients reset by the formula", () => {
    const q = Float32Array.of(3, 4, 0, 0, 0, 0, 0.6, 0, -0.8);
    const gradient = Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
    // Row 0 has norm 5, row 1 none, row 2 norm 1 and no gradient of its own.
    const expected = [1 + 0.5 * 0.6, 2 + 0.5 * 0.8, 3, 4, 5, 6, 0.5 * 0.6, 0, -0.5 * 0.8];
    resetGradient(q, gradient, 3, new Set([2]), 0.5).forEach((v, i) => {
      expect(v).toBeCloseTo(expected[i], 6);
    });
  });

  it("lose their shortest rows until the target is met, one row staying everywhere", () => {
    const g = untrained();
    const cost = macsCost(g, findGroups(g), 0.6);
    const norms = new Map([
      ["layer1.0.conv1.conv", Float64Array.of(0.1, 0.2, 0.3, 0.4)],
      ["layer3.0.conv1.conv", Float64Array.from({ length: 16 }, (_, i) => 0.35 + 0.1 * i)],
    ]);
    const all = selectRows({ cost, norms, target: cost.target, most: 99 });
    expect(all.cost).toBeLessThanOrEqual(cost.target);
    expect([...all.forgotten.get("layer1.0.conv1.conv")!]).toEqual([0, 1, 2]);
    const rows = all.forgotten.get("layer3.0.conv1.conv")!;
    expect([...rows]).toEqual(Array.from({ length: rows.size }, (_, i) => i));
    const some = selectRows({ cost, norms, target: cost.target, most: 2 });
    expect([...some.forgotten.values()].reduce((n, s) => n + s.size, 0)).toBe(2);
    expect(some.cost).toBeGreaterThan(cost.target);
  });

  it("leave the merged net of whole rows as it was", async () => {
    const g = shaken(untrained(), 5);
    const { graph, compactors } = insertCompactors(g, findGroups(g));
    const merged = mergeCompactors(shaken(graph, 6), compactors);
    const { difference, scale } = await largestDifference(shaken(graph, 6), merged);
    expect(difference).toBeLessThan(1e-4 * Math.max(1, scale));
  });
});

describe("polarised gates", () => {
  it("have the published slope, and are polarised by a small ε", () => {
    for (const theta of [0.05, 0.3, 1]) {
      const difference = (gateOf(theta + 1e-6, 0.1) - gateOf(theta - 1e-6, 0.1)) / 2e-6;
      expect(gateSlope(theta, 0.1)).toBeCloseTo(difference, 6);
    }
    const gates = gatesFrom(new Map([["a", Float64Array.of(1, 0.5, 1e-4, 0)]]), 1e-4).get("a")!;
    expect([gates[0] > 0.99, gates[1] > 0.99, gates[2], gates[3]]).toEqual([true, true, 0, 0]);
  });

  it("follow the loss where the cost leaves them room, and the cost's path where it does not", () => {
    const g = untrained();
    const c = tinyContext(g);
    const gates = new PolarisedGates(c, c.candidates, { steps: 50, epsilon: 0.1, lastEpsilon: 1e-4 });
    // The loss holds the even channels open.
    const byGate = new Map([...gates.thetas].map(([id, t]) => [id, t.map((_, i) => (i % 2 === 0 ? -0.5 : 0))]));
    for (let step = 0; step < 50; step++) gates.update(step, byGate, 0.1);
    expect(gates.costAt(49).value).toBeLessThan(1.1 * c.cost.target);
    expect(gates.costAt(49).value).toBeGreaterThan(0.7 * c.cost.target);
    for (const list of gates.gates(49).values())
      for (const [i, v] of list.entries()) if (i % 2 === 0) expect(v).toBeGreaterThan(0.9);
    const between = [...gates.gates(49).values()].flatMap((v) => Array.from(v)).filter((v) => v > 0.05 && v < 0.95);
    expect(between.length).toBeLessThan(4);
  });

  it("vanish in the weights, closed channels with them, without a change of the outputs", async () => {
    const g = shaken(await trained(), 4);
    const c = tinyContext(g);
    const net = await Supernet.open(c);
    const gates = net.net.open();
    for (const list of gates.values())
      for (const i of list.keys()) list[i] = i % 3 === 1 ? 0 : 0.2 + 0.7 * ((i % 4) / 4);
    const { graph, keep } = absorbGates(net, gates);
    const whole = await withStatistics(c, graph);
    await net.dispose();
    const cut = sliceGraph(whole, c.groups, keep);
    const { difference, scale } = await largestDifference(whole, cut);
    expect(costsOf(cut).macs).toBeLessThan(0.7 * costsOf(g).macs);
    expect(difference).toBeLessThan(1e-4 * Math.max(1, scale));
    expect((await largestDifference(g, cut)).difference).toBeGreaterThan(1e-2 * scale);
  });
});

describe("a net of elastic depth and kernels", () => {
  it("computes in the supernet what its own net computes", async () => {
    const g = shaken(inverted(), 7);
    const c = tinyContext(g);
    const net = await Supernet.open(c);
    const space = new DesignSpace(c, net);
    expect(space.branches).toHaveLength(2);
    expect(elasticKernels(g).map((k) => k.sizes)).toEqual([
      [3, 5],
      [3, 5],
    ]);
    await space.measureKernels();
    const first = net.candidates.size;
    // Every branch and kernel once whole and once not.
    for (const bits of [0b0000, 0b0110, 0b1001, 0b1111]) {
      const genes = space.choices.map((n, i) => (i < first ? Math.min(n - 1, 1 + (i % 3)) : (bits >> (i - first)) & 1));
      const d = space.design(genes);
      const sub = space.subNet(d);
      const parameters = net.parameters.slice();
      for (const i of sub.zero ?? []) parameters[i] = 0;
      const whole = net.whole(net.net.effective(parameters, sub.gates));
      const built = space.build(net.whole(), d);
      checkGraph(built.graph);
      const { difference, scale } = await largestDifference(whole, built.graph);
      expect(difference, `${genes}`).toBeLessThan(1e-4 * Math.max(1, scale));
      // In multiply-accumulates the estimate of a design's cost is exact.
      expect(space.costOf(d).of(d.widths) / costsOf(built.graph).macs).toBeCloseTo(1, 9);
      expect([...built.widths.values()].includes(0)).toBe(d.without.size > 0);
    }
    await net.dispose();
  });

  it("crops kernels to what zeros around their centres compute", async () => {
    const g = shaken(inverted(), 8);
    const [kernel] = elasticKernels(g);
    const zeroed = cloneGraph(g);
    const t = g.initializers.get(kernel.weight)!;
    const rim = (i: number): boolean => [Math.floor(i / 5) % 5, i % 5].some((v) => v === 0 || v === 4);
    zeroed.initializers.set(
      kernel.weight,
      floats(
        toFloat32(t).map((v, i) => (rim(i) ? 0 : v)),
        t.dims,
      ),
    );
    const { difference, scale } = await largestDifference(zeroed, cropKernels(g, new Map([[kernel.node, 3]])));
    expect(difference).toBeLessThan(1e-5 * scale);
  });
});

it("Taylor scores of a pass are the absolute sums over each batch's normalisation parameters", async () => {
  const g = shaken(await trained(), 9);
  const c = tinyContext(g);
  const net = await Supernet.open(c);
  const scores = new TaylorScores(c, net);
  const expected = new Map(net.net.ids.map((id) => [id, new Float64Array(c.groups.group(id).width)]));
  for (const from of [0, 32]) {
    const batch = await c.train.batch(Array.from({ length: 32 }, (_, i) => from + i));
    scores.add((await net.pass(batch, { gates: new Map() })).gradient);
    const gradients = await parameterGradients(g, [batch], crossEntropy(), { batchNorm: "batch", threads: 1 });
    for (const [id, list] of expected) {
      const norms = c.groups.group(id).members.filter((m) => /bn\.(weight|bias)$/.test(m.value));
      expect(norms.length).toBeGreaterThan(1);
      list.forEach((_, channel) => {
        const sum = norms.reduce(
          (s, m) => s + toFloat32(g.initializers.get(m.value)!)[channel] * gradients.get(m.value)![channel],
          0,
        );
        list[channel] += Math.abs(sum) / 2;
      });
    }
  }
  await net.dispose();
  for (const [id, list] of scores.take()) {
    const scale = Math.max(...expected.get(id)!);
    list.forEach((v, channel) => {
      expect(Math.abs(v - expected.get(id)![channel])).toBeLessThan(1e-4 * scale);
    });
  }
});
