/** Shape of what `quantize` reports, as JSON. Ratios in decibels are null where nothing differs. */
import * as z from "zod";

const decibels = z.number().nullable();
const share = z.number().min(0).max(1);
const ms = z.number().nonnegative();

export const quantizedLayerSchema = z.object({
  node: z.string(),
  op: z.string(),
  value: z.string().describe("the value whose range this is: the layer's result, behind its activation"),
  precision: z.enum(["int8", "fp32"]),
  reason: z.string().nullable().describe("why a layer that could be INT8 is float"),
  range: z.object({ low: z.number(), high: z.number(), scale: z.number(), zeroPoint: z.number() }).nullable(),
  observed: z.object({ low: z.number(), high: z.number() }).nullable(),
  histogram: z.object({ low: z.number(), high: z.number(), counts: z.array(z.number()) }).nullable(),
  saturatedShare: share.nullable().describe("share of elements outside the range"),
  weightDb: decibels.describe("signal to rounding noise of the weights"),
  valueDb: decibels.describe("the layer's result in the INT8 model against float"),
  harmDb: decibels.describe("the model's worst output with this layer alone in INT8; the lower the worse"),
  floatMs: ms.nullable(),
  integerMs: ms.nullable(),
});

export const quantizeReportSchema = z.object({
  schemaVersion: z.literal(1),
  tool: z.object({ name: z.literal("edgefit"), version: z.string() }),
  date: z.iso.datetime(),
  model: z.object({ file: z.string(), sha256: z.string() }),
  answer: z.enum(["int8", "mixed", "fp32", "weights-only"]),
  why: z.string().nullable().describe("the reason for an answer other than INT8 throughout"),
  settings: z.object({
    format: z.enum(["qdq", "qoperator"]),
    activations: z.enum(["u8", "s8", "u16", "s16"]),
    symmetric: z.boolean(),
    weights: z.enum(["per-channel", "per-tensor"]),
    reduceRange: z.boolean(),
    ranges: z.string().describe("the method that was chosen"),
    quality: z.enum(["fast", "balanced", "best"]),
    repairs: z.array(z.string()),
    rounding: z.string(),
    biasCorrected: z.boolean(),
    images: z.number().int().nonnegative(),
    opset: z.number().int(),
    seed: z.number().int(),
  }),
  bytes: z.object({ before: z.number(), after: z.number() }),
  outputs: z.array(z.object({ name: z.string(), sqnrDb: decibels })).describe("on held-back training images"),
  candidates: z.array(
    z.object({ ranges: z.string(), rounded: z.boolean(), biasCorrected: z.boolean(), sqnrDb: decibels }),
  ),
  drop: z
    .object({
      measures: z.enum(["accuracy", "agreement"]),
      points: z.number(),
      images: z.number(),
      allowed: z.number().nullable(),
    })
    .nullable()
    .describe("on training images that calibration did not use"),
  test: z
    .object({ measures: z.enum(["accuracy", "agreement"]), before: share, after: share, images: z.number() })
    .nullable(),
  device: z.object({ id: z.string(), cpu: z.string(), runtime: z.string() }).nullable(),
  latency: z
    .object({ floatMs: ms, answerMs: ms, ratio: z.number(), interval: z.tuple([z.number(), z.number()]) })
    .nullable()
    .describe("medians of interleaved calls; ratio is float over answer"),
  layers: z.array(quantizedLayerSchema).describe("most harmful first where harm was measured"),
  seconds: z.number(),
  warnings: z.array(z.string()),
});

export type QuantizeReport = z.infer<typeof quantizeReportSchema>;
export type QuantizedLayer = z.infer<typeof quantizedLayerSchema>;
