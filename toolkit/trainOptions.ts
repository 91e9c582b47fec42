/** What the story `train` is asked for by name, and the losses, optimisers, schedules and changes of images behind the names. */
import type { Dataset, Preprocessing } from "./data/index.js";
import { UsageError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import type { CommonOptions, PreprocessOptions } from "./options.js";
import {
  type AugmentOptions,
  adamW,
  binaryCrossEntropy,
  combineLosses,
  constantSchedule,
  cosineSchedule,
  crossEntropy,
  distillation,
  type EpochResult,
  huber,
  type Loss,
  lars,
  meanAbsoluteError,
  meanSquaredError,
  type Optimizer,
  oneCycleSchedule,
  retrainingSchedule,
  rmsprop,
  type Schedule,
  sgd,
  stepSchedule,
} from "./train/index.js";

export const lossNames = ["cross-entropy", "distillation", "binary-cross-entropy", "mse", "l1", "huber"] as const;
export const optimizerNames = ["sgd", "adamw", "rmsprop", "lars"] as const;
export const scheduleNames = ["cosine", "one-cycle", "step", "retraining", "constant"] as const;
export type LossName = (typeof lossNames)[number];
export type OptimizerName = (typeof optimizerNames)[number];
export type ScheduleName = (typeof scheduleNames)[number];

export interface TrainModelOptions extends CommonOptions {
  /** Path of the ONNX file, or a graph, such as one of the zoo. */
  model: string | Graph;
  /** `FORMAT:PATH` or an open data set. Training reads its training part only. */
  data: string | Dataset;
  preprocess?: PreprocessOptions;
  /** Values of symbolic dimensions other than the batch. */
  dims?: Record<string, number>;
  /** A net to learn from, with the same input and outputs: path or graph. */
  teacher?: string | Graph;
  /** Default `distillation` with a teacher, else `cross-entropy`. */
  loss?: LossName | Loss;
  /** Share of cross-entropy with the labels beside distillation, from 0 to 1. Default 0. */
  labelShare?: number;
  /** Of distillation. Default 4. */
  temperature?: number;
  /** Default 0. */
  labelSmoothing?: number;
  /** Default `sgd`, with Nesterov's momentum of 0.9. */
  optimizer?: OptimizerName | Optimizer;
  /** Default 5e-4 (sgd), 0.05 (adamw), 1e-4 (rmsprop, lars); biases and normalisation are left alone. */
  weightDecay?: number;
  /** Default `cosine`. */
  schedule?: ScheduleName | Schedule;
  /** The largest rate. Default 0.05 (sgd), 0.002 (adamw), 0.001 (rmsprop), 2 (lars). */
  learningRate?: number;
  /** Share of all steps over which the rate climbs first. Default 0.05 (one-cycle: 0.3, retraining: 0.1). */
  warmup?: number;
  /** Default 20. */
  epochs?: number;
  /** Default 128. */
  batchSize?: number;
  /** Batches whose mean gradient makes one step. Default 1. */
  accumulate?: number;
  /** Limit of the gradient's norm. Default: none. */
  clipGradientNorm?: number;
  /** Of a moving average of the weights, which becomes the result. Default: none. */
  averageDecay?: number;
  /** Default: flips, and shifts by an eighth of the width. */
  augment?: AugmentOptions;
  /** Share of the training images that is held out to follow the accuracy, at most 1,000 of them. Default 0.05. */
  heldOut?: number;
  /** At most this many images of the test part for the accuracy at the end. Default: all. */
  limit?: number;
  /** Stop after this many epochs without improvement on the held-out images and keep the best. Default: never. */
  patience?: number;
  /** Names of constants that stay as they are. */
  freeze?: (name: string) => boolean;
  /** Normalise by the stored statistics instead of the batch's. Default false. */
  freezeStatistics?: boolean;
  /** Every random choice derives from it. Default 1. */
  seed?: number;
  /** Threads of the runtime; the last digits of the result depend on it. Default: as many as the process may use. */
  threads?: number;
  /** File that is written after every epoch and when the run is stopped. */
  checkpoint?: string;
  /** Go on from `checkpoint`. Default false. */
  resume?: boolean;
  /** Called after every epoch. */
  onEpoch?: (result: EpochResult) => void;
}

/** The loss of a run, and its name. */
export function lossOf(o: TrainModelOptions, teacher: Graph | undefined): Loss {
  const { loss = teacher ? "distillation" : "cross-entropy", labelSmoothing = 0, labelShare = 0 } = o;
  if (typeof loss !== "string") return loss;
  switch (loss) {
    case "cross-entropy":
      return crossEntropy({ labelSmoothing });
    case "binary-cross-entropy":
      return binaryCrossEntropy({ labelSmoothing });
    case "mse":
      return meanSquaredError();
    case "l1":
      return meanAbsoluteError();
    case "huber":
      return huber();
    case "distillation": {
      if (!teacher) throw new UsageError("teacher-missing", "distillation needs a teacher", { hint: "give --teacher" });
      const soft = distillation({ teacher, temperature: o.temperature, threads: o.threads });
      if (!(labelShare >= 0 && labelShare <= 1))
        throw new UsageError("train-options", `labelShare must lie between 0 and 1, got ${labelShare}`);
      if (labelShare === 0) return soft;
      return combineLosses([
        { loss: soft, weight: 1 - labelShare },
        { loss: crossEntropy({ labelSmoothing }), weight: labelShare },
      ]);
    }
  }
}

const defaults: Record<OptimizerName, { learningRate: number; make: (weightDecay?: number) => Optimizer }> = {
  sgd: { learningRate: 0.05, make: (weightDecay = 5e-4) => sgd({ nesterov: true, weightDecay }) },
  adamw: { learningRate: 0.002, make: (weightDecay = 0.05) => adamW({ weightDecay }) },
  rmsprop: { learningRate: 0.001, make: (weightDecay = 1e-4) => rmsprop({ momentum: 0.9, weightDecay }) },
  lars: { learningRate: 2, make: (weightDecay = 1e-4) => lars({ weightDecay }) },
};

export function optimizerOf({ optimizer = "sgd", weightDecay }: TrainModelOptions): Optimizer {
  return typeof optimizer === "string" ? defaults[optimizer].make(weightDecay) : optimizer;
}

export function scheduleOf(o: TrainModelOptions): Schedule {
  const { schedule = "cosine", optimizer = "sgd", warmup } = o;
  if (typeof schedule !== "string") return schedule;
  const learningRate = o.learningRate ?? defaults[typeof optimizer === "string" ? optimizer : "sgd"].learningRate;
  const given = warmup === undefined ? {} : { warmup };
  switch (schedule) {
    case "cosine":
      return cosineSchedule({ learningRate, warmup: warmup ?? 0.05 });
    case "one-cycle":
      return oneCycleSchedule({ learningRate, ...given });
    case "step":
      return stepSchedule({ learningRate });
    case "retraining":
      return retrainingSchedule({ learningRate, ...given });
    case "constant":
      return constantSchedule(learningRate);
  }
}

/** The changes of images that were asked for, told how the numbers came from pixels. */
export function augmentOf(
  o: TrainModelOptions,
  dims: readonly number[],
  preprocessing: Preprocessing | undefined,
): AugmentOptions | undefined {
  if (dims.length !== 4) return o.augment;
  const width = dims[preprocessing?.layout === "nhwc" ? 2 : 3];
  const changes = o.augment ?? { flip: true, cropPadding: Math.round(width / 8) };
  return preprocessing ? { pixels: preprocessing, ...changes } : changes;
}
