/**
 * Quantisation-aware training: the net learns while it computes as its INT8 form will.
 *
 * - Rounding is passed straight through in the backward pass (Jacob et al. 2018, "Quantization and Training of Neural Networks for
 *   Efficient Integer-Arithmetic-Only Inference").
 * - Step sizes of weights and activations are learned (Esser et al. 2020, "Learned Step Size Quantization", equations 3 and 4); their
 *   gradients come from the rules of Quantize and Dequantize.
 * - Batch norms are folded into the weights before training, so forward passes are those of inference.
 *
 * Deviation: with an optimiser that divides by the size of gradients (AdamW), LSQ's gradient scale 1/sqrt(N Qmax) has no effect;
 * steps are then relative to the step size itself.
 */
import type { Graph } from "../graph/graph.js";
import { sizeOf, toFloat32 } from "../graph/tensor.js";
import { type TrainOptions, type TrainResult, train } from "../train/index.js";
import { fromTrainable, type Trainable, toTrainable } from "./quantizedTraining.js";

export interface QatOptions extends Omit<TrainOptions, "graph" | "rate" | "batchNorm" | "freeze" | "evaluate"> {
  /** A graph in QDQ form: where integers are used, and the steps to start from. */
  graph: Graph;
  /** The float graph that it was made from; its weights are where learning starts. */
  float?: Graph;
  /** Whether step sizes are learned as well. Default true. */
  learnScales?: boolean;
  /** A figure for the history, of the QDQ graph after each epoch. */
  evaluate?: (graph: Graph) => Promise<number>;
}

/** Trains a QDQ graph. The result has the same nodes: only weights, biases and scales changed. */
export async function trainQuantized(o: QatOptions): Promise<TrainResult> {
  const t = toTrainable(o.graph, o.float);
  const learned = new Set(o.learnScales === false ? [] : [...t.activationScales, ...learnedWeightScales(t)]);
  const scales = new Set([...t.weights.map((w) => w.scale), ...t.activationScales, ...t.fixedScales]);
  const rates = o.optimizer.name === "sgd" ? gradientScales(t, o.graph) : relativeSteps(t, o.graph);
  const { graph: _graph, float: _float, learnScales: _learn, evaluate, ...rest } = o;
  const result = await train({
    ...rest,
    graph: t.graph,
    freeze: (name) => scales.has(name) && !learned.has(name),
    rate: (name) => rates.get(name),
    ...(evaluate ? { evaluate: (g: Graph) => evaluate(fromTrainable(o.graph, t, g)) } : {}),
  });
  return { ...result, graph: fromTrainable(o.graph, t, result.graph) };
}

/** Where 7 bits are wanted, integers must not outgrow them: their steps stay. */
const learnedWeightScales = (t: Trainable): string[] =>
  t.weights.filter((w) => w.limit === 127 && !t.fixedScales.has(w.scale)).map((w) => w.scale);

/** 1 / sqrt(N Qmax) per step size; N is the number of weights, or of an activation's elements per image. */
function gradientScales(t: Trainable, qdq: Graph): Map<string, number> {
  const out = new Map<string, number>();
  for (const w of t.weights) {
    const perScale = sizeOf(qdq.initializers.get(w.codes)!.dims) / (qdq.initializers.get(w.scale)?.data.length ?? 1);
    out.set(w.scale, 1 / Math.sqrt(perScale * w.limit));
  }
  const learned = new Set(t.activationScales);
  for (const n of qdq.nodes) {
    const scale = n.inputs[1];
    if (n.opType !== "QuantizeLinear" || !learned.has(scale)) continue;
    const dims = qdq.valueTypes.get(n.outputs[0])?.dims ?? [];
    const elements = sizeOf(dims.slice(1).map((d) => (typeof d === "number" ? d : 1)));
    out.set(scale, Math.min(out.get(scale) ?? 1, 1 / Math.sqrt(Math.max(1, elements) * 255)));
  }
  return out;
}

/** Each step size moves in proportion to itself. */
function relativeSteps(t: Trainable, qdq: Graph): Map<string, Float32Array> {
  const out = new Map<string, Float32Array>();
  for (const name of [...t.weights.map((w) => w.scale), ...t.activationScales])
    out.set(name, toFloat32(qdq.initializers.get(name)!));
  return out;
}
