import { expect, test } from "vitest";
import type { Graph } from "../../toolkit/graph/graph.js";
import { edgeLayers } from "../../toolkit/quantize/edges.js";
import { type ImageBatch, planQdq, prepareForQuantization, quantize, worstDb } from "../../toolkit/quantize/index.js";
import { batches, conv3, images, net, noise } from "./support.js";

/** A stem that is small beside what follows it, or as large; then a dense layer on the pooled map. */
const withStem = (width: number): Graph =>
  net(["N", 3, 8, 8], (g, x) => {
    const y = g.relu(conv3(g, x, 3, 8, 1));
    const z = g.relu(conv3(g, g.relu(conv3(g, y, 8, width, 2)), width, width, 3));
    const flat = g.emit("Flatten", [g.emit("GlobalAveragePool", [z])]);
    return g.emit(
      "Gemm",
      [flat, g.initializer("fc", noise([width, 5], 9)), g.initializer("fb", noise([5], 8))],
      {},
      { name: "head" },
    );
  });

/** Channels of very different spread, as a normalisation per channel may leave them. */
function uneven(): ImageBatch {
  const batch = images([40, 3, 8, 8]);
  const data = batch.data.map((v, i) => v * [1, 0.05, 0.02][Math.floor(i / 64) % 3]);
  return { ...batch, data };
}

test("small layers at the image and at the answer are edges; large ones are not", () => {
  const small = prepareForQuantization(withStem(32));
  expect(edgeLayers(small, planQdq(small))).toEqual(["conv1", "head"]);
  const large = prepareForQuantization(withStem(4));
  expect(edgeLayers(large, planQdq(large))).toEqual(["head"]);
});

test("they stay float where that helps, only when asked to, and beside what the caller keeps float", async () => {
  const g = withStem(32);
  const plain = await quantize(g, batches(uneven()));
  expect(plain.floatEdges).toEqual([]);
  const edged = await quantize(g, batches(uneven()), { floatEdges: true, keepFloat: new Set(["conv3"]) });
  expect(edged.floatEdges).toEqual(["conv1", "head"]);
  expect([...edged.placement.keepFloat!].sort()).toEqual(["conv1", "conv3", "head"]);
  const only = await quantize(g, batches(uneven()), { floatEdges: true });
  expect(worstDb(only.sqnrDb)).toBeGreaterThan(worstDb(plain.sqnrDb) + 1);
});
