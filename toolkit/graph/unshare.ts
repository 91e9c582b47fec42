/**
 * Vectors that several nodes read become one per node. Exporters store equal vectors once (the zeros and ones of many
 * normalisations, the zero points of many weights); what merely looks alike must not be cut, trained or quantised as one.
 */
import { namer } from "./edit.js";
import { cloneGraph, type Graph, type OpNode } from "./graph.js";
import { sizeOf, type Tensor } from "./tensor.js";

/** Parameters with one axis longer than 1; integers of 64 bits are shapes and places. */
const isVector = (t: Tensor): boolean =>
  t.dims.filter((d) => d > 1).length === 1 && !["int64", "bool", "string"].includes(t.elemType);

/**
 * Gives every reader of a shared vector a copy, except readers that share a matrix or a kernel as well: they are one layer
 * applied several times. The copies are the same tensor in memory.
 */
export function unshareVectors(g: Graph): Graph {
  const layers = new Map<string, Set<string>>();
  for (const n of g.nodes) {
    for (const name of n.inputs) {
      const t = g.initializers.get(name);
      if (t && isVector(t)) layers.set(name, (layers.get(name) ?? new Set()).add(layerOf(n, g)));
    }
  }
  if (![...layers.values()].some((l) => l.size > 1)) return g;
  const out = cloneGraph(g);
  const unique = namer(g);
  const copies = new Map<string, string>();
  const copyOf = (name: string, n: OpNode): string => {
    const own = layers.get(name);
    if (!own || own.size < 2) return name;
    const key = `${layerOf(n, g)}\n${name}`;
    const known = copies.get(key);
    if (known !== undefined) return known;
    // The first layer keeps the name.
    const copy = own.values().next().value === layerOf(n, g) ? name : unique(name);
    copies.set(key, copy);
    out.initializers.set(copy, g.initializers.get(name)!);
    return copy;
  };
  out.nodes = g.nodes.map((n) => {
    const inputs = n.inputs.map((name) => copyOf(name, n));
    return inputs.every((name, i) => name === n.inputs[i]) ? n : { ...n, inputs };
  });
  return out;
}

/** What tells one layer from another: the largest parameter of the node, or the node itself where that is a vector. */
function layerOf(n: OpNode, g: Graph): string {
  let [best, size] = ["", 0];
  for (const name of n.inputs) {
    const t = g.initializers.get(name);
    if (t && t.dims.filter((d) => d > 1).length > 1 && sizeOf(t.dims) > size) [best, size] = [name, sizeOf(t.dims)];
  }
  return best ? `parameter ${best}` : `node ${n.name}`;
}
