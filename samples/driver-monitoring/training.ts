/** Trains the eye-state classifier from nothing, on crops that are rendered for it. */
import type { Graph } from "../../toolkit/graph/graph.js";
import type { Progress } from "../../toolkit/graph/progress.js";
import { writeModelFile } from "../../toolkit/onnx/index.js";
import { adamW, cosineSchedule, crossEntropy, type EpochResult, train } from "../../toolkit/train/index.js";
import { EYE_STATE_SEED, type EyeStateOptions, openEyeStateDataset } from "./dataset.js";
import { type EyeStateEvaluation, evaluateEyeState } from "./evaluate.js";
import { buildEyeStateModel } from "./model.js";

/** The recipe of the committed model. */
export const EYE_STATE_RECIPE = {
  trainEyes: 30_000,
  epochs: 12,
  batchSize: 128,
  learningRate: 4e-3,
  weightDecay: 0.05,
  warmup: 0.05,
  labelSmoothing: 0.02,
} as const;

export interface TrainEyeStateOptions extends EyeStateOptions {
  /** ONNX file to write; default: none. */
  out?: string;
  /** Default: the recipe's. */
  epochs?: number;
  /** Of the eyes, the initial weights and the order of the batches. Default `EYE_STATE_SEED`. */
  seed?: number;
  /** File that is written after every epoch, and from which `resume` goes on. */
  checkpoint?: string;
  resume?: boolean;
  /** Threads of the runtime. Default 2; the result depends on their number. */
  threads?: number;
  onProgress?: Progress;
  signal?: AbortSignal;
}

export interface TrainedEyeState {
  graph: Graph;
  /** On the test part, which training never reads. */
  evaluation: EyeStateEvaluation;
  /** One entry per epoch; `metric` is the accuracy on a fixed thousand of the training eyes, in inference mode. */
  history: readonly EpochResult[];
  /** Rendering included. */
  seconds: number;
}

/** Training eyes whose accuracy is followed from epoch to epoch. */
const FOLLOWED = 1000;

/**
 * Renders the data, trains the classifier of `buildEyeStateModel`, and evaluates it once, at the end, on the test part.
 * Nothing is chosen by the test part: the last epoch's weights are the result.
 */
export async function trainEyeState(o: TrainEyeStateOptions = {}): Promise<TrainedEyeState> {
  const started = performance.now();
  const seed = o.seed ?? EYE_STATE_SEED;
  const { threads = 2, onProgress, signal } = o;
  const recipe = EYE_STATE_RECIPE;
  const data = await openEyeStateDataset({ ...o, train: o.train ?? recipe.trainEyes, seed });
  await data.prepare({ onProgress, signal });
  const { graph, history } = await train({
    graph: buildEyeStateModel(seed),
    data: data.train,
    loss: crossEntropy({ labelSmoothing: recipe.labelSmoothing }),
    epochs: o.epochs ?? recipe.epochs,
    batchSize: recipe.batchSize,
    optimizer: adamW({ weightDecay: recipe.weightDecay }),
    schedule: cosineSchedule({ learningRate: recipe.learningRate, warmup: recipe.warmup }),
    augment: { flip: true },
    seed,
    threads,
    evaluate: async (g) => (await evaluateEyeState(g, data.train, { limit: FOLLOWED, threads })).accuracy,
    onProgress,
    signal,
    checkpoint: o.checkpoint,
    resume: o.resume,
  });
  const evaluation = await evaluateEyeState(graph, data.test, { threads, onProgress, signal });
  if (o.out !== undefined) await writeModelFile(o.out, graph);
  return { graph, evaluation, history, seconds: (performance.now() - started) / 1000 };
}
