/** Quantised nets: channels are cut through QDQ pairs; scales and zero points follow, weights stay integers. */
import { describe, expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, fromNumbers, type Tensor } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readAnyModel } from "../../toolkit/modelFile.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { type ChannelGroups, findGroups, keptPositions } from "../../toolkit/prune/groups.js";
import { normScores, orderByScore } from "../../toolkit/prune/importance.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { reconstruct } from "../../toolkit/prune/reconstruct.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { calibrate, type ImageBatch, placeQdq } from "../../toolkit/quantize/index.js";
import { rank } from "../../toolkit/ranking.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { randomFeeds, randomKeep, relativeError, runGraph } from "../support/graphs.js";
import { Layers } from "../support/layers.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";
import { hasShared, sharedPath } from "../support/shared.js";

const widths = (groups: ChannelGroups): Record<string, number> =>
  Object.fromEntries(groups.prunable.map((e) => [e.id, e.width]));

/** Residual stream, depthwise block, two branches joined by Concat, dense layer. */
function floatNet(): Graph {
  const n = new Layers(17);
  const x = n.b.input("x", ["N", 3, 8, 8]);
  const stem = n.b.relu(n.conv("stem", x, 3, 8, { kernel: 3 }));
  const inner = n.b.relu(n.conv("inner", stem, 8, 6));
  const deep = n.b.relu(n.conv("deep", inner, 6, 6, { group: 6, kernel: 3 }));
  const sum = n.b.add(n.conv("outer", deep, 6, 8), stem);
  const joined = n.b.concat([n.conv("left", sum, 8, 4), n.conv("right", sum, 8, 5, { kernel: 3 })], 1);
  const pooled = n.b.emit("Flatten", [n.b.emit("GlobalAveragePool", [joined])]);
  return n.done(n.gemm("fc", pooled, 9, 4));
}

async function* batches(g: Graph): AsyncIterable<ImageBatch> {
  for (const seed of [1, 2, 3]) {
    const { x } = randomFeeds(g, seed, [-1, 1], 4);
    yield { data: x.data as Float32Array, dims: x.dims };
  }
}

const float = floatNet();

async function quantized(): Promise<Graph> {
  const ranges = await calibrate(float, batches(float), { method: { kind: "minmax" } });
  return inferShapes(tidy(placeQdq(float, ranges)));
}

