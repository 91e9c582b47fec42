/** The rule's own evaluation of constants against ONNX Runtime. */
import { expect } from "vitest";
import type { OpNode } from "../../../toolkit/graph/graph.js";
import type { Tensor } from "../../../toolkit/graph/tensor.js";
import { ruleFor } from "../../../toolkit/ops/index.js";
import { inferShapes } from "../../../toolkit/ops/infer.js";
import { randomFeeds, relativeError, runGraph } from "../../support/graphs.js";
import { modelOf, type OpCase, opsetOfCase, type Pass } from "../case.js";

const ruleOf = (opType: string, c: OpCase) => ruleFor({ opType, domain: c.domain ?? "" }, opsetOfCase(c));

export const constantPass: Pass = {
  name: "constants are computed as the runtime does",
  skip: (opType, c) => (ruleOf(opType, c)?.evaluate ? undefined : "the rule computes no constants"),
  run: async (opType, c) => {
    const g = inferShapes(modelOf(opType, c));
    const feeds = randomFeeds(g, c.seed ?? 1, c.range);
    const node: OpNode = modelOf(opType, c).nodes[0];
    const known = (name: string): Tensor | undefined => feeds[name] ?? modelOf(opType, c).initializers.get(name);
    const values = ruleOf(opType, c)?.evaluate?.(node, node.inputs.map(known), opsetOfCase(c));
    if (!values) throw new Error("the rule could not compute a call with constant inputs");
    const found = await runGraph(g, feeds);
    node.outputs.forEach((y, i) => {
      expect(values[i].elemType).toBe(found[y].elemType);
      expect(relativeError(values[i], found[y]), y).toBeLessThan(1e-5);
    });
  },
};
