/** Physical removal of channels: parameters are cut, attributes and shape constants rewritten, nothing is added. */
import { checkGraph } from "../graph/check.js";
import { namer, removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph, type OpNode, opsetOf, typeOf } from "../graph/graph.js";
import { readsOf } from "../graph/scope.js";
import type { Tensor } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import { inferShapes } from "../ops/infer.js";
import { takeAxis } from "../ops/layout.js";
import type { SliceContext } from "../ops/rule.js";
import { type ChannelGroups, checkKeep, type Keep, keptPositions } from "./groups.js";

/**
 * The graph with only the kept channels. Names of nodes and values stay; types are those of the smaller net. All or
 * nothing: the result has passed `checkGraph` and shape inference, and every shape is the predicted one.
 * Throws ModelError for keep sets that do not fit the groups.
 */
export function sliceGraph(g: Graph, groups: ChannelGroups, keep: Keep): Graph {
  checkKeep(groups, keep);
  const cuts = cutsOf(groups, keep);
  if (cuts.size === 0) return g;
  const out = cloneGraph(g);
  for (const [name, axes] of cuts) {
    const whole = out.initializers.get(name);
    if (!whole) continue;
    let cut: Tensor = whole;
    for (const [axis, kept] of axes) cut = takeAxis(cut, axis, kept);
    out.initializers.set(name, cut);
  }
  const readers = countReaders(g);
  const unique = namer(g);
  out.nodes = g.nodes.map((n) => resized(n, g, out, cuts, readers, unique));
  const sliced = inferShapes(removeDead(out), {
    unknown: (n) => n.outputs.map((y) => typeOf(g, y) ?? { elemType: "other" }),
  });
  checkGraph(sliced);
  verify(g, sliced, cuts);
  return sliced;
}

/** value -> axis -> kept positions, for every axis that loses some. */
type Cuts = Map<string, Map<number, Int32Array>>;

function cutsOf(groups: ChannelGroups, keep: Keep): Cuts {
  const out: Cuts = new Map();
  for (const value of groups.values()) {
    groups.symbolicDims(value).forEach((_, axis) => {
      const kept = keptPositions(groups, keep, value, axis);
      if (!kept) return;
      const own = out.get(value) ?? new Map<number, Int32Array>();
      out.set(value, own.set(axis, kept));
    });
  }
  return out;
}

function countReaders(g: Graph): Map<string, number> {
  const out = new Map<string, number>();
  for (const n of g.nodes) for (const name of readsOf(n)) out.set(name, (out.get(name) ?? 0) + 1);
  return out;
}

function resized(
  n: OpNode,
  g: Graph,
  out: Graph,
  cuts: Cuts,
  readers: Map<string, number>,
  unique: (base: string) => string,
): OpNode {
  const opset = opsetOf(g, n.domain);
  const rule = ruleFor(n, opset);
  if (!rule?.resize || ![...n.inputs, ...n.outputs].some((name) => cuts.has(name))) return n;
  const before = (name: string): number[] => (typeOf(g, name)?.dims ?? []).map((d) => (typeof d === "number" ? d : 1));
  const constants = new Map<number, string>();
  const context: SliceContext = {
    opset,
    kept: (name, axis) => cuts.get(name)?.get(axis),
    dimsBefore: before,
    dimsAfter: (name) => before(name).map((d, axis) => cuts.get(name)?.get(axis)?.length ?? d),
    constant: (name) => g.initializers.get(name),
    setConstant: (i, value) => {
      const old = n.inputs[i] ?? "";
      const name = old !== "" && readers.get(old) === 1 ? old : unique(`${n.name}_${old || "constant"}`);
      out.initializers.set(name, value);
      constants.set(i, name);
    },
  };
  const changed = rule.resize(n, context);
  if (constants.size === 0) return changed;
  const inputs = [...changed.inputs];
  for (const [i, name] of constants) {
    while (inputs.length < i) inputs.push("");
    inputs[i] = name;
  }
  return { ...changed, inputs };
}

function verify(g: Graph, sliced: Graph, cuts: Cuts): void {
  for (const n of sliced.nodes) {
    for (const y of n.outputs) {
      const [before, after] = [typeOf(g, y)?.dims, typeOf(sliced, y)?.dims];
      if (!y || !before || !after) continue;
      const expected = before.map((d, axis) => cuts.get(y)?.get(axis)?.length ?? d);
      if (expected.join() === after.join()) continue;
      throw new ModelError("slice", `after the cut "${y}" is [${after.join()}] instead of [${expected.join()}]`, {
        where: n.name,
        hint: "this is a bug in edgefit, please report it",
      });
    }
  }
}
