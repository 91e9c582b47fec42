/** Latency of sub-nets: kernels, measured tables, staircases, predictions. */
export { type KernelObservation, type NetObservation, rowsOf, surfacesOf } from "./assemble.js";
export { attribute } from "./attribute.js";
export { candidateWidths } from "./candidates.js";
export { type CrossValidation, correct, crossValidate, errorFigures, fitCorrection, sumKernels } from "./correction.js";
export { coarseGrid, designWidths, type GridOptions, randomWidths, type WidthRange, widthGrid } from "./design.js";
export { inputFeeds } from "./feeds.js";
export { type DimsOf, evaluateDim, type Kernel, kernelsOf, type Precision, type SymbolicDim } from "./kernel.js";
export {
  designOf,
  NETS_PER_JOB,
  type Observed,
  type ObserveOptions,
  observationsOf,
  observeNets,
  type Shaping,
  type SubNetDesign,
} from "./observe.js";
export { lowerEnvelope, plateauEdges, type WidthPoint } from "./plateaus.js";
export { type LatencyModel, latencyModel, type PrecisionChoice, type Prediction, type WidthCost } from "./predict.js";
export { openReference, type SampledNets, type SampleOptions, type SubNet, sampleNets, timeNets } from "./sample.js";
export { defaultCacheDir, readCached, removeCached, structuralHash, writeCached } from "./store.js";
export {
  type Correction,
  type LatencyRow,
  type LatencyTable,
  lookup,
  type MeasuredNet,
  mergeTables,
  parseTable,
  type Quality,
  refuseStale,
  TABLE_VERSION,
} from "./table.js";
