/** The public API of edgefit. */

export { DeviceError, type DeviceFacts, type DeviceRunner, openLocalRunner, resolveDevice } from "../runners/index.js";
export { type Budget, budgetMs, type Percentile, parseBudget } from "./budget.js";
export { type CompareOptions, type CompareResult, compare } from "./compare.js";
export {
  type Batch,
  DataError,
  type Dataset,
  loadDataset,
  loadPreprocessing,
  type Preprocessing,
  type PreprocessingFlags,
  type Split,
} from "./data/index.js";
export { type FitResult, fit } from "./fit.js";
export type { GraphBuilder, Ref } from "./graph/builder.js";
export { BudgetError, EdgefitError, type ErrorFacts, isEdgefitError, ModelError, UsageError } from "./graph/errors.js";
export type { Graph, OpNode, Value, ValueType } from "./graph/graph.js";
export type { Progress, ProgressEvent } from "./graph/progress.js";
export type { ElemType, Tensor } from "./graph/tensor.js";
export { type Imported, type ImportOptions, importModel } from "./importModel.js";
export { type Inspection, inspect, inspectModel } from "./inspect.js";
export { type MethodContext, type MethodNet, methods, type PruningMethod } from "./methods/index.js";
export { readModel, readModelFile, writeModel, writeModelFile } from "./onnx/index.js";
export type {
  Criterion,
  FitOptions,
  InspectOptions,
  PreprocessOptions,
  ProfileOptions,
  QuantizeModelOptions,
  ValidateOptions,
} from "./options.js";
export { type DeviceProfileResult, type KernelCost, profile } from "./profileDevice.js";
export { type QuantizedModel, quantizeModel } from "./quantizeModel.js";
export {
  type Comparison,
  comparisonSchema,
  type FitReport,
  fitReportSchema,
  type ModelFigures,
  type QuantizeReport,
  quantizeReportSchema,
  renderComparisonHtml,
  renderHtml,
  renderQuantizeHtml,
  reportJsonSchema,
  writeFitOutput,
} from "./report/index.js";
export { importTflite, type TfliteOptions } from "./tflite/index.js";
export {
  type AugmentOptions,
  adamW,
  binaryCrossEntropy,
  type CustomLossContext,
  combineLosses,
  constantSchedule,
  cosineSchedule,
  crossEntropy,
  customLoss,
  type DistillationOptions,
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
  rewoundSchedule,
  rmsprop,
  type Schedule,
  sgd,
  stepSchedule,
  TrainingError,
  withWarmup,
} from "./train/index.js";
export { type TrainedModel, train } from "./trainModel.js";
export type { LossName, OptimizerName, ScheduleName, TrainModelOptions } from "./trainOptions.js";
export { type ValidatedModel, type Validation, validate } from "./validate.js";
export { toolVersion } from "./version.js";
export {
  type EfficientNetOptions,
  efficientNet,
  type InvertedResidualStage,
  type MbconvStage,
  type MobileNetV2Options,
  mobileNetV2,
  type ResnetCifarOptions,
  resnetCifar,
  type ZooOptions,
} from "./zoo/index.js";
