/** Criteria against calculations that share nothing with them: double loops, finite differences of losses, activations read out. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Batch } from "../../toolkit/data/dataset.js";
import { cloneGraph, type Graph } from "../../toolkit/graph/graph.js";
import { floats, toFloat32 } from "../../toolkit/graph/tensor.js";
import { type CriterionName, criterionNames, scoreGroups } from "../../toolkit/methods/criteria.js";
import { type ChannelGroups, findGroups } from "../../toolkit/prune/groups.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { crossEntropy } from "../../toolkit/train/index.js";
import { tinyData, trainedTiny } from "./tiny.js";

let g: Graph;
let groups: ChannelGroups;
let batch: Batch;
beforeAll(async () => {
  g = await trainedTiny();
  groups = findGroups(g);
  batch = await tinyData.batch(Array.from({ length: 6 }, (_, i) => i));
});

const scoresBy = (criterion: CriterionName, seed = 1, batches = [batch]) =>
  scoreGroups(g, groups, { criterion, batches, loss: crossEntropy, seed, threads: 1 });

/** Of each image, before reduction. */
async function lossesOf(net: Graph): Promise<number[]> {
  const { logits } = await withSession(net, { threads: 1 }, (s) => s.run({ image: floats(batch.data, batch.dims) }));
  const v = toFloat32(logits);
  return Array.from(
    batch.labels!,
    (label, i) => Math.log(Math.exp(v[2 * i]) + Math.exp(v[2 * i + 1])) - v[2 * i + label],
  );
}

const withValue = (name: string, index: number, value: number): Graph => {
  const out = cloneGraph(g);
  const t = g.initializers.get(name)!;
  const data = Float32Array.from(toFloat32(t));
  data[index] = value;
  out.initializers.set(name, floats(data, t.dims));
  return out;
};

test.each([...criterionNames])("%s scores every channel of every group and orders them by score", async (criterion) => {
  const found = await scoresBy(criterion);
  expect([...found.keys()]).toEqual(groups.prunable.map((e) => e.id));
  for (const [id, { order, scores }] of found) {
    const width = groups.group(id).width;
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: width }, (_, i) => i));
    expect(scores.every((s) => Number.isFinite(s) && s >= 0)).toBe(true);
    if (criterion === "reconstruction") continue;
    for (let i = 1; i < width; i++) expect(scores[order[i]]).toBeGreaterThanOrEqual(scores[order[i - 1]]);
  }
});

test("by chance: the same for a seed, another for another", async () => {
  const order = async (seed: number) => [...(await scoresBy("random", seed)).values()].map((s) => s.order.join());
  expect(await order(5)).toEqual(await order(5));
  expect(await order(5)).not.toEqual(await order(6));
});

test("geometric median: a double loop over the filters", async () => {
  const found = await scoresBy("fpgm");
  const name = groups.prunable[1].producers[0].weight;
  const w = g.initializers.get(name)!;
  const [outputs, size] = [w.dims[0], w.data.length / w.dims[0]];
  const values = toFloat32(w);
  const distance = (a: number, b: number): number =>
    Math.hypot(...Array.from({ length: size }, (_, i) => values[a * size + i] - values[b * size + i]));
  for (let a = 0; a < outputs; a++) {
    const expected = Array.from({ length: outputs }, (_, b) => distance(a, b)).reduce((x, y) => x + y);
    expect(found.get(groups.prunable[1].id)!.scores[a]).toBeCloseTo(expected, 6);
  }
});

describe("the Hessian's diagonal", () => {
  test("is half of w^2 times the mean squared slope of the images' losses", async () => {
    const group = groups.prunable[0];
    const found = await scoresBy("hessian");
    // The scale of the batch norm, its shift, the filter and the columns of the reader: all parameters of channel 3.
    let expected = 0;
    for (const m of group.members.filter((e) => e.parameter)) {
      const t = g.initializers.get(m.value)!;
      if (/mean|variance/.test(m.value)) continue;
      const values = toFloat32(t);
      const inner = t.dims.slice(m.axis + 1).reduce((a, b) => a * b, 1);
      for (let i = 0; i < values.length; i++) {
        if (Math.floor(i / inner) % t.dims[m.axis] !== 3) continue;
        const h = 1e-2;
        const [up, down] = [
          await lossesOf(withValue(m.value, i, values[i] + h)),
          await lossesOf(withValue(m.value, i, values[i] - h)),
        ];
        const fisher = up.reduce((s, v, k) => s + ((v - down[k]) / (2 * h)) ** 2, 0) / up.length;
        expected += 0.5 * values[i] ** 2 * fisher;
      }
    }
    expect(found.get(group.id)!.scores[3] / expected).toBeCloseTo(1, 1);
  });

  test("does not depend on how the images are batched", async () => {
    const parts = [
      { ...batch, data: batch.data.slice(0, 128), dims: [2, 1, 8, 8], labels: batch.labels!.slice(0, 2) },
      { ...batch, data: batch.data.slice(128), dims: [4, 1, 8, 8], labels: batch.labels!.slice(2) },
    ];
    const [whole, split] = [await scoresBy("hessian"), await scoresBy("hessian", 1, parts)];
    for (const [id, { scores }] of whole) expect([...split.get(id)!.scores]).toEqual([...scores]);
  });
});

test("activation: the mean magnitude of what readers see", async () => {
  const group = groups.prunable[1];
  const found = await scoresBy("activation");
  const value = g.nodes.find((n) => n.name === group.consumers[0].node)!.inputs[0];
  const probed = { ...cloneGraph(g), outputs: [{ name: value, type: { elemType: "float32" as const } }] };
  const seen = (await withSession(probed, { threads: 1 }, (s) => s.run({ image: floats(batch.data, batch.dims) })))[
    value
  ];
  const values = toFloat32(seen);
  const channels = group.width;
  const inner = values.length / (batch.dims[0] * channels);
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) if (Math.floor(i / inner) % channels === c) sum += Math.abs(values[i]);
    expect(found.get(group.id)!.scores[c]).toBeCloseTo(sum / (batch.dims[0] * inner), 5);
  }
});
