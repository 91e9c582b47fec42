/** The net as a training graph wants it: fixed batch, a known operator set, BatchNormalization on the batch's own statistics. */
import { GENERATED_IR, GENERATED_OPSET, GraphBuilder, type Ref } from "../graph/builder.js";
import { removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import { attr, attrFloat, attrInt, cloneGraph, feedsOf, type Graph, opsetOf } from "../graph/graph.js";
import { inferShapes } from "../ops/infer.js";
import { raiseOpset } from "../ops/raiseOpset.js";
import { staticDims } from "./autodiff.js";
import { beforeSigmoid, logitsOf } from "./logits.js";
import type { BuiltLoss, Loss } from "./losses.js";

/** `batch`: normalise by the statistics of the batch and follow them (training); `running`: by the stored ones (frozen). */
export type BatchNormMode = "batch" | "running";

/** A BatchNormalization that runs on batch statistics. */
export interface StatisticsUse {
  /** Initializers that hold the running statistics. */
  runningMean: string;
  runningVariance: string;
  /** Values of the training graph that hold the batch's. */
  batchMean: Ref;
  batchVariance: Ref;
  /** Share of the old value that stays, per step (ONNX's convention; 0.9 by default). */
  momentum: number;
  channels: number;
  /** Elements per channel in a batch. */
  count: number;
}

/** Forward nodes and loss, every shape inferred and static; its only output is the loss. */
export interface Forward {
  graph: Graph;
  /** Name of the image input. */
  input: string;
  built: BuiltLoss;
  /** Names of what the loss wants fed. */
  lossInputs: readonly string[];
  statistics: readonly StatisticsUse[];
}

/** The one fed input. Throws ModelError when there are several. */
export function singleInput(g: Graph): string {
  const feeds = feedsOf(g);
  if (feeds.length !== 1) {
    throw new ModelError(
      "inputs",
      `training needs a net with one input, this one has ${feeds.length}: ${feeds.map((v) => v.name).join(", ")}`,
    );
  }
  return feeds[0].name;
}

/** Raises the declared operator set to the one that gradient rules emit; forms between 13 and 17 are the same. */
function modernise(g: Graph): Graph {
  const raised = raiseOpset(g);
  if (opsetOf(raised) >= GENERATED_OPSET) return raised;
  const out = cloneGraph(raised);
  out.opsets.set("", GENERATED_OPSET);
  out.model.irVersion = Math.max(out.model.irVersion, GENERATED_IR);
  return out;
}

/** BatchNormalization nodes with stored statistics turned into their training form. */
function onBatchStatistics(g: Graph): { graph: Graph; statistics: StatisticsUse[] } {
  const out = cloneGraph(g);
  const names = new GraphBuilder(cloneGraph(g));
  const statistics: StatisticsUse[] = [];
  out.nodes = g.nodes.map((n) => {
    if (n.opType !== "BatchNormalization" || n.domain !== "" || attrInt(n, "training_mode", 0) === 1) return n;
    const [x, , , runningMean, runningVariance] = n.inputs;
    if (!g.initializers.has(runningMean) || !g.initializers.has(runningVariance)) return n;
    const batchMean = names.unique(`${n.outputs[0]}_batch_mean`);
    const batchVariance = names.unique(`${n.outputs[0]}_batch_variance`);
    const dims = staticDims(g, x);
    statistics.push({
      runningMean,
      runningVariance,
      batchMean,
      batchVariance,
      momentum: attrFloat(n, "momentum", 0.9),
      channels: dims[1],
      count: dims.reduce((a, b) => a * b, 1) / dims[1],
    });
    // With momentum 0 the running outputs are the batch's statistics.
    const { spatial: _spatial, ...attributes } = n.attributes;
    return {
      ...n,
      inputs: n.inputs.slice(0, 5),
      outputs: [n.outputs[0], batchMean, batchVariance],
      attributes: { ...attributes, training_mode: attr.int(1), momentum: attr.float(0) },
    };
  });
  return { graph: out, statistics };
}

/**
 * Puts a loss on top of a tidy net for batches of shape `dims`. Throws ModelError when shapes do not fit or the net has
 * several inputs.
 */
export function buildForward(g: Graph, dims: readonly number[], loss: Loss, mode: BatchNormMode): Forward {
  const input = singleInput(g);
  const inferred = modernise(inferShapes(g, { inputs: { [input]: dims } }));
  const { graph, statistics } = mode === "batch" ? onBatchStatistics(inferred) : { graph: inferred, statistics: [] };
  const builder = new GraphBuilder(graph);
  const lossInputs: string[] = [];
  const built = loss.build({
    g: builder,
    outputs: inferred.outputs.map((v) => ({
      name: v.name,
      ref: v.name,
      dims: staticDims(inferred, v.name),
      logits: logitsOf(inferred, v.name),
      beforeSigmoid: beforeSigmoid(inferred, v.name),
    })),
    dims: (value) => staticDims(inferred, value),
    input(name, shape, elemType) {
      const ref = builder.input(name, shape, elemType);
      lossInputs.push(ref);
      return ref;
    },
  });
  graph.outputs = [{ name: built.value, type: { elemType: "float32" } }];
  return { graph: inferShapes(removeDead(graph)), input, built, lossInputs, statistics };
}
