import { describe, expect, test } from "vitest";
import { cloneGraph, type Graph } from "../../toolkit/graph/graph.js";
import { floats, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import { reestimateStatistics } from "../../toolkit/prune/batchNorm.js";
import { findGroups, keptPositions } from "../../toolkit/prune/groups.js";
import { reconstruct } from "../../toolkit/prune/reconstruct.js";
import { measureLosses, readerMoments, relativeError, withoutChannels } from "../../toolkit/prune/sensitivity.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { ForwardWalk, observe, outputsOn } from "../../toolkit/prune/walk.js";
import { maxDifference } from "../support/models.js";
import { imageBatches, residualNet } from "./residualNet.js";

const net = residualNet(3);
const groups = findGroups(net);
const batches = imageBatches(4, 3, 16);
const unseen = imageBatches(5, 2, 16);

/** The net with channel `to` of the inner group made an exact copy of channel `from`. */
function withDuplicate(g: Graph, from: number, to: number): Graph {
  const out = cloneGraph(g);
  for (const name of ["inner.weight", "inner.bn.scale", "inner.bn.bias", "inner.bn.mean", "inner.bn.var"]) {
    const t = g.initializers.get(name)!;
    const data = Float32Array.from(t.data as Float32Array);
    const row = data.length / t.dims[0];
    data.copyWithin(to * row, from * row, (from + 1) * row);
    out.initializers.set(name, floats(data, t.dims));
  }
  return out;
}

function cutInner(g: Graph, kept: readonly number[]) {
  const own = findGroups(g);
  const keep = new Map([["inner", Int32Array.from(kept)]]);
  return { cut: sliceGraph(g, own, keep), kept: (name: string, axis: number) => keptPositions(own, keep, name, axis) };
}

describe("the test net", () => {
  test("has the two groups that the tests below cut", () => {
    expect(groups.prunable.map((g) => [g.id, g.width])).toEqual([
      ["stem", 6],
      ["inner", 6],
    ]);
  });
});

describe("ForwardWalk", () => {
  test("stops at every node and still ends with the outputs of a plain run", async () => {
    const walk = new ForwardWalk(net, batches);
    const plain = await outputsOn(net, batches);
    for (let i = 0; i <= net.nodes.length; i++) {
      await walk.advance(i);
      if (i < net.nodes.length) {
        const rest = await walk.finish(net);
        for (const [b, out] of rest.entries()) expect(maxDifference(out, plain[b])).toBeLessThan(1e-5);
      }
    }
    for (const [b, t] of walk.values("logits").entries())
      expect(maxDifference({ logits: t }, plain[b])).toBeLessThan(1e-5);
  });

  test("keeps only what later nodes read", async () => {
    const walk = new ForwardWalk(net, batches);
    const outer = net.nodes.findIndex((n) => n.name === "outer");
    await walk.advance(outer);
    expect(walk.has("x")).toBe(false);
    expect(walk.has(net.nodes[outer].inputs[0])).toBe(true);
  });
});

describe("reconstruct", () => {
  test("loses nothing when the removed channel has an exact copy", async () => {
    const doubled = withDuplicate(net, 1, 4);
    const { cut, kept } = cutInner(doubled, [0, 1, 2, 3, 5]);
    const repaired = await reconstruct(doubled, cut, kept, batches, { ridge: 1e-8 });
    const reference = await outputsOn(doubled, unseen);
    expect(relativeError(await outputsOn(cut, unseen), reference)).toBeGreaterThan(1e-2);
    expect(relativeError(await outputsOn(repaired, unseen), reference)).toBeLessThan(1e-5);
  });

  test("comes nearer to the original than the plain cut on unseen images, for the stream and for the branch", async () => {
    const reference = await outputsOn(net, unseen);
    for (const id of ["stem", "inner"]) {
      const keep = new Map([[id, Int32Array.of(0, 2, 3, 5)]]);
      const cut = sliceGraph(net, groups, keep);
      const repaired = await reconstruct(net, cut, (n, a) => keptPositions(groups, keep, n, a), batches);
      const before = relativeError(await outputsOn(cut, unseen), reference);
      expect(relativeError(await outputsOn(repaired, unseen), reference)).toBeLessThan(before / 2);
    }
  });

  test("leaves the given graphs as they were", async () => {
    const { cut, kept } = cutInner(net, [0, 1, 2]);
    const weights = new Map([...cut.initializers].map(([k, t]) => [k, [...toNumbers(t)]]));
    await reconstruct(net, cut, kept, batches);
    for (const [k, v] of weights) expect([...toNumbers(cut.initializers.get(k)!)]).toEqual(v);
  });
});

describe("reestimateStatistics", () => {
  test("makes every batch norm's input standard over the images", async () => {
    const { cut } = cutInner(net, [0, 2, 4]);
    const fresh = await reestimateStatistics(cut, batches);
    const values: Record<string, Tensor[]> = {};
    const norms = fresh.nodes.filter((n) => n.opType === "BatchNormalization");
    await observe(
      fresh,
      batches,
      () => Object.fromEntries(norms.map((n) => [n.name, n.inputs[0]])),
      (seen) => {
        for (const [k, t] of Object.entries(seen)) (values[k] ??= []).push(t);
      },
    );
    for (const n of norms) {
      const [mean, variance] = [n.inputs[3], n.inputs[4]].map((name) => toNumbers(fresh.initializers.get(name)!));
      for (let c = 0; c < mean.length; c++) {
        const x = values[n.name].flatMap((t) => {
          const [images, channels, h, w] = t.dims;
          const data = toNumbers(t);
          return Array.from({ length: images }, (_, i) => [
            ...data.subarray((i * channels + c) * h * w, (i * channels + c + 1) * h * w),
          ]).flat();
        });
        const m = x.reduce((a, v) => a + v, 0) / x.length;
        expect(mean[c]).toBeCloseTo(m, 4);
        expect(variance[c]).toBeCloseTo(x.reduce((a, v) => a + (v - m) ** 2, 0) / x.length, 4);
      }
    }
  });
});

describe("measureLosses", () => {
  test("a group's loss is the output error of the net that lacks those channels", async () => {
    const moments = await readerMoments(net, groups, batches);
    const orders = new Map(groups.prunable.map((g) => [g.id, Int32Array.from([5, 4, 3, 2, 1, 0])]));
    const candidates = new Map(groups.prunable.map((g) => [g.id, [2, 4, 6]]));
    const losses = await measureLosses(net, groups, orders, candidates, moments, unseen);
    const reference = await outputsOn(net, unseen);
    for (const group of groups.prunable) {
      const { widths, loss } = losses.get(group.id)!;
      expect(widths).toEqual([2, 4, 6]);
      expect(loss[2]).toBe(0);
      expect(loss[0]).toBeGreaterThanOrEqual(loss[1]);
      // The kept channels are the last of the order: 0 and 1.
      const variant = withoutChannels(net, groups, group, Int32Array.of(0, 1), moments);
      expect(loss[0]).toBeCloseTo(relativeError(await outputsOn(variant, unseen), reference), 5);
      // Independent of the blinded form: the same readers' weights, physically cut.
      const keep = new Map([[group.id, Int32Array.of(0, 1)]]);
      const cut = sliceGraph(variant, findGroups(variant), keep);
      const cutOutputs = await outputsOn(cut, unseen);
      const blindOutputs = await outputsOn(variant, unseen);
      for (const [b, out] of cutOutputs.entries()) expect(maxDifference(out, blindOutputs[b])).toBeLessThan(1e-4);
    }
  });
});
