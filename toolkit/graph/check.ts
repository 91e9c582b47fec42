/**
 * The invariants of a Graph as an executable grammar. Tests run it after every pass; the reader runs it on every file.
 * It knows the form of a graph and nothing about operators.
 */
import { ModelError } from "./errors.js";
import { at, type Graph, type OpNode } from "./graph.js";
import { namesDefinedIn, readsOf, subgraphsOf } from "./scope.js";
import { storageOf } from "./stored.js";
import { elemBytes, isOpaque, sizeOf, type Tensor } from "./tensor.js";

export interface CheckOptions {
  /** `unique` (default): every node has a name of its own. `any`: files may leave names out or repeat them, until `tidy`. */
  names?: "unique" | "any";
}

/**
 * Throws ModelError naming the first illegal node or value: `malformed`, `duplicate-value`, `unknown-value`, `order`,
 * `node-name` or `tensor-data`. Subgraphs are checked too, with the values around them in sight; their nodes need no
 * names, as no pass works inside them.
 */
export function checkGraph(g: Graph, o: CheckOptions = {}): void {
  checkScope(g, () => false, o.names ?? "unique");
}

function checkScope(g: Graph, outer: (name: string) => boolean, names: "unique" | "any"): void {
  const made = new Set<string>();
  for (const v of g.inputs) {
    if (!v.name) throw new ModelError("malformed", "a graph input has no name");
    if (made.has(v.name)) throw new ModelError("duplicate-value", `two graph inputs are named "${v.name}"`);
    made.add(v.name);
  }
  for (const [name, t] of g.initializers) {
    checkTensor(t, `constant "${name}"`);
    made.add(name);
  }
  const everything = namesDefinedIn(g);
  const nodeNames = new Set<string>();
  for (const n of g.nodes) {
    if (!n.opType) throw new ModelError("malformed", `node "${n.name}" does not say which operator it is`);
    if (names === "unique") {
      if (!n.name) throw new ModelError("node-name", `${at(n)} has no name`);
      if (nodeNames.has(n.name)) throw new ModelError("node-name", `two nodes are named "${n.name}"`);
      nodeNames.add(n.name);
    }
    for (const name of readsOf(n)) if (!made.has(name) && !outer(name)) throw unknown(n, name, everything.has(name));
    for (const [name, a] of Object.entries(n.attributes))
      if (a.type === "tensor") checkTensor(a.value, `attribute "${name}" of ${at(n)}`);
    for (const { graph } of subgraphsOf(n)) checkScope(graph, (name) => made.has(name) || outer(name), "any");
    for (const o of n.outputs) {
      if (!o) continue;
      if (made.has(o)) throw new ModelError("duplicate-value", `${at(n)} makes value "${o}", which exists already`);
      made.add(o);
    }
  }
  for (const v of g.outputs) {
    if (!v.name) throw new ModelError("malformed", "a graph output has no name");
    if (!made.has(v.name) && !outer(v.name))
      throw new ModelError("unknown-value", `graph output "${v.name}" is made by no node, input or constant`);
  }
}

function unknown(n: OpNode, name: string, later: boolean): ModelError {
  if (later) return new ModelError("order", `${at(n)} reads "${name}", which a later node makes`);
  return new ModelError("unknown-value", `${at(n)} reads "${name}", which no node, input or constant makes`);
}

function checkTensor(t: Tensor, what: string): void {
  if (t.dims.some((d) => !Number.isSafeInteger(d) || d < 0))
    throw new ModelError("tensor-data", `${what} has dims [${t.dims.join(", ")}]`);
  // Stored constants were measured when they were made; looking at their data would load it.
  if (isOpaque(t.elemType) || storageOf(t)) return;
  if (t.data.length !== sizeOf(t.dims))
    throw new ModelError("tensor-data", `${what} has dims [${t.dims.join(", ")}] and ${t.data.length} elements`);
  const width = Array.isArray(t.data) ? 0 : t.data.BYTES_PER_ELEMENT;
  if (width !== elemBytes(t.elemType))
    throw new ModelError("tensor-data", `${what} is ${t.elemType}, but its elements take ${width} bytes`);
}
