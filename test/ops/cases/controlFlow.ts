/** Nodes that hold graphs. */
import { emptyGraph, GraphBuilder } from "../../../toolkit/graph/builder.js";
import type { Attribute } from "../../../toolkit/graph/graph.js";
import { floats } from "../../../toolkit/graph/tensor.js";
import type { Cases } from "../case.js";

/** A branch that gives a constant. */
function giving(name: string, values: number[], dims: readonly number[]): Attribute {
  const b = new GraphBuilder(emptyGraph(name));
  b.output(b.initializer(`${name}_value`, floats(values, dims)), { elemType: "float32", dims });
  return { type: "graph", value: b.graph };
}

export const controlFlow: Cases = {
  If: [
    {
      name: "either branch",
      inputs: [{ live: [], elemType: "bool" }],
      attributes: { then_branch: giving("yes", [1, 2], [2]), else_branch: giving("no", [3, 4], [2]) },
    },
    {
      name: "branches of different lengths",
      inputs: [{ live: [], elemType: "bool" }],
      attributes: { then_branch: giving("yes", [1, 2], [2]), else_branch: giving("no", [3], [1]) },
      dynamic: true,
    },
  ],
};
