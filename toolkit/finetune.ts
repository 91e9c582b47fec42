/** Fine-tuning as `fit` does it: the cut net learns the original's outputs, so no labels are needed. */
import type { Preprocessing, Split } from "./data/index.js";
import { feedsOf, type Graph } from "./graph/graph.js";
import { commonFeatures, FEATURE_WEIGHT } from "./methods/commonFeatures.js";
import type { CommonOptions } from "./options.js";
import { type AugmentOptions, adamW, cosineSchedule, distillation, train } from "./train/index.js";

export interface FinetuneOptions extends CommonOptions {
  /** The original; the cut net has nodes and values of the same names. */
  teacher: Graph;
  data: Split;
  epochs: number;
  seed: number;
  /** Largest rate, reached after a tenth of all steps and left along a cosine. Default 0.001. */
  learningRate?: number;
  /** Where known: decides what shifted images are filled with. */
  preprocessing?: Preprocessing;
}

/** Small batches: a net repaired in closed form starts near its goal and gains from many small steps (docs/training-notes.md). */
export const BATCH = 32;
const LEARNING_RATE = 0.001;

/** The net after `epochs` of distillation with flips and small shifts of the images. */
export async function finetune(net: Graph, o: FinetuneOptions): Promise<Graph> {
  const { graph } = await train({
    graph: net,
    data: o.data,
    loss: distillation({ teacher: o.teacher, features: commonFeatures(o.teacher, net), featureWeight: FEATURE_WEIGHT }),
    epochs: o.epochs,
    batchSize: BATCH,
    optimizer: adamW({ weightDecay: 0.01 }),
    schedule: cosineSchedule({ learningRate: o.learningRate ?? LEARNING_RATE, warmup: 0.1 }),
    ...augmentation(net, o.preprocessing),
    seed: o.seed,
    onProgress: o.onProgress,
    signal: o.signal,
  });
  return graph;
}

/** Flips and shifts by up to an eighth of the width, for images with channels first. */
export function augmentation(net: Graph, p: Preprocessing | undefined): { augment?: AugmentOptions } {
  if (p?.layout === "nhwc") return {};
  const dims = feedsOf(net)[0].type.dims ?? [];
  const padding = p ? { padValue: p.imageMean.map((m, c) => -m / p.imageStd[c]) } : {};
  return { augment: { flip: true, cropPadding: Math.round(Number(dims[dims.length - 1]) / 8), ...padding } };
}
