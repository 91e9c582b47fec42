/**
 * Bodies that a graph keeps aside, put in the place of the node that stands for them: local functions, and the branch of an
 * `If` that is always taken. Names of a body live in a scope of their own, so everything in it gets a name that is new.
 */
import { namer } from "./edit.js";
import { ModelError } from "./errors.js";
import { type Attribute, at, cloneGraph, type Graph, type LocalFunction, type OpNode } from "./graph.js";
import { namesDefinedIn, subgraphsOf } from "./scope.js";
import type { Tensor } from "./tensor.js";

/** A file of a few bytes can describe functions that call each other to any number of nodes. */
const MAX_NODES = 30_000;
/** And some exporters nest a handful; none nests a hundred. */
const MAX_DEPTH = 100;

type Unique = (base: string) => string;

/** What a body is copied with. */
interface Copying {
  unique: Unique;
  /** Value of an attribute of the function being called; undefined when neither the call nor a default gives one. */
  attribute(name: string): Attribute | undefined;
  /** Inner name -> outer name; undefined for a name that the body does not know. */
  nameOf(inner: string): string | undefined;
}

/**
 * The graph with every call of a local function replaced by the function's nodes, at any depth and in subgraphs too. The
 * function table is gone afterwards. Inlined nodes are named `call/node`. Throws ModelError for a function that calls
 * itself, that reads what it does not make, or that grows beyond 30,000 nodes.
 */
export function inlineFunctions(g: Graph): Graph {
  if (!g.functions) return g;
  const { functions, ...rest } = g;
  const out = cloneGraph(rest);
  if (functions.length === 0) return out;
  const table = new Map<string, LocalFunction>();
  for (const f of functions) {
    const key = keyOf(f.domain, f.name, f.overload);
    if (table.has(key)) throw new ModelError("malformed", `the model holds two local functions "${f.name}"`);
    table.set(key, f);
  }
  const inliner = new Inliner(table, namer(g));
  out.nodes = inliner.expand(g.nodes, []);
  for (const f of inliner.used)
    for (const [domain, version] of f.opsets) if (!out.opsets.has(domain)) out.opsets.set(domain, version);
  return out;
}

const keyOf = (domain: string, name: string, overload = ""): string => JSON.stringify([domain, name, overload]);

class Inliner {
  readonly used = new Set<LocalFunction>();
  private count = 0;

  constructor(
    private readonly table: ReadonlyMap<string, LocalFunction>,
    private readonly unique: Unique,
  ) {}

  /** `calls`: the functions whose bodies are being copied around these nodes. */
  expand(nodes: readonly OpNode[], calls: readonly LocalFunction[]): OpNode[] {
    const out: OpNode[] = [];
    for (const n of nodes) {
      const f = this.table.get(keyOf(n.domain, n.opType, n.overload));
      if (calls.length > 0 && ++this.count > MAX_NODES)
        throw new ModelError("too-large", `the model's local functions amount to more than ${MAX_NODES} nodes`);
      if (!f) {
        out.push(this.withExpandedSubgraphs(n, calls));
        continue;
      }
      if (calls.includes(f)) throw new ModelError("cycle", `local function "${f.name}" calls itself`, { where: at(n) });
      if (calls.length === MAX_DEPTH)
        throw new ModelError("too-large", `the model's local functions call each other more than ${MAX_DEPTH} deep`);
      this.used.add(f);
      for (const inner of this.expand(instantiate(f, n, this.unique), [...calls, f])) out.push(inner);
    }
    return out;
  }

  private withExpandedSubgraphs(n: OpNode, calls: readonly LocalFunction[]): OpNode {
    const changed: Record<string, Attribute> = {};
    for (const { attribute, graph } of subgraphsOf(n))
      changed[attribute] = { type: "graph", value: { ...cloneGraph(graph), nodes: this.expand(graph.nodes, calls) } };
    return Object.keys(changed).length > 0 ? { ...n, attributes: { ...n.attributes, ...changed } } : n;
  }
}

/** The nodes of a function, reading and making what the call reads and makes. */
function instantiate(f: LocalFunction, call: OpNode, unique: Unique): OpNode[] {
  if (call.inputs.length > f.inputs.length || call.outputs.length > f.outputs.length)
    throw new ModelError(
      "malformed",
      `${at(call)} gives ${call.inputs.length} inputs and takes ${call.outputs.length} outputs of a local function that has ${f.inputs.length} and ${f.outputs.length}`,
      { where: at(call) },
    );
  const base = call.name || call.outputs.find((o) => o !== "") || f.name;
  const names = new Map<string, string>();
  f.inputs.forEach((name, i) => {
    names.set(name, call.inputs[i] ?? "");
  });
  const passed: OpNode[] = [];
  f.outputs.forEach((name, i) => {
    const outer = call.outputs[i] ?? "";
    if (outer === "") return;
    // An output that the body does not make under this name alone is handed on by a node.
    if (!names.has(name)) names.set(name, outer);
    else passed.push(identity(names.get(name)!, outer, unique(`${base}/${name}`)));
  });
  for (const n of f.nodes)
    for (const o of n.outputs) {
      if (o === "") continue;
      if (f.inputs.includes(o))
        throw new ModelError("duplicate-value", `local function "${f.name}" makes its own input "${o}"`);
      if (!names.has(o)) names.set(o, unique(`${base}/${o}`));
    }
  const made = new Set(f.nodes.flatMap((n) => n.outputs));
  for (const o of f.outputs)
    if (!made.has(o) && !f.inputs.includes(o))
      throw new ModelError("unknown-value", `local function "${f.name}" does not make its output "${o}"`);
  const copying: Copying = {
    unique,
    attribute: (name) => call.attributes[name] ?? f.attributes.get(name),
    nameOf: (inner) => names.get(inner),
  };
  return [...f.nodes.map((n) => copyNode(n, copying, base, f.name)), ...passed];
}

