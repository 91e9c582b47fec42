/** Reports: their shape, the page, and how they reach a folder. */
export { bestOf, renderComparisonHtml } from "./compareHtml.js";
export { type ComparedMethod, type Comparison, comparedMethodSchema, comparisonSchema } from "./compareSchema.js";
export * from "./format.js";
export { headline, renderHtml } from "./html.js";
export { quantizeHeadline, renderQuantizeHtml } from "./quantizeHtml.js";
export {
  type QuantizedLayer,
  type QuantizeReport,
  quantizedLayerSchema,
  quantizeReportSchema,
} from "./quantizeSchema.js";
export {
  type Agreement,
  type Candidate,
  type FitReport,
  fitReportSchema,
  type GroupChange,
  type LatencyStatistics,
  type LayerChange,
  type ModelFigures,
  modelFiguresSchema,
  reportJsonSchema,
} from "./schema.js";
export { renderTrainingHtml } from "./trainingHtml.js";
export type { TrainingEpoch, TrainingReport } from "./trainingSchema.js";
export { checkOutputFolder, type OutputFile, writeFitOutput } from "./write.js";
