/** Fine-tuning as `fit` does it: the cut net learns the original's outputs, so no labels are needed. */
import type { Preprocessing, Split } from "./data/index.js";
import { feedsOf, type Graph } from "./graph/graph.js";
import type { CommonOptions } from "./options.js";
import { cosineSchedule, distillation, sgd, train } from "./train/index.js";

export interface FinetuneOptions extends CommonOptions {
  /** The original. */
  teacher: Graph;
  data: Split;
  epochs: number;
  seed: number;
  /** Largest rate, reached after a tenth of all steps and left along a cosine. Default 0.02. */
  learningRate?: number;
  /** Where known: decides what shifted images are filled with. */
  preprocessing?: Preprocessing;
}

const BATCH = 128;

/** The net after `epochs` of distillation with flips and small shifts of the images. */
export async function finetune(net: Graph, o: FinetuneOptions): Promise<Graph> {
  const dims = feedsOf(net)[0].type.dims ?? [];
  const width = Number(dims[dims.length - 1]);
  const p = o.preprocessing;
  const { graph } = await train({
    graph: net,
    data: o.data,
    loss: distillation({ teacher: o.teacher }),
    epochs: o.epochs,
    batchSize: BATCH,
    optimizer: sgd({ momentum: 0.9, nesterov: true, weightDecay: 1e-4 }),
    schedule: cosineSchedule({ learningRate: o.learningRate ?? 0.02, warmup: 0.1 }),
    ...(p?.layout === "nhwc"
      ? {}
      : {
          augment: {
            flip: true,
            cropPadding: Math.round(width / 8),
            ...(p ? { padValue: p.imageMean.map((m, c) => -m / p.imageStd[c]) } : {}),
          },
        }),
    seed: o.seed,
    onProgress: o.onProgress,
    signal: o.signal,
  });
  return graph;
}
