/** Nodes that hold graphs. Which branch of an If runs is known only at run time, or inference has put it in the node's place. */
import { ModelError } from "../graph/errors.js";
import { at, type Dim, type OpNode, type ValueType } from "../graph/graph.js";
import type { OpRule } from "./rule.js";

/** What the branch says of its outputs. */
function declaredOutputs(n: OpNode, attribute: string): ValueType[] {
  const branch = n.attributes[attribute];
  if (branch?.type !== "graph" || branch.value.outputs.length !== n.outputs.length)
    throw new ModelError("malformed", `${at(n)} has no ${attribute} with ${n.outputs.length} outputs`, {
      where: at(n),
    });
  return branch.value.outputs.map((v) => v.type);
}

/** What is true whichever branch runs. */
function either(a: ValueType, b: ValueType): ValueType {
  if (a.elemType !== b.elemType) return { elemType: "other" };
  if (!a.dims || a.dims.length !== b.dims?.length) return { elemType: a.elemType };
  return { elemType: a.elemType, dims: a.dims.map((d, k): Dim => (d === b.dims?.[k] ? d : null)) };
}

const If: OpRule = {
  shape: (n) => {
    const no = declaredOutputs(n, "else_branch");
    return declaredOutputs(n, "then_branch").map((yes, i) => either(yes, no[i]));
  },
  frozenBecause: "takes one of two branches at run time",
};

export const rules = { If } satisfies Record<string, OpRule>;
