import { describe, expect, it } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { sizeOf, toFloat32 } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { crossEntropy, parameterGradients } from "../../toolkit/train/index.js";
import { efficientNet, mobileNetV2, resnetCifar } from "../../toolkit/zoo/index.js";
import { randomFeeds, runGraph } from "../support/graphs.js";

/** Weights, biases and normalisation parameters, running statistics left out, as papers count. */
const parametersOf = (g: Graph): number =>
  [...g.initializers]
    .filter(([name, t]) => t.elemType === "float32" && /\.(weight|bias)$/.test(name) && t.dims.length > 0)
    .reduce((n, [, t]) => n + sizeOf(t.dims), 0);

const inferred = (g: Graph): Graph => inferShapes(tidy(g), { dims: { N: 1 } });

describe("nets of the zoo have the published sizes", () => {
  it.each([
    ["ResNet-20 with padded shortcuts", resnetCifar({ layers: 20, shortcut: "pad" }), 269_722, 40.8],
    ["ResNet-32 with padded shortcuts", resnetCifar({ layers: 32, shortcut: "pad" }), 464_154, 69.1],
    ["ResNet-56 with padded shortcuts", resnetCifar({ layers: 56, shortcut: "pad" }), 853_018, 125.7],
    ["ResNet-110 with padded shortcuts", resnetCifar({ layers: 110, shortcut: "pad" }), 1_727_962, 253.1],
    ["MobileNetV2", mobileNetV2(), 3_504_872, 300.8],
    ["EfficientNet-B0", efficientNet(), 5_288_548, 385.9],
    ["EfficientNet-B1", efficientNet({ depthMultiplier: 1.1, inputSize: 240 }), 7_794_184, 687],
  ])("%s", (_, g, parameters, millionMacs) => {
    expect(parametersOf(g)).toBe(parameters);
    const macs = costsOf(inferred(g)).macs / 1e6;
    expect(Math.abs(macs / millionMacs - 1)).toBeLessThan(0.01);
  });
});

const small: [string, Graph][] = [
  ["a ResNet", resnetCifar({ layers: 8, widthMultiplier: 0.5, seed: 3 })],
  ["a ResNet with padded shortcuts", resnetCifar({ layers: 8, widthMultiplier: 0.5, shortcut: "pad" })],
  ["a MobileNetV2", mobileNetV2({ stem: "cifar", widthMultiplier: 0.25, depthMultiplier: 0.5, headChannels: 64 })],
  [
    "an EfficientNet",
    efficientNet({ stem: "cifar", widthMultiplier: 0.25, depthMultiplier: 0.5, classes: 7, inputSize: 40 }),
  ],
];

describe("nets of the zoo", () => {
  it.each(small)("%s is a sound graph that survives a file and gives one finite row per image", async (_, g) => {
    checkGraph(g);
    const back = readModel(writeModel(g));
    const feeds = randomFeeds(back, 1, [-1, 1], 2);
    const [before, after] = [await runGraph(g, feeds), await runGraph(back, feeds)];
    const { dims } = before.logits;
    expect(dims).toEqual([2, g.initializers.get("classifier.bias")!.dims[0]]);
    expect(toFloat32(before.logits).every(Number.isFinite)).toBe(true);
    expect(after.logits.data).toEqual(before.logits.data);
    expect(typeOf(inferred(g), "logits")?.dims).toEqual([1, dims[1]]);
  });

  it.each(small)("%s can be trained in all its parameters", async (_, g) => {
    const size = g.inputs[0].type.dims![2] as number;
    const batch = { data: randomFeeds(g, 2, [-1, 1], 4).image.data as Float32Array, dims: [4, 3, size, size] };
    const labels = Int32Array.of(0, 1, 2, 3);
    const gradients = await parameterGradients(g, [{ ...batch, labels }], crossEntropy(), {
      batchNorm: "batch",
      threads: 1,
    });
    const names = [...g.initializers.keys()].filter((name) => /\.(weight|bias)$/.test(name));
    expect([...gradients.keys()].sort()).toEqual(names.sort());
    for (const [name, gradient] of gradients) expect(Math.hypot(...gradient), name).toBeGreaterThan(0);
  });

  it("leave most channels free to be pruned", () => {
    for (const [name, g] of small) {
      const { groups } = findGroups(inferred(g));
      expect(groups.filter((group) => !group.frozen).length, name).toBeGreaterThan(3);
    }
  });

  it("are drawn from the seed", () => {
    const weights = (seed: number) => resnetCifar({ layers: 8, seed }).initializers.get("stem.conv.weight")!.data;
    expect(weights(1)).toEqual(weights(1));
    expect(weights(1)).not.toEqual(weights(2));
  });

  it.each([
    ["layers", () => resnetCifar({ layers: 18 })],
    ["widthMultiplier", () => mobileNetV2({ widthMultiplier: 0 })],
    ["classes", () => efficientNet({ classes: 1.5 })],
  ])("refuse nonsense for %s", (_, build) => {
    expect(build).toThrowError(expect.objectContaining({ code: "zoo-options" }));
  });
});
