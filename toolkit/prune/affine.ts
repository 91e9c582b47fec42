/** What stands behind a linear node: a per-channel affine step, a sum with something else. */
import { type Graph, type OpNode, opsetOf, type Use, usesOf } from "../graph/graph.js";
import { ruleFor } from "../ops/index.js";
import type { ChannelAffine, OpRule } from "../ops/rule.js";
import type { LinearNode } from "./gram.js";

const ruleOf = (g: Graph, n: OpNode): OpRule | undefined => ruleFor(n, opsetOf(g, n.domain));

/** The one reader of a value, if it has exactly one and the value is no graph output. */
function onlyUse(g: Graph, uses: ReadonlyMap<string, Use[]>, value: string): Use | undefined {
  const list = uses.get(value) ?? [];
  return list.length === 1 && !g.outputs.some((v) => v.name === value) ? list[0] : undefined;
}

/** The affine step that alone reads a linear node's output. */
export function affineAfter(g: Graph, n: LinearNode, uses = usesOf(g)): ChannelAffine | undefined {
  const use = onlyUse(g, uses, n.output);
  return use && ruleOf(g, use.node)?.affine?.(use.node, (name) => g.initializers.get(name));
}

/** The sum that a linear node feeds, directly or through one affine step: its output, and the value on its other side. */
export interface SumBehind {
  sum: string;
  other: string;
  affine?: ChannelAffine;
}

/** The two-sided sum behind a linear node, if nothing else reads what lies between. */
export function sumBehind(g: Graph, n: LinearNode, uses = usesOf(g)): SumBehind | undefined {
  let use = onlyUse(g, uses, n.output);
  const affine = affineAfter(g, n, uses);
  if (use && affine) use = onlyUse(g, uses, use.node.outputs[0]);
  if (!use || !ruleOf(g, use.node)?.sums || use.node.inputs.length !== 2) return undefined;
  return { sum: use.node.outputs[0], other: use.node.inputs[1 - use.index], ...(affine ? { affine } : {}) };
}
