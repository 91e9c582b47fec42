/** The shape of `compare.json`: several pruning methods on one model, under one budget of training, measured beside the original. */
import * as z from "zod";

const count = z.number().int().nonnegative();
const share = z.number().min(0).max(1);
const latency = z.object({ p50: z.number().nonnegative(), p95: z.number().nonnegative() });

const figures = {
  accuracy: z.object({ top1: share, images: count }).describe("on the test part, read once"),
  latencyMs: latency.describe("measured, all nets and the original in one shuffled run"),
  macs: count,
  params: count,
};

/** One method's run. */
export const comparedMethodSchema = z.object({
  method: z.string(),
  title: z.string(),
  paper: z.string(),
  settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  seed: z.number().int(),
  ...figures,
  speedup: z.number().positive().describe("original over this net, median of paired calls"),
  met: z.boolean().describe("whether the net, measured, costs no more than the target"),
  steps: z.object({
    search: z.number().nonnegative(),
    retrain: z.number().nonnegative(),
    forwardImages: z.number().nonnegative().describe("images in forward passes alone"),
    used: z.number().nonnegative().describe("steps, a forward pass of a batch counted as a third"),
  }),
  seconds: z.number().nonnegative(),
  widths: z
    .record(z.string(), count)
    .nullable()
    .describe("channels left per group, 0 where a branch went with it; null where the net has another shape"),
  notes: z.array(z.string()),
  history: z.array(
    z.object({ step: z.number(), phase: z.enum(["search", "retrain"]), loss: z.number(), learningRate: z.number() }),
  ),
  file: z.string().describe("name of the ONNX file beside this one"),
});

export const comparisonSchema = z.object({
  schemaVersion: z.literal(1),
  tool: z.object({ name: z.literal("edgefit"), version: z.string() }),
  date: z.iso.datetime(),
  model: z.object({ file: z.string(), sha256: z.string() }),
  device: z.object({ id: z.string(), cpu: z.string(), runtime: z.string(), threads: count }),
  data: z.object({ name: z.string(), train: count, heldOut: count, test: count }),
  budget: z.object({
    text: z.string(),
    unit: z.enum(["ms", "MACs"]),
    original: z.number().positive(),
    target: z.number().positive(),
  }),
  recipe: z.object({
    steps: count.describe("that each method may spend, search and evaluations included"),
    epochs: z.number().nonnegative().describe("the same as passes over the training images"),
    batchSize: count,
    learningRate: z.number().nonnegative(),
    weightDecay: z.number().nonnegative(),
    distilled: z.boolean().describe("whether every method retrains with the original's answers"),
    seed: z.number().int(),
    threads: z.number().int().nullable().describe("of training; null: all that the process may use"),
  }),
  groups: z.array(z.object({ id: z.string(), width: count })),
  original: z.object(figures),
  methods: z.array(comparedMethodSchema),
  failed: z.array(z.object({ method: z.string(), reason: z.string() })).describe("methods that gave no net"),
  warnings: z.array(z.string()),
});

export type ComparedMethod = z.infer<typeof comparedMethodSchema>;
export type Comparison = z.infer<typeof comparisonSchema>;
