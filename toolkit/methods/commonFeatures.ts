/** Places inside two nets where one can be told what the other gave. */
import { type Graph, opsetOf, typeOf, usesOf } from "../graph/graph.js";
import { ruleFor } from "../ops/index.js";

/** Weight of the inner values beside the outputs. */
export const FEATURE_WEIGHT = 10;
const MOST_FEATURES = 9;

/**
 * Sums of residual branches that have the same dims in both nets (their stream was not cut), after their activation, evenly
 * chosen: the places where a cut block can be told what the whole one gave.
 */
export function commonFeatures(teacher: Graph, net: Graph): string[] {
  const uses = usesOf(net);
  const dims = (g: Graph, value: string): string | undefined => typeOf(g, value)?.dims?.join();
  const found: string[] = [];
  for (const node of net.nodes) {
    if (!ruleFor(node, opsetOf(net, node.domain))?.sums) continue;
    const readers = uses.get(node.outputs[0]) ?? [];
    const activation = readers.length === 1 && readers[0].node.inputs.length === 1 ? readers[0].node : node;
    const [value] = activation.outputs;
    const own = dims(net, value);
    if (own !== undefined && own === dims(teacher, value)) found.push(value);
  }
  const step = Math.max(1, found.length / MOST_FEATURES);
  // Counted from the end: the last sum says most about the outputs.
  return found.filter((_, i) => Math.floor((found.length - 1 - i) % step) === 0);
}
