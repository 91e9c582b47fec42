/** What operators rewrite in themselves after a cut. */
import { attr, type OpNode, withAttributes } from "../graph/graph.js";
import { ints } from "../graph/tensor.js";
import type { SliceContext } from "./rule.js";

/** Gives the node new values for a list that is an attribute or input `i`. */
export function rewriteInts(n: OpNode, c: SliceContext, name: string, i: number, values: readonly number[]): OpNode {
  if (n.attributes[name]) return withAttributes(n, { [name]: attr.ints(values) });
  const old = c.constant(n.inputs[i]);
  c.setConstant(i, old?.elemType === "int32" ? { ...old, data: Int32Array.from(values) } : ints(values));
  return n;
}
