/** Static INT8 quantisation: what other parts may use. */
export { type QuantRange, quantizeBias } from "./affine.js";
export { biasShifts } from "./bias.js";
export { outputSqnrDb, type Reference, referenceOutputs, worstDb } from "./evaluate.js";
export { explainLayers, type LayerExplanation, type LayerHistogram } from "./explain.js";
export { feedsOfBatch, type ImageBatch } from "./feed.js";
export type { IntegerType } from "./integers.js";
export { chooseByKnapsack, type Knapsack, type KnapsackOptions } from "./knapsack.js";
export { chooseMixedPrecision, floatOrder, type MixedOptions, type MixedPrecision } from "./mixed.js";
export { type RangeMethod, RangeObserver } from "./observer.js";
export { placePrepared, placeQdq } from "./place.js";
export { planQdq, type QdqPlan } from "./plan.js";
export { prepareForQuantization } from "./prepare.js";
export {
  type Candidate,
  type NamedRepair,
  type QuantizeOptions,
  type QuantizeResult,
  quantize,
} from "./quantize.js";
export { type CalibrationOptions, calibrate, type Observations, observe, type Ranges, rangesFrom } from "./ranges.js";
export { type PlaceOptions, weightGrids } from "./scheme.js";
export { type NodeSensitivity, quantizableNodes, sensitivity } from "./sensitivity.js";
export { agreement, argmaxRows, cosine, Similarity, sqnrDb } from "./similarity.js";
export { quantizeWeightsOnly, type WeightOnlyOptions, type WeightOnlyResult } from "./weightOnly.js";
export { quantizeWeight, type WeightGrid, type WeightOptions } from "./weights.js";