const byOptimizer = async (g: Graph, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> => {
  const session = await openSession(g, { threads: 1, level: "all" });
  try {
    return await session.run(feeds);
  } finally {
    await session.dispose();
  }
};

describe("a quantised net", () => {
  test("has the groups of the net that it was", async () => {
    const g = await quantized();
    expect(g.nodes.filter((n) => n.opType === "DequantizeLinear").length).toBeGreaterThan(10);
    expect(widths(findGroups(g))).toEqual(widths(findGroups(float)));
    expect(widths(findGroups(float))).toEqual({ stem: 8, inner: 6, left: 4, right: 5 });
  });

  test("cut at random, it computes what the masked one does, and the runtime still finds its integer kernels", async () => {
    const g = await quantized();
    const groups = findGroups(g);
    for (const seed of [1, 2, 3]) {
      const feeds = randomFeeds(g, seed, [-1, 1], 2);
      const { sliced } = await expectSliceEqualsMask(g, groups, randomKeep(groups, seed), feeds);
      const [plain, optimised] = [(await byOptimizer(g, feeds)).fc_out, (await byOptimizer(sliced, feeds)).fc_out];
      expect(optimised.dims).toEqual(plain.dims);
      for (const [name, t] of sliced.initializers) expect(t.elemType).toBe(g.initializers.get(name)?.elemType);
    }
  });

  test("scales, zero points and integer biases are as long as what they belong to", async () => {
    const g = await quantized();
    const groups = findGroups(g);
    const sliced = sliceGraph(g, groups, new Map([["stem", Int32Array.of(1, 2, 7)]]));
    let perChannel = 0;
    for (const n of sliced.nodes) {
      if (n.opType !== "DequantizeLinear") continue;
      const [x, scale, zeroPoint] = n.inputs.map((name) => sliced.initializers.get(name));
      if (!x || !scale || scale.data.length === 1) continue;
      const axis = n.attributes.axis?.type === "int" ? n.attributes.axis.value : 1;
      expect(scale.dims).toEqual([x.dims[axis]]);
      if (zeroPoint) expect(zeroPoint.dims).toEqual(scale.dims);
      perChannel++;
    }
    expect(perChannel).toBeGreaterThan(4);
    const weights = [...sliced.initializers].filter(([, t]) => t.elemType === "int8" && t.dims.length === 4);
    expect(weights.some(([, t]) => t.dims[0] === 3)).toBe(true);
    expect(weights.some(([, t]) => t.dims[1] === 3)).toBe(true);
  });

  test("every width can be ranked and weighed, though no integer weight can be solved again", async () => {
    const g = await quantized();
    const groups = findGroups(g);
    const images = [1, 2].map((seed) => randomFeeds(g, seed, [-1, 1], 4).x);
    const candidates = new Map(groups.prunable.map((e) => [e.id, [e.width >> 1, e.width]]));
    const data = { calibration: images, labels: [], heldBack: images };
    const r = await rank(g, groups, { criterion: "reconstruction", ...data, candidates });
    for (const e of groups.prunable) {
      expect(r.orders.get(e.id)).toEqual(orderByScore(normScores(g, groups, e, 2)));
      expect(r.losses.get(e.id)!.loss[0]).toBeGreaterThan(1e-6);
    }
    const keep = randomKeep(groups, 1);
    const sliced = sliceGraph(g, groups, keep);
    const kept = (name: string, axis: number) => keptPositions(groups, keep, name, axis);
    expect(await reconstruct(g, sliced, kept, images)).toEqual(sliced);
  });

  test("channels are ranked by the weights that the integers stand for", async () => {
    const g = await quantized();
    const [ofIntegers, ofFloats] = [g, float].map((e) => {
      const groups = findGroups(e);
      return normScores(e, groups, groups.group("left"), 1);
    });
    for (const [i, score] of ofFloats.entries()) expect(Math.abs(ofIntegers[i] - score)).toBeLessThan(0.02 * score);
  });
});

test("zero points that layers share do not tie their channels", async () => {
  const n = new Layers(17);
  const zeros = n.b.initializer("zeros", fromNumbers("int8", new Float64Array(6), [6]));
  const conv = (name: string, x: string, from: number, to: number): string => {
    const w = n.b.initializer(
      `${name}.q`,
      fromNumbers(
        "int8",
        Float64Array.from({ length: from * to }, (_, i) => ((i * 37) % 200) - 100),
        [to, from, 1, 1],
      ),
    );
    const scale = n.b.initializer(`${name}.s`, floats(Float32Array.from({ length: to }, (_, i) => 0.01 + i / 1000)));
    const weight = n.b.emit("DequantizeLinear", [w, scale, ...(to === 6 ? [zeros] : [])], { axis: attr.int(0) });
    return n.b.conv(x, weight, "", {}, { name });
  };
  const a = n.b.relu(conv("a", n.b.input("x", [1, 3, 4, 4]), 3, 6));
  const g = inferShapes(tidy(n.done(conv("last", n.b.relu(conv("b", a, 6, 6)), 6, 2))));
  const groups = findGroups(g);
  expect(widths(groups)).toEqual({ a: 6, b: 6 });
  const feeds = randomFeeds(g, 1);
  const keep = new Map([["a", Int32Array.of(0, 1, 5)]]);
  const { sliced } = await expectSliceEqualsMask(g, groups, keep, feeds);
  expect(
    relativeError(
      (await byOptimizer(sliced, feeds))[g.outputs[0].name],
      (await byOptimizer(g, feeds))[g.outputs[0].name],
    ),
  ).toBeGreaterThan(1e-3);
});

test("a weight that a layer needs whole stays whole, whoever else reads what it is unpacked to", () => {
  const n = new Layers(17);
  const x = n.b.input("x", [1, 6, 4, 4]);
  const w = n.b.initializer(
    "w",
    fromNumbers(
      "int8",
      Float64Array.from({ length: 30 }, (_, i) => i - 15),
      [5, 6, 1, 1],
    ),
  );
  const weight = n.b.emit("DequantizeLinear", [w, n.b.const(0.1)]);
  const [p, q] = [x, n.conv("a", x, 6, 6)].map((e, i) => n.b.conv(e, weight, "", {}, { name: `layer${i}` }));
  const groups = findGroups(n.done(n.conv("last", n.b.concat([p, q], 1), 10, 2)));
  expect(widths(groups)).toEqual({ layer0: 5 });
  expect(groups.group("a").frozen).toBe(`Conv "layer0" shares the parameter "${weight}" and needs it whole`);
});

describe("weights that are computed from others", () => {
  test.each<[string, (n: Layers) => string]>([
    ["Transpose", (n) => n.b.transpose(n.parameter("w", [6, 5]), [1, 0])],
    [
      "Cast",
      (n) =>
        n.b.emit(
          "Cast",
          [
            n.b.initializer(
              "w",
              fromNumbers(
                "float16",
                Float64Array.from({ length: 30 }, (_, i) => ((i * 7) % 11) / 8 - 0.6),
                [5, 6],
              ),
            ),
          ],
          { to: attr.int(1) },
        ),
    ],
    ["Mul", (n) => n.b.mul(n.parameter("w", [5, 6]), n.parameter("gain", [6]))],
    [
      "a chain",
      (n) => n.b.reshape(n.b.transpose(n.b.emit("Identity", [n.parameter("w", [1, 6, 5])]), [0, 2, 1]), [5, 6]),
    ],
  ])("%s", async (_, weight) => {
    const n = new Layers(17);
    const a = n.b.matmul(n.b.input("x", [2, 4]), n.parameter("wa", [4, 5]), { name: "a" });
    const b = n.b.matmul(n.b.relu(a), weight(n), { name: "b" });
    n.b.output(n.b.matmul(n.b.relu(b), n.parameter("wc", [6, 2]), { name: "c" }));
    const g = unfolded(n.b.graph);
    const groups = findGroups(g);
    expect(widths(groups)).toEqual({ a: 5, b: 6 });
    for (const seed of [1, 2]) {
      const [keep, feeds] = [randomKeep(groups, seed, 0.5), randomFeeds(g, seed)];
      const sliced = sliceGraph(g, groups, keep);
      checkGraph(sliced);
      const [name] = g.outputs.map((v) => v.name);
      const [cut, masked] = [await runGraph(sliced, feeds), await runGraph(maskGraph(g, groups, keep), feeds)];
      expect(relativeError(cut[name], masked[name])).toBeLessThan(1e-5);
    }
  });
});

/** The graph with inferred types and nothing folded, as a chain on large weights stays: inferred with weights as inputs. */
function unfolded(g: Graph): Graph {
  const isWeight = ([, t]: [string, Tensor]): boolean => t.elemType !== "int64";
  const weights = [...g.initializers].filter(isWeight);
  const inputs = weights.map(([name, { elemType, dims }]) => ({ name, type: { elemType, dims } }));
  const shapes = new Map([...g.initializers].filter((e) => !isWeight(e)));
  const inferred = inferShapes({ ...g, inputs: [...g.inputs, ...inputs], initializers: shapes });
  return { ...inferred, inputs: g.inputs, initializers: new Map([...inferred.initializers, ...weights]) };
}

describe.skipIf(!hasShared)("an integer net from TensorFlow Lite", () => {
  test("cut at random, it computes what the masked one does", async () => {
    const file = sharedPath("models/mlperf-tiny/pretrainedResnet_quant.tflite");
    const g = inferShapes(tidy(await readAnyModel(file)));
    const groups = findGroups(g);
    expect(groups.prunable.map((e) => e.width)).toEqual([16, 16, 32, 32, 64, 64]);
    for (const seed of [1, 2, 3]) {
      const { sliced } = await expectSliceEqualsMask(g, groups, randomKeep(groups, seed), randomFeeds(g, seed));
      expect([...sliced.initializers.values()].filter((t) => t.elemType === "int8").length).toBeGreaterThan(8);
    }
  });
});
