/** Multiply-accumulates and parameters of a graph, node by node. */
import { type Graph, type OpNode, opsetOf, typeOf } from "../graph/graph.js";
import { elementCount } from "../graph/stored.js";
import { ruleFor } from "./index.js";

export interface NodeCost {
  node: OpNode;
  /** Multiply-accumulates for one run; dynamic dimensions count as 1. */
  macs: number;
  /** Elements of the initializers that the node reads and no earlier node has read. */
  params: number;
}

export interface Costs {
  nodes: NodeCost[];
  macs: number;
  params: number;
}

/** Costs of an inferred graph. Operators without a rule or a `macs` field count as 0. */
export function costsOf(g: Graph): Costs {
  const counted = new Set<string>();
  const staticDims = (name: string): number[] =>
    (typeOf(g, name)?.dims ?? []).map((d) => (typeof d === "number" ? d : 1));
  const nodes = g.nodes.map((node) => {
    const rule = ruleFor(node, opsetOf(g, node.domain));
    let params = 0;
    for (const name of node.inputs) {
      const t = g.initializers.get(name);
      // Integer constants are shapes and axes, not parameters.
      if (!t || counted.has(name) || t.elemType === "int64") continue;
      counted.add(name);
      params += elementCount(t);
    }
    const macs = rule?.macs?.(node, node.inputs.map(staticDims), node.outputs.map(staticDims)) ?? 0;
    return { node, macs, params };
  });
  const total = (f: (c: NodeCost) => number) => nodes.reduce((s, c) => s + f(c), 0);
  return { nodes, macs: total((c) => c.macs), params: total((c) => c.params) };
}