const identity = (from: string, to: string, name: string): OpNode => ({
  name,
  opType: "Identity",
  domain: "",
  inputs: [from],
  outputs: [to],
  attributes: {},
});

function copyNode(n: OpNode, c: Copying, prefix: string, body: string): OpNode {
  const outer = (name: string): string => {
    if (name === "") return "";
    const known = c.nameOf(name);
    if (known === undefined)
      throw new ModelError("unknown-value", `${at(n)} in "${body}" reads "${name}", which nothing there makes`);
    return known;
  };
  const attributes: Record<string, Attribute> = {};
  for (const [name, a] of Object.entries(n.attributes)) {
    const given = a.type === "opaque" && a.reference !== undefined ? c.attribute(a.reference) : a;
    if (given)
      attributes[name] = given.type === "graph" ? { type: "graph", value: copyGraph(given.value, c, body) } : given;
  }
  return {
    ...n,
    name: c.unique(`${prefix}/${n.name || n.opType}`),
    inputs: n.inputs.map(outer),
    outputs: n.outputs.map(outer),
    attributes,
  };
}

/** A subgraph with new names for all that it defines; what it captures is read under its outer name. */
function copyGraph(sub: Graph, c: Copying, body: string): Graph {
  const own = new Map<string, string>();
  for (const name of namesDefinedIn(sub)) own.set(name, c.unique(name));
  const inner: Copying = { ...c, nameOf: (name) => own.get(name) ?? c.nameOf(name) };
  const rename = (name: string): string => inner.nameOf(name) ?? name;
  return {
    ...cloneGraph(sub),
    nodes: sub.nodes.map((n) => copyNode(n, inner, sub.name, body)),
    inputs: sub.inputs.map((v) => ({ ...v, name: rename(v.name) })),
    outputs: sub.outputs.map((v) => ({ ...v, name: rename(v.name) })),
    initializers: new Map([...sub.initializers].map(([name, t]) => [rename(name), t])),
    valueTypes: new Map([...sub.valueTypes].map(([name, t]) => [rename(name), t])),
  };
}

/** The branch that an If takes, given its condition; undefined for other nodes and where the condition is no known boolean. */
export function branchOf(n: OpNode, condition: Tensor | undefined): Graph | undefined {
  if (n.opType !== "If" || n.domain !== "" || condition?.elemType !== "bool" || condition.data.length !== 1)
    return undefined;
  const branch = n.attributes[condition.data[0] ? "then_branch" : "else_branch"];
  return branch?.type === "graph" ? branch.value : undefined;
}

/** A body in the place of a node. */
export interface Inlined {
  nodes: OpNode[];
  initializers: Map<string, Tensor>;
}

/**
 * The nodes and constants of the subgraph `branch` of `n`, making the outputs of `n`. What the branch defines gets new
 * names by `unique`; what it captures keeps its name. Throws ModelError when the numbers of outputs differ or the branch
 * has inputs.
 */
export function inlineBranch(n: OpNode, branch: Graph, unique: Unique): Inlined {
  if (branch.inputs.some((v) => !branch.initializers.has(v.name)) || branch.outputs.length !== n.outputs.length)
    throw new ModelError(
      "malformed",
      `${at(n)} has ${n.outputs.length} outputs and a branch with ${branch.outputs.length} (and ${branch.inputs.length} inputs)`,
      { where: at(n) },
    );
  const makes = new Set(branch.nodes.flatMap((inner) => inner.outputs));
  const names = new Map<string, string>();
  const passed: [inner: string, outer: string][] = [];
  branch.outputs.forEach(({ name }, i) => {
    const outer = n.outputs[i];
    if (outer === "") return;
    if (makes.has(name) && !names.has(name)) names.set(name, outer);
    else passed.push([name, outer]);
  });
  for (const name of namesDefinedIn(branch)) if (!names.has(name)) names.set(name, unique(name));
  const copying: Copying = {
    unique,
    attribute: () => undefined,
    nameOf: (inner) => names.get(inner) ?? inner,
  };
  const nodes = branch.nodes.map((inner) => copyNode(inner, copying, n.name || n.opType, branch.name));
  for (const [inner, outer] of passed)
    nodes.push(identity(names.get(inner) ?? inner, outer, unique(`${n.name}/${outer}`)));
  const initializers = new Map([...branch.initializers].map(([name, t]) => [names.get(name) ?? name, t]));
  return { nodes, initializers };
}
