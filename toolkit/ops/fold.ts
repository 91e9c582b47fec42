/**
 * Folding of constants with the help of a runtime: every node that reads nothing but constants becomes a constant itself. What a
 * rule can evaluate is evaluated here; the rest is put to the runtime, node by node. Names no operator.
 */
import { removeDead } from "../graph/edit.js";
import { cloneGraph, type Graph, type OpNode, opsetOf } from "../graph/graph.js";
import { readsOf, subgraphsOf } from "../graph/scope.js";
import { isOpaque, sizeOf, type Tensor } from "../graph/tensor.js";
import { ruleFor } from "./index.js";

/** Runs a graph without inputs once; undefined where the runtime cannot run it. */
export type EvaluateGraph = (g: Graph) => Promise<Record<string, Tensor> | undefined>;

/** Nothing larger than this many elements is read or made: a file should not grow by what a node can make. */
const FOLD_LIMIT = 1 << 22;

/**
 * Constants of `g` that follow from its initializers, as initializers. Nodes stay that make a graph output, that have no rule
 * (what they do is not known), whose rule says `folds: false`, that hold subgraphs, and those that the runtime refuses.
 * Expects a graph with inferred shapes. Throws what `evaluate` throws.
 */
export async function foldConstants(g: Graph, evaluate: EvaluateGraph): Promise<Graph> {
  const out = cloneGraph(g);
  const outputs = new Set(g.outputs.map((v) => v.name));
  out.nodes = [];
  for (const n of g.nodes) {
    const values = mayFold(n, out, outputs) ? await valuesOf(n, out, evaluate) : undefined;
    if (!values) out.nodes.push(n);
    else for (const [i, y] of n.outputs.entries()) if (y) out.initializers.set(y, values[i]);
  }
  return out.nodes.length === g.nodes.length ? g : removeDead(out);
}

function mayFold(n: OpNode, g: Graph, outputs: ReadonlySet<string>): boolean {
  const rule = ruleFor(n, opsetOf(g, n.domain));
  if (!rule || rule.folds === false || subgraphsOf(n).length > 0 || n.outputs.some((y) => outputs.has(y))) return false;
  if (!n.outputs.every((y) => y === "" || isSmall(y, g))) return false;
  return readsOf(n).every((name) => {
    const t = g.initializers.get(name);
    return t !== undefined && !isOpaque(t.elemType) && sizeOf(t.dims) <= FOLD_LIMIT;
  });
}

/** Lengths that only the values tell (places of non-zero elements) are bounded by what is there already. */
function isSmall(value: string, g: Graph): boolean {
  const dims = g.valueTypes.get(value)?.dims;
  return dims !== undefined && sizeOf(dims.map((d) => (typeof d === "number" ? d : 1))) <= FOLD_LIMIT;
}

async function valuesOf(n: OpNode, g: Graph, evaluate: EvaluateGraph): Promise<Tensor[] | undefined> {
  const opset = opsetOf(g, n.domain);
  const inputs = n.inputs.map((name) => (name ? g.initializers.get(name) : undefined));
  return ruleFor(n, opset)?.evaluate?.(n, inputs, opset) ?? (await byRuntime(n, g, evaluate));
}

async function byRuntime(n: OpNode, g: Graph, evaluate: EvaluateGraph): Promise<Tensor[] | undefined> {
  const elemTypeOf = (name: string) => g.valueTypes.get(name)?.elemType ?? "other";
  const found = await evaluate({
    ...cloneGraph(g),
    nodes: [n],
    inputs: [],
    outputs: n.outputs.filter((y) => y !== "").map((name) => ({ name, type: { elemType: elemTypeOf(name) } })),
    initializers: new Map(n.inputs.filter((name) => name !== "").map((name) => [name, g.initializers.get(name)!])),
    valueTypes: new Map(),
  });
  return found && n.outputs.map((y) => found[y]);
}
