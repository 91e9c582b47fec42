/** Fine-tuning in integers: an INT8 net learns the original's outputs while it computes with rounded weights and activations. */

import { augmentation, BATCH, type FinetuneOptions } from "./finetune.js";
import { cloneGraph, type Graph, typeOf } from "./graph/graph.js";
import { commonFeatures, FEATURE_WEIGHT } from "./methods/commonFeatures.js";
import { trainQuantized } from "./methods/qat.js";
import { adamW, cosineSchedule, distillation } from "./train/index.js";

export interface FinetuneQuantizedOptions extends FinetuneOptions {
  /** The float net that the INT8 net was placed on: its weights are where learning starts. */
  prepared: Graph;
}

/** Largest rate: a net that was placed well is near its goal, and each step of a weight is small beside its rounding. */
const LEARNING_RATE = 0.0003;

/**
 * The INT8 net in QDQ form after `epochs` of distillation from the original, step sizes learned as well. Same nodes, so as fast as
 * before. Throws ModelError `not-quantized` for a net without integer weights.
 */
export async function finetuneQuantized(qdq: Graph, o: FinetuneQuantizedOptions): Promise<Graph> {
  const features = rounded(qdq, commonFeatures(o.teacher, o.prepared));
  const { graph } = await trainQuantized({
    graph: qdq,
    float: o.prepared,
    data: o.data,
    loss: distillation({
      teacher: withAliases(o.teacher, features),
      features: [...features.values()],
      featureWeight: FEATURE_WEIGHT,
    }),
    epochs: o.epochs,
    batchSize: BATCH,
    optimizer: adamW({ weightDecay: 0 }),
    schedule: cosineSchedule({ learningRate: o.learningRate ?? LEARNING_RATE, warmup: 0.1 }),
    ...augmentation(qdq, o.preprocessing),
    seed: o.seed,
    onProgress: o.onProgress,
    signal: o.signal,
  });
  return graph;
}

/** Float value -> its dequantised twin in the INT8 net, where it has one. */
function rounded(qdq: Graph, values: readonly string[]): Map<string, string> {
  const dequantized = new Map<string, string>();
  for (const n of qdq.nodes) {
    if (n.opType !== "QuantizeLinear") continue;
    const reader = qdq.nodes.find((r) => r.opType === "DequantizeLinear" && r.inputs[0] === n.outputs[0]);
    if (reader) dequantized.set(n.inputs[0], reader.outputs[0]);
  }
  return new Map(values.flatMap((v) => (dequantized.has(v) ? [[v, dequantized.get(v)!] as const] : [])));
}

/** The teacher with values under the names that their twins have in the student, so that both can be asked alike. */
function withAliases(teacher: Graph, aliases: ReadonlyMap<string, string>): Graph {
  const out = cloneGraph(teacher);
  const taken = new Set(teacher.nodes.flatMap((n) => n.outputs));
  for (const [value, alias] of aliases) {
    if (taken.has(alias)) continue;
    out.nodes.push({
      name: `${alias}/Identity`,
      opType: "Identity",
      domain: "",
      inputs: [value],
      outputs: [alias],
      attributes: {},
    });
    const type = typeOf(teacher, value);
    if (type) out.valueTypes.set(alias, type);
  }
  return out;
}
