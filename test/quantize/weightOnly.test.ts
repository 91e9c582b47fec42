import { expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr } from "../../toolkit/graph/graph.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { sqnrDb } from "../../toolkit/quantize/index.js";
import { quantizeWeightsOnly } from "../../toolkit/quantize/weightOnly.js";
import { conv3, images, net, noise, optimisedOps, outputOf } from "./support.js";

// 70 is no multiple of a block, 12 smaller than one.
const dense = net(["N", 70], (g, x) => {
  const y = g.relu(
    g.emit("Gemm", [x, g.initializer("w1", noise([70, 64], 1, 0.2)), g.initializer("b1", noise([64], 2))]),
  );
  const z = g.relu(
    g.emit("Gemm", [y, g.initializer("w2", noise([12, 64], 3, 0.2)), g.initializer("b2", noise([12], 4))], {
      transB: attr.int(1),
    }),
  );
  return g.matmul(z, g.initializer("w3", noise([12, 5], 5)));
});

test("products keep float activations and lose next to nothing", async () => {
  const { graph, nodes } = quantizeWeightsOnly(dense);
  checkGraph(graph);
  expect(nodes).toHaveLength(3);
  const ops = await optimisedOps(graph);
  expect(ops.MatMulNBits).toBe(3);
  expect(ops.QuantizeLinear ?? 0).toBe(0);
  const batch = images([16, 70]);
  expect(sqnrDb(await outputOf(dense, batch), await outputOf(graph, batch))).toBeGreaterThan(40);
});

test("the file shrinks by nearly three quarters", () => {
  const large = net(["N", 512], (g, x) => g.matmul(x, g.initializer("w", noise([512, 512], 1))));
  const ratio = writeModel(quantizeWeightsOnly(large).graph).length / writeModel(large).length;
  expect(ratio).toBeLessThan(0.3);
});

test("convolutions, and products named in keepFloat, stay as they are", async () => {
  const g = net(["N", 3, 8, 8], (b, x) => {
    const y = b.emit("Flatten", [b.emit("GlobalAveragePool", [conv3(b, x, 3, 8, 1)])]);
    return b.matmul(y, b.initializer("w", noise([8, 4], 2)), { name: "product" });
  });
  expect(quantizeWeightsOnly(g).nodes).toEqual(["product"]);
  expect((await optimisedOps(quantizeWeightsOnly(g).graph)).Conv).toBe(1);
  const kept = quantizeWeightsOnly(g, { keepFloat: new Set(["product"]) });
  expect(kept.nodes).toEqual([]);
  expect(kept.graph.opsets.has("com.microsoft")).toBe(false);
});

test("a column of zeros stays zero", async () => {
  const g = net(["N", 32], (b, x) =>
    b.matmul(x, b.initializer("w", { elemType: "float32", dims: [32, 2], data: new Float32Array(64) })),
  );
  expect([...(await outputOf(quantizeWeightsOnly(g).graph, images([2, 32])))]).toEqual([0, 0, 0, 0]);
});
