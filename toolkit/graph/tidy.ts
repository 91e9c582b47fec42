/**
 * Brings the graph of a file into the one form that passes expect: constants are initializers and nothing else, every
 * node has a name of its own, what is always so is not asked, and nothing is there that no output needs. Subgraphs that
 * remain are left as they are.
 */
import { namer, redirect, removeDead } from "./edit.js";
import { cloneGraph, type Graph, type OpNode } from "./graph.js";
import { branchOf, inlineBranch, inlineFunctions } from "./inline.js";
import { floats, ints, scalar, type Tensor } from "./tensor.js";
import { unshareVectors } from "./unshare.js";

/**
 * Calls of local functions are inlined; Constant nodes become initializers, initializers leave the list of graph inputs;
 * an If whose condition is a constant gives way to its branch; Identity nodes of initializers are folded, nodes without a
 * name (or with one that is taken) get one, layers that share a vector get one each, dead parts go. Values and their names stay; a Constant or Identity node that
 * makes a graph output stays too. Throws ModelError for functions and branches that are not sound.
 */
export function tidy(g: Graph): Graph {
  const named = nameNodes(foldIdentities(takeConstantBranches(constantsToInitializers(inlineFunctions(g)))));
  return unshareVectors(removeDead(named));
}

function constantsToInitializers(g: Graph): Graph {
  const out = cloneGraph(g);
  const outputs = new Set(g.outputs.map((v) => v.name));
  out.inputs = g.inputs.filter((v) => !g.initializers.has(v.name));
  out.nodes = g.nodes.filter((n) => {
    const value = outputs.has(n.outputs[0]) ? undefined : constantOf(n);
    if (!value) return true;
    out.initializers.set(n.outputs[0], value);
    return false;
  });
  return out;
}

/** Value of a Constant node in any of its forms (ONNX operator Constant-1 to -24). */
function constantOf(n: OpNode): Tensor | undefined {
  if (n.opType !== "Constant" || n.domain !== "" || n.outputs.length !== 1 || n.outputs[0] === "") return undefined;
  const { value, value_float, value_floats, value_int, value_ints, value_string, value_strings, sparse_value } =
    n.attributes;
  if (value?.type === "tensor") return value.value;
  if (value_float?.type === "float") return scalar(value_float.value);
  if (value_floats?.type === "floats") return floats(value_floats.value);
  if (value_int?.type === "int") return ints([value_int.value], []);
  if (value_ints?.type === "ints") return ints(value_ints.value);
  if (value_string?.type === "string") return { elemType: "string", dims: [], data: [value_string.value] };
  if (value_strings?.type === "strings")
    return { elemType: "string", dims: [value_strings.value.length], data: [...value_strings.value] };
  return sparse_value?.type === "opaque" ? sparse_value.dense : undefined;
}

/** Branches may hold constants and further Ifs, so what was put in is walked again. */
function takeConstantBranches(g: Graph): Graph {
  if (!g.nodes.some((n) => n.opType === "If")) return g;
  const out = cloneGraph(g);
  const unique = namer(g);
  const outputs = new Set(g.outputs.map((v) => v.name));
  out.nodes = [];
  const queue = [...g.nodes].reverse();
  for (let n = queue.pop(); n; n = queue.pop()) {
    const branch = branchOf(n, out.initializers.get(n.inputs[0] ?? ""));
    const value = outputs.has(n.outputs[0]) ? undefined : constantOf(n);
    if (branch) {
      const { nodes, initializers } = inlineBranch(n, branch, unique);
      for (const [name, t] of initializers) out.initializers.set(name, t);
      for (const inner of nodes.reverse()) queue.push(inner);
    } else if (value) out.initializers.set(n.outputs[0], value);
    else out.nodes.push(n);
  }
  return out;
}

function foldIdentities(g: Graph): Graph {
  const source = new Map<string, string>();
  for (const n of g.nodes) {
    if (n.opType !== "Identity" || n.domain !== "") continue;
    if (g.initializers.has(n.inputs[0]) || source.has(n.inputs[0])) source.set(n.outputs[0], n.inputs[0]);
  }
  return redirect(g, source);
}

function nameNodes(g: Graph): Graph {
  const unique = namer(g);
  const seen = new Set<string>();
  const nodes = g.nodes.map((n) => {
    if (n.name && !seen.has(n.name)) {
      seen.add(n.name);
      return n;
    }
    const name = unique(n.name || `${n.outputs.find((o) => o !== "") ?? ""}/${n.opType}`);
    seen.add(name);
    return { ...n, name };
  });
  return { ...cloneGraph(g), nodes };
}
