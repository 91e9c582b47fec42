/** Third-party models: inferred types against the runtime, sliced nets against masked ones. */
import { describe, expect, test } from "vitest";
import { type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { randomFeeds, randomKeep, runGraph, withAllOutputs } from "../support/graphs.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { thirdPartyModels } from "../support/thirdParty.js";

/** Values of the dynamic dimensions in these files; the batch stays dynamic unless listed. */
const dims: Record<string, Record<string, number>> = {
  "models/yunet/yunet_n_dynamic.onnx": { height: 96, width: 128 },
};

async function load(file: string): Promise<Graph> {
  return inferShapes(tidy(await readModelFile(sharedPath(file))), { dims: dims[file] ?? {} });
}

describe.skipIf(!hasShared)("third-party models", () => {
  test.each(thirdPartyModels)("%s: types of all values are the runtime's", async (file) => {
    const g = await load(file);
    const found = await runGraph(withAllOutputs(g), randomFeeds(g, 1));
    expect(Object.keys(found).length).toBe(g.nodes.length);
    for (const [name, t] of Object.entries(found)) {
      const type = typeOf(g, name);
      expect(type?.elemType, name).toBe(t.elemType);
      expect(
        type?.dims?.map((d, axis) => (axis === 0 && typeof d === "string" ? t.dims[axis] : d)),
        name,
      ).toEqual(t.dims);
    }
  });

  test.each(thirdPartyModels)("%s: cut at random, it computes what the masked net does", async (file) => {
    const g = await load(file);
    const groups = findGroups(g);
    expect(groups.prunable.length).toBeGreaterThanOrEqual(6);
    for (const seed of [1, 2, 3]) {
      const keep = randomKeep(groups, seed);
      const { sliced } = await expectSliceEqualsMask(g, groups, keep, randomFeeds(g, seed));
      expect(costsOf(sliced).params).toBeLessThan(0.8 * costsOf(g).params);
    }
  });

  test("one channel in every group is a net too", async () => {
    const g = await load("models/resnet-cifar10/resnet20-cifar10-slicepad.onnx");
    const groups = findGroups(g);
    const keep = new Map(groups.prunable.map((e) => [e.id, Int32Array.of(e.width - 1)]));
    const { sliced } = await expectSliceEqualsMask(g, groups, keep, randomFeeds(g, 1));
    const { sliced: again } = await expectSliceEqualsMask(g, groups, keep, randomFeeds(g, 2, [-2, 2], 3));
    expect([...again.initializers.keys()]).toEqual([...sliced.initializers.keys()]);
  });

  test("a cut net can be cut again", async () => {
    const g = await load("models/openseeface/lm_model0_opt-plain.onnx");
    const groups = findGroups(g);
    const { sliced } = await expectSliceEqualsMask(g, groups, randomKeep(groups, 5, 0.8), randomFeeds(g, 5));
    const less = findGroups(sliced);
    expect(less.groups.map((e) => e.id)).toEqual(groups.groups.map((e) => e.id));
    await expectSliceEqualsMask(sliced, less, randomKeep(less, 6, 0.8), randomFeeds(g, 6));
  });

  test("the groups of a residual net: one stream per resolution, one per block", async () => {
    const groups = findGroups(await load("models/resnet-cifar10/resnet20-cifar10.onnx"));
    expect(groups.prunable.length).toBe(12);
    const stream = groups.group("conv1");
    expect(stream.width).toBe(16);
    expect(stream.producers.map((p) => p.node)).toEqual([
      "conv1",
      "layer1.0.conv2",
      "layer1.1.conv2",
      "layer1.2.conv2",
    ]);
    expect(stream.consumers.map((c) => c.node)).toContain("layer2.0.conv1");
    expect(groups.groups.filter((e) => e.frozen).map((e) => e.frozen)).toEqual(['it is part of graph output "logits"']);
  });
});
