/** Small edits that passes are made of. Each returns a new graph and leaves the given one as it was. */
import { ModelError } from "./errors.js";
import { at, cloneGraph, type Graph, type OpNode } from "./graph.js";
import { namesDefinedIn, readsOf, subgraphsOf } from "./scope.js";

/**
 * Without the nodes, constants and value types that no graph output needs. Captured values of subgraphs count as needed.
 * Graph inputs stay, except those that only named a removed constant. Linear in the size of the graph.
 */
export function removeDead(g: Graph): Graph {
  const needed = new Set(g.outputs.map((v) => v.name));
  const alive: OpNode[] = [];
  // Nodes are in topological order, so every reader has been seen before its producer.
  for (let i = g.nodes.length - 1; i >= 0; i--) {
    const n = g.nodes[i];
    if (!n.outputs.some((o) => o !== "" && needed.has(o))) continue;
    alive.push(n);
    for (const name of readsOf(n)) needed.add(name);
  }
  const out = cloneGraph(g);
  out.nodes = alive.reverse();
  out.inputs = g.inputs.filter((v) => needed.has(v.name) || !g.initializers.has(v.name));
  for (const name of g.initializers.keys()) if (!needed.has(name)) out.initializers.delete(name);
  const exists = namesDefinedIn(out);
  for (const name of g.valueTypes.keys()) if (!exists.has(name)) out.valueTypes.delete(name);
  return out;
}

/** Every read of `from`, in subgraphs too, becomes a read of `to`. Names of graph outputs are public and stay. */
export function replaceUses(g: Graph, from: string, to: string): Graph {
  return redirect(g, new Map([[from, to]]));
}

/** `replaceUses` for many names in one walk. Chains (a to b, b to c) are followed; a circle of names is refused. */
export function redirect(g: Graph, names: ReadonlyMap<string, string>): Graph {
  if (names.size === 0) return g;
  const final = new Map<string, string>();
  for (const start of names.keys()) {
    let name = start;
    for (let hops = 0; names.has(name); hops++) {
      if (hops === names.size) throw new ModelError("cycle", `value "${start}" would be replaced by itself`);
      name = names.get(name)!;
    }
    final.set(start, name);
  }
  return { ...cloneGraph(g), nodes: g.nodes.map((n) => redirectNode(n, final)) };
}

function redirectNode(n: OpNode, names: ReadonlyMap<string, string>): OpNode {
  const inputs = n.inputs.some((name) => names.has(name)) ? n.inputs.map((name) => names.get(name) ?? name) : n.inputs;
  let attributes = n.attributes;
  for (const { attribute, graph } of subgraphsOf(n)) {
    const inner = redirectCaptured(graph, names);
    if (inner !== graph) attributes = { ...attributes, [attribute]: { type: "graph", value: inner } };
  }
  return inputs === n.inputs && attributes === n.attributes ? n : { ...n, inputs, attributes };
}

/** Only what the subgraph captures is redirected: a name that it defines itself hides the outer one. */
function redirectCaptured(sub: Graph, names: ReadonlyMap<string, string>): Graph {
  const own = namesDefinedIn(sub);
  const outer = new Map([...names].filter(([from]) => !own.has(from)));
  const hidden = [...outer.values()].find((to) => own.has(to));
  const nodes = sub.nodes.map((n) => redirectNode(n, outer));
  const outputs = sub.outputs.map((v) => (outer.has(v.name) ? { ...v, name: outer.get(v.name)! } : v));
  if (nodes.every((n, i) => n === sub.nodes[i]) && outputs.every((v, i) => v === sub.outputs[i])) return sub;
  if (hidden !== undefined)
    throw new ModelError(
      "duplicate-value",
      `subgraph "${sub.name}" has a value "${hidden}" of its own and cannot read the outer one`,
    );
  return { ...cloneGraph(sub), nodes, outputs };
}

/** A name that no value or node of `g` or its subgraphs has: `base`, else `base_1`, `base_2`, … For many names, `namer`. */
export const uniqueName = (g: Graph, base: string): string => namer(g)(base);

/** A maker of names that are unique in `g` and among themselves; linear set-up, then constant time per name. */
export function namer(g: Graph): (base: string) => string {
  const taken = new Set<string>();
  const collect = (graph: Graph): void => {
    for (const name of namesDefinedIn(graph)) taken.add(name);
    for (const v of graph.outputs) taken.add(v.name);
    for (const n of graph.nodes) {
      taken.add(n.name);
      for (const { graph: inner } of subgraphsOf(n)) collect(inner);
    }
  };
  collect(g);
  const counters = new Map<string, number>();
  return (base) => {
    let name = base;
    let count = counters.get(base) ?? 0;
    while (name === "" || taken.has(name)) name = `${base}_${++count}`;
    counters.set(base, count);
    taken.add(name);
    return name;
  };
}

/** `nodes` right before `anchor`. Throws ModelError when the anchor is not in the graph. */
export function insertBefore(g: Graph, anchor: OpNode, nodes: readonly OpNode[]): Graph {
  return splice(g, anchor, [...nodes, anchor]);
}

/** `nodes` right after `anchor`. Throws ModelError when the anchor is not in the graph. */
export function insertAfter(g: Graph, anchor: OpNode, nodes: readonly OpNode[]): Graph {
  return splice(g, anchor, [anchor, ...nodes]);
}

/** `nodes` in the place of `anchor`. Throws ModelError when the anchor is not in the graph. */
export function replaceNode(g: Graph, anchor: OpNode, nodes: readonly OpNode[]): Graph {
  return splice(g, anchor, nodes);
}

function splice(g: Graph, anchor: OpNode, nodes: readonly OpNode[]): Graph {
  const index = g.nodes.indexOf(anchor);
  if (index < 0) throw new ModelError("unknown-node", `${at(anchor)} is not a node of the graph`);
  return { ...cloneGraph(g), nodes: [...g.nodes.slice(0, index), ...nodes, ...g.nodes.slice(index + 1)] };
}
