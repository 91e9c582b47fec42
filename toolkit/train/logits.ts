/** Where a classifier's scores are before they are turned into probabilities. */
import { attrInt, type Graph, type OpNode, opsetOf, producersOf, typeOf } from "../graph/graph.js";

/** The node that makes a value, past those that only rename it. */
function makerOf(g: Graph, value: string): OpNode | undefined {
  const producers = producersOf(g);
  let node = producers.get(value);
  while (node?.domain === "" && node.opType === "Identity") node = producers.get(node.inputs[0]);
  return node;
}

/** The input of the Softmax over the last axis that makes `output`, else `output` itself. */
export function logitsOf(g: Graph, output: string): string {
  const node = makerOf(g, output);
  if (node?.domain !== "" || node.opType !== "Softmax") return output;
  const rank = typeOf(g, node.inputs[0])?.dims?.length ?? typeOf(g, output)?.dims?.length;
  const axis = attrInt(node, "axis", opsetOf(g) >= 13 ? -1 : 1);
  return axis === -1 || axis + 1 === rank ? node.inputs[0] : output;
}

/** The input of the Sigmoid that makes `output`, else `output` itself. */
export function beforeSigmoid(g: Graph, output: string): string {
  const node = makerOf(g, output);
  return node?.domain === "" && node.opType === "Sigmoid" ? node.inputs[0] : output;
}
