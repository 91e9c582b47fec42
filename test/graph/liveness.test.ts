import { expect, test } from "vitest";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { peakActivationBytes } from "../../toolkit/graph/liveness.js";

test("a chain holds two values at once, a skip connection three", () => {
  const chain = new GraphBuilder();
  const a = chain.relu(chain.relu(chain.input("x", [1, 100])));
  chain.output(a, { elemType: "float32", dims: [1, 100] });
  for (const n of chain.graph.nodes) chain.graph.valueTypes.set(n.outputs[0], { elemType: "float32", dims: [1, 100] });
  expect(peakActivationBytes(chain.graph)).toBe(2 * 400);

  const skip = new GraphBuilder();
  const x = skip.input("x", [1, 100]);
  skip.output(skip.add(x, skip.relu(skip.relu(x))), { elemType: "float32", dims: [1, 100] });
  for (const n of skip.graph.nodes) skip.graph.valueTypes.set(n.outputs[0], { elemType: "float32", dims: [1, 100] });
  expect(peakActivationBytes(skip.graph)).toBe(3 * 400);
});
