/** The driver-monitoring sample: what `edgefit` and others may use of it. */
export { type EyeAppearance, eyeState } from "./appearance.js";
export { eyeStateModelPath } from "./assets.js";
export {
  EYE_STATE_SEED,
  type EyeStateDataset,
  type EyeStateOptions,
  eyePreprocessing,
  eyeStateClasses,
  openEyeStateDataset,
} from "./dataset.js";
export { type EyeStateEvaluation, evaluateEyeState } from "./evaluate.js";
export { buildEyeStateModel } from "./model.js";
export { EYE_STATE_RECIPE, type TrainEyeStateOptions, type TrainedEyeState, trainEyeState } from "./training.js";
