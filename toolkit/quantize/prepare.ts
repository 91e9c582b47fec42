/** The float graph that is observed, measured and quantised: one form for all of them, so that names mean the same. */

import { redirect, removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import { type Graph, type OpNode, opsetOf, typeOf, type ValueType } from "../graph/graph.js";
import { tidy } from "../graph/tidy.js";
import { foldBatchNorm } from "../ops/foldBatchNorm.js";
import { inferShapes } from "../ops/infer.js";
import { toIntegerForms } from "../ops/integerForms.js";
import { RAISED_OPSET, raiseOpset } from "../ops/raiseOpset.js";

/** Last operator set whose QuantizeLinear ONNX Runtime accepts with 8-bit types in every form that is written here. */
const NEWEST = 21;

/**
 * Tidy, with shapes, batch norms folded, in operators that have integer kernels, at operator set 13 or later. Preparing twice changes nothing. Throws ModelError
 * for operator sets that cannot be raised or are newer than 21.
 */
export function prepareForQuantization(g: Graph): Graph {
  const opset = opsetOf(g);
  if (opset > NEWEST) {
    throw new ModelError("opset-new", `the model uses operator set ${opset}; INT8 models are written up to ${NEWEST}`, {
      hint: `export the model again with opset ${NEWEST} or older`,
    });
  }
  // What an operator without a rule makes is taken from the file or from an earlier inference; else its type is not
  // known, and what reads it stays float.
  const unknown = (n: OpNode): ValueType[] => n.outputs.map((v) => typeOf(g, v) ?? { elemType: "other" });
  const inferred = inferShapes(tidy(g), { unknown });
  const raised = opset < RAISED_OPSET ? inferShapes(raiseOpset(inferred), { unknown }) : inferred;
  return toIntegerForms(foldBatchNorm(withoutIdentities(raised)));
}

/** Nodes that do nothing at inference would stand between operators that belong together. */
function withoutIdentities(g: Graph): Graph {
  const outputs = new Set(g.outputs.map((v) => v.name));
  const source = new Map<string, string>();
  for (const n of g.nodes) {
    const idle = n.domain === "" && (n.opType === "Identity" || (n.opType === "Dropout" && isIdleDropout(n)));
    if (idle && !outputs.has(n.outputs[0]) && !n.outputs[1]) source.set(n.outputs[0], n.inputs[0]);
  }
  return removeDead(redirect(g, source));
}

/** Since operator set 12 an input can switch training on. */
const isIdleDropout = (n: OpNode): boolean => (n.inputs[2] ?? "") === "";
