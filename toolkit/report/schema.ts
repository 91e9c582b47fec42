/** The shape of `report.json`: what was asked, what was measured, what was changed. Times are milliseconds unless named otherwise. */
import * as z from "zod";

const ms = z.number().nonnegative();
const count = z.number().int().nonnegative();
const share = z.number().min(0).max(1);

const measuredMs = ms.nullable().describe("null where the latency is predicted");

/** Statistics of one model's latency on the device. Predicted: `n` is 0 and only the median and its range are known. */
export const latencySchema = z.object({
  n: count.describe("samples; 0 where the latency is predicted"),
  min: measuredMs,
  mean: measuredMs,
  std: measuredMs,
  p50: ms,
  p90: measuredMs,
  p95: measuredMs,
  p99: ms.nullable().describe("null with fewer than 1000 samples"),
  p50Interval: z
    .tuple([ms, ms])
    .describe("95 % bootstrap interval of the median; predicted: the range that held nine of ten nets of the table"),
});

/** How closely a model's outputs follow the original's on the same inputs. */
export const agreementSchema = z.object({
  samples: count,
  top1: share
    .nullable()
    .describe("share of samples with the same top class; null when the output is not a vector of class scores"),
  outputs: z.array(
    z.object({
      name: z.string(),
      cosine: z.number().min(-1).max(1),
      sqnrDb: z.number().nullable().describe("signal to quantisation noise ratio; null when the outputs are identical"),
    }),
  ),
});

/** Everything known of one model. */
export const modelFiguresSchema = z.object({
  latencyMs: latencySchema,
  initMs: measuredMs.describe("session creation; null where the latency is predicted"),
  firstRunMs: measuredMs,
  accuracy: z.object({ top1: share, images: count }).nullable().describe("null without labels"),
  agreement: agreementSchema.nullable().describe("against the original; null for the original itself"),
  macs: count,
  params: count,
  bytes: count.describe("size of the file"),
  peakActivationBytes: count.describe("largest sum of live activations, computed from shapes"),
  peakMemoryBytes: count
    .nullable()
    .describe("highest resident memory of the runtime's process; null where it cannot be read"),
});

const deviceSchema = z.object({
  id: z.string(),
  kind: z.string(),
  cpu: z.string(),
  cores: count,
  isa: z.array(z.string()),
  memoryBytes: count.nullable(),
  os: z.string().describe("platform and architecture"),
  emulated: z.boolean(),
  conditions: z.object({
    governor: z.string().nullable(),
    temperatureC: z.number().nullable(),
    charging: z.boolean().nullable(),
  }),
});

const runtimeSchema = z.object({
  package: z.string(),
  version: z.string(),
  provider: z.string(),
  threads: z.number().int().positive(),
  graphOptimizationLevel: z.string(),
  node: z.string().nullable(),
  clockMs: ms,
});

const precision = z.enum(["fp32", "int8", "mixed"]);

/** One model that was weighed on the way. Accuracy, or agreement where there are no labels, is null when it was not evaluated. */
export const candidateSchema = z.object({
  name: z.string(),
  latencyMs: ms.describe("at the budget's percentile when measured, else predicted"),
  measured: z.boolean(),
  accuracy: share.nullable(),
  agreement: share.nullable(),
  precision,
  onFront: z.boolean(),
  chosen: z.boolean(),
});

/** One layer before and after. `widthAfter` 0 means that the layer is gone. */
export const layerSchema = z.object({
  name: z.string(),
  op: z.string(),
  widthBefore: count.nullable().describe("output channels; null where the layer has none"),
  widthAfter: count.nullable(),
  msBefore: ms.describe("from the latency table"),
  msAfter: ms,
  precision: z.enum(["fp32", "int8"]),
  sqnrDb: z.number().nullable().describe("of the quantised layer's output; null when not quantised or not measured"),
});

/** Channels that live or die together. */
export const groupSchema = z.object({
  id: z.string(),
  producers: z.array(z.string()),
  widthBefore: count,
  widthAfter: count,
  frozen: z.string().nullable().describe("why it cannot be pruned; null when it can"),
});

export const fitReportSchema = z.object({
  schemaVersion: z.literal(1),
  tool: z.object({ name: z.literal("edgefit"), version: z.string() }),
  date: z.iso.datetime(),
  model: z.object({
    file: z.string().describe("file name without its folder"),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  device: deviceSchema,
  runtime: runtimeSchema,
  latencySource: z
    .enum(["measured", "predicted"])
    .default("measured")
    .describe("predicted: the device was not there (--offline); every latency is the saved table's"),
  golden: z
    .object({ maxAbsError: z.number().nonnegative(), tolerance: z.number().positive() })
    .nullable()
    .describe(
      "outputs of the original on the device against the host's, compared before any timing; null where nothing was timed",
    ),
  budget: z.object({ text: z.string(), ms, percentile: z.enum(["p50", "p95"]), met: z.boolean() }),
  original: modelFiguresSchema,
  fitted: modelFiguresSchema,
  speedup: z
    .object({ ratio: z.number().positive(), interval: z.tuple([z.number().positive(), z.number().positive()]) })
    .describe(
      "original over fitted, medians of interleaved calls, with a 95 % bootstrap interval; predicted: with the table's own error in its place",
    ),
  prediction: z
    .object({
      tableMs: ms,
      correctedMs: ms,
      errorPct: z.number().nullable().describe("of correctedMs against the measured p50, signed; null without one"),
    })
    .describe("what the latency table said of the fitted model"),
  candidates: z.array(candidateSchema),
  layers: z.array(layerSchema),
  groups: z.array(groupSchema),
  seconds: z.record(z.string(), z.number().nonnegative()).describe("wall time of each stage, in order"),
  settings: z.object({
    seed: z.number().int(),
    criterion: z.string(),
    int8: z.enum(["auto", "off", "on"]),
    finetuneEpochs: count,
    calibrationImages: count,
    dims: z.record(z.string(), z.number().int().positive()),
    paced: z.string().nullable().default(null).describe("frame rate at which calls were made; null: calls in a row"),
    data: z
      .object({ name: z.string(), trainImages: count, testImages: count, evaluatedImages: count, skipped: count })
      .nullable()
      .describe("null: no data was given, statistics come from random inputs"),
    preprocessing: z
      .object({
        source: z.string().describe("flags, a file name, or defaults"),
        values: z.record(z.string(), z.json()),
      })
      .nullable(),
  }),
  warnings: z.array(z.string()),
});

export type LatencyStatistics = z.infer<typeof latencySchema>;
export type Agreement = z.infer<typeof agreementSchema>;
export type ModelFigures = z.infer<typeof modelFiguresSchema>;
export type Candidate = z.infer<typeof candidateSchema>;
export type LayerChange = z.infer<typeof layerSchema>;
export type GroupChange = z.infer<typeof groupSchema>;
export type FitReport = z.infer<typeof fitReportSchema>;

/** JSON Schema (draft 2020-12) of `report.json`, the text of `docs/report.schema.json`. Later versions may add fields. */
export function reportJsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(fitReportSchema, { io: "input" }), title: "edgefit report" };
}
