/** What other parts may use of training. */
export { type AugmentOptions, augmentBatch } from "./augment.js";
export { differentiate } from "./autodiff.js";
export type { EpochResult } from "./checkpoint.js";
export {
  binaryCrossEntropy,
  type ClassLossOptions,
  type CrossEntropyOptions,
  crossEntropy,
} from "./classification.js";
export { type DistillationOptions, distillation } from "./distillation.js";
export { TrainingError } from "./errors.js";
export type { BatchNormMode } from "./forward.js";
export { type ParameterGradientOptions, parameterGradients } from "./gradients.js";
export { type TrainOptions, type TrainResult, train } from "./loop.js";
export {
  type BuiltLoss,
  type CustomLossContext,
  combineLosses,
  customLoss,
  type Loss,
  type LossContext,
  type NetOutput,
  outputEnergy,
} from "./losses.js";
export {
  type AdamWOptions,
  adamW,
  type LarsOptions,
  lars,
  type Optimizer,
  type RmspropOptions,
  rmsprop,
  type SgdOptions,
  sgd,
  type UpdateInputs,
} from "./optimizers.js";
export type { Entry, Layout } from "./parameters.js";
export { type ForwardPass, type GradientPass, Passes, type PassesOptions, type UpdateState } from "./passes.js";
export { shuffled, streamOf } from "./random.js";
export {
  type HuberOptions,
  huber,
  meanAbsoluteError,
  meanSquaredError,
  type RegressionOptions,
} from "./regression.js";
export {
  type CosineOptions,
  constantSchedule,
  cosineSchedule,
  type OneCycleOptions,
  oneCycleSchedule,
  type RetrainingOptions,
  retrainingSchedule,
  rewoundSchedule,
  type Schedule,
  type StepOptions,
  stepSchedule,
  withWarmup,
} from "./schedules.js";
export { Trainer, type TrainerOptions, type TrainerState } from "./trainer.js";
