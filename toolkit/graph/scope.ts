/** What a node reads: its inputs, and what the subgraphs of If, Loop and Scan capture from the graph around them. */
import type { Graph, OpNode } from "./graph.js";

/** Subgraphs in a node's attributes, with the names of those attributes. */
export function subgraphsOf(n: OpNode): { attribute: string; graph: Graph }[] {
  const out: { attribute: string; graph: Graph }[] = [];
  for (const [attribute, a] of Object.entries(n.attributes))
    if (a.type === "graph") out.push({ attribute, graph: a.value });
  return out;
}

/** Names that a subgraph, at any depth, takes from the scope around it. */
export function capturedBy(sub: Graph): Set<string> {
  const own = namesDefinedIn(sub);
  const captured = new Set<string>();
  for (const n of sub.nodes) for (const name of readsOf(n)) if (!own.has(name)) captured.add(name);
  for (const v of sub.outputs) if (v.name && !own.has(v.name)) captured.add(v.name);
  return captured;
}

/** Every value that must exist before the node can run: present inputs first, then captured ones. */
export function readsOf(n: OpNode): string[] {
  const reads = n.inputs.filter((name) => name !== "");
  for (const { graph } of subgraphsOf(n)) reads.push(...capturedBy(graph));
  return reads;
}

/** Inputs, constants and node outputs of one graph, without what lies around or inside it. */
export function namesDefinedIn(g: Graph): Set<string> {
  const names = new Set<string>(g.initializers.keys());
  for (const v of g.inputs) names.add(v.name);
  for (const n of g.nodes) for (const o of n.outputs) if (o) names.add(o);
  return names;
}
