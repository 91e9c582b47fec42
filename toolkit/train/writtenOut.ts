/**
 * BatchNormalization's training form, written out for ONNX Runtime. Its own kernel is declared to write the running statistics over
 * its inputs, and in a session that runs many times gradients came out wrong (`docs/training-notes.md`), so a
 * training graph never holds it: the node is differentiated first and replaced here.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attr, attrFloat, attrInt, type Graph, type OpNode, opsetOf } from "../graph/graph.js";
import { range, scale } from "../ops/algebra.js";
import { staticDims } from "./autodiff.js";

/** Whether a node is BatchNormalization on the batch's own statistics. */
export const isTrainingForm = (n: OpNode): boolean =>
  n.opType === "BatchNormalization" && n.domain === "" && attrInt(n, "training_mode", 0) === 1;

/**
 * Replaces, in place, every training BatchNormalization of momentum 0 by its mean, its variance (both over the batch and population
 * forms) and the inference form that reads them, from the node number `from` on. Names of values stay. `types` holds the shapes of the
 * forward pass.
 */
export function writeOutBatchNorm(builder: GraphBuilder, types: Graph, from = 0): void {
  const { graph } = builder;
  const nodes = graph.nodes.splice(from);
  for (const n of nodes) {
    if (!isTrainingForm(n)) {
      graph.nodes.push(n);
      continue;
    }
    const [x, gamma, beta] = n.inputs;
    const [y, mean, variance] = n.outputs;
    const dims = staticDims(types, x);
    const axes = range(dims.length).filter((i) => i !== 1);
    const share = dims[1] / dims.reduce((a, b) => a * b, 1);
    const wide = scale(builder, builder.reduceSum(x, axes, true), share);
    const centred = builder.sub(x, wide);
    const spread = scale(builder, sumOfSquares(builder, centred, dims), share);
    // Emitted as nodes of their own, because these names are taken by the node that they replace.
    const shape = builder.ints([dims[1]]);
    graph.nodes.push(reshape(builder, wide, shape, mean), reshape(builder, spread, shape, variance));
    graph.nodes.push({
      ...n,
      inputs: [x, gamma, beta, mean, variance],
      outputs: [y],
      attributes: { epsilon: { type: "float", value: attrFloat(n, "epsilon", 1e-5) } },
    });
  }
}

/** Per channel, [C]: along each image's own positions first, for which the runtime has a fast kernel. */
function sumOfSquares(builder: GraphBuilder, x: Ref, dims: readonly number[]): Ref {
  const [n, channels] = dims;
  const flat = builder.reshape(x, [n, channels, -1]);
  const perImage =
    opsetOf(builder.graph) >= 18
      ? builder.emit("ReduceSumSquare", [flat, builder.ints([2])], { keepdims: attr.int(0) })
      : builder.emit("ReduceSumSquare", [flat], { axes: attr.ints([2]), keepdims: attr.int(0) });
  return builder.reduceSum(perImage, [0], false);
}

function reshape(builder: GraphBuilder, from: string, shape: string, to: string): OpNode {
  return {
    name: builder.unique(`${to}/Reshape`),
    opType: "Reshape",
    domain: "",
    inputs: [from, shape],
    outputs: [to],
    attributes: {},
  };
}
