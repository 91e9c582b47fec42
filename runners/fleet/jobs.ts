/**
 * What a device is asked for through a queue: one piece of work that stands alone, so that any device of the class can do it and doing it
 * twice does no harm. Models, inputs and answers are blobs; a payload holds their hashes, numbers and short names, never a path.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { MeasureJob } from "../runner.js";
import { hashSchema } from "./blobs.js";

const count = z.number().int().positive();
const size = z.number().int().nonnegative();
const time = z.number().nonnegative();

/** A model to open before the work, as `LoadOptions` say. */
const modelSchema = z.strictObject({
  bytes: hashSchema,
  threads: count.max(1024).optional(),
  graphOptimizationLevel: z.enum(["disabled", "basic", "extended", "layout", "all"]).optional(),
  profiling: z.boolean().optional(),
});
export type JobModel = z.infer<typeof modelSchema>;

/** Everything of a MeasureJob but its models, which are named by their place in the job. */
const settings = {
  warmup: size.optional(),
  minWarmupMs: time.optional(),
  minSamples: count.optional(),
  minTimeMs: time.optional(),
  maxTimeMs: z.number().positive().optional(),
  callsBeforeSample: size.optional(),
  seed: z.number().int().optional(),
} satisfies Partial<Record<keyof MeasureJob, z.ZodType>>;

const workSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("load") }),
  z.strictObject({ type: z.literal("run"), feeds: hashSchema }),
  z.strictObject({ type: z.literal("measure"), feeds: z.array(hashSchema).min(1).max(64), ...settings }),
  z.strictObject({ type: z.literal("profile"), feeds: hashSchema, calls: count, warmup: size }),
]);

export const deviceJobSchema = z
  .strictObject({
    /** Names the run that asks: the same question of another run is measured anew, of the same run never twice. */
    run: z.string().min(1).max(64),
    /** Place within the run. */
    step: size,
    models: z.array(modelSchema).min(1).max(64),
    work: workSchema,
  })
  .refine((j) => j.work.type !== "measure" || j.work.feeds.length === j.models.length, "one input for every model")
  .refine((j) => j.work.type === "measure" || j.models.length === 1, "one model for this work");
export type DeviceJob = z.infer<typeof deviceJobSchema>;

/** What a job gives back: where its answer lies, and who gave it. */
export const jobAnswerSchema = z.strictObject({ answer: hashSchema, by: z.string().min(1).max(200) });
export type JobAnswer = z.infer<typeof jobAnswerSchema>;

/** The id under which a payload is queued: the hash of its content, so that a payload that is added twice is one job. */
export const jobId = (payload: object): string =>
  createHash("sha256").update(JSON.stringify(payload, sorted)).digest("hex");

/** Fields in the order of their names, whoever wrote them down. */
const sorted = (_: string, value: unknown): unknown =>
  value !== null && typeof value === "object" && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;
