/** What other parts may use of training. */
export { type AugmentOptions, augmentBatch } from "./augment.js";
export { differentiate } from "./autodiff.js";
export type { EpochResult } from "./checkpoint.js";
export { type DistillationOptions, distillation } from "./distillation.js";
export { TrainingError } from "./errors.js";
export type { BatchNormMode } from "./forward.js";
export { type ParameterGradientOptions, parameterGradients } from "./gradients.js";
export { type TrainOptions, type TrainResult, train } from "./loop.js";
export {
  type BuiltLoss,
  type CrossEntropyOptions,
  combineLosses,
  crossEntropy,
  type Loss,
  type LossContext,
  outputEnergy,
} from "./losses.js";
export { type AdamWOptions, adamW, type Optimizer, type SgdOptions, sgd } from "./optimizers.js";
export { type CosineOptions, constantSchedule, cosineSchedule, type Schedule } from "./schedules.js";
export { Trainer, type TrainerOptions, type TrainerState } from "./trainer.js";
