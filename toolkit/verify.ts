/** A gate against regressions: measures again what an earlier run measured, and says what moved beyond the noise. */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { UsageError } from "./graph/errors.js";
import type { ValidateOptions } from "./options.js";
import { parsePace } from "./pace.js";
import { type ValidatedModel, type Validation, validate } from "./validate.js";

export interface VerifyOptions extends ValidateOptions {
  /** Path of the earlier result: what `validate --json` printed, or the `report.json` of `fit`. */
  against: string;
  /** Share by which a latency may be worse beyond both runs' 95 % intervals. Default 0.05. */
  tolerance?: number;
  /** Points of top-1 accuracy that may be lost. Default 0.1. */
  maxDrop?: number;
}

export interface Check {
  name: "speed-up" | "latency p50" | "accuracy, top-1";
  before: number;
  now: number;
  /** The worst value that passes; compared with the better end of this run's interval. */
  limit: number;
  ok: boolean;
}

export interface Verification {
  ok: boolean;
  checks: Check[];
  validation: Validation;
  warnings: string[];
}

const interval = z.tuple([z.number(), z.number()]);
const model = z.object({
  latencyMs: z.object({ p50: z.number().positive(), p50Interval: interval }),
  accuracy: z.object({ top1: z.number(), images: z.number() }).nullable(),
});
const speedup = z.object({ ratio: z.number().positive(), interval });
const device = z.object({ id: z.string() });
const ofFit = z
  .object({
    device,
    original: model,
    fitted: model,
    speedup,
    settings: z.object({ paced: z.string().nullish() }).optional(),
  })
  .transform((r) => ({
    device: r.device,
    models: [r.original, r.fitted],
    speedup: r.speedup,
    pacedMs: r.settings?.paced ? parsePace(r.settings.paced) : null,
  }));
const ofValidate = z.object({
  device,
  models: z.array(model).min(1).max(2),
  speedup: speedup.nullable(),
  pacedMs: z.number().positive().nullable().default(null),
});
const predicted = z.object({ latencySource: z.literal("predicted") });

/** An earlier result, as far as it is compared. */
export type Baseline = z.infer<typeof ofValidate>;

/** Reads an earlier result. Throws UsageError for a file that is missing or holds something else. */
export async function readBaseline(path: string): Promise<Baseline> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (cause) {
    throw new UsageError("baseline-unreadable", `the earlier result cannot be read: ${(cause as Error).message}`, {
      where: path,
      cause,
    });
  }
  if (predicted.safeParse(value).success) {
    throw new UsageError("baseline-predicted", "the earlier result was predicted (--offline), not measured", {
      where: path,
      hint: "make one on the device: edgefit validate MODEL --json > result.json",
    });
  }
  const parsed = z.union([ofValidate, ofFit]).safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UsageError("baseline-invalid", "the file holds no result of validate or fit", {
    where: path,
    hint: "make one with: edgefit validate MODEL --json > result.json",
  });
}

/**
 * Runs `validate` on the same models and compares. Of two models the speed-up counts, which the pace of the machine hardly
 * touches; of one, the milliseconds. Throws UsageError when the numbers of models or of images differ from the earlier run's,
 * and what `validate` throws.
 */
export async function verify(o: VerifyOptions): Promise<Verification> {
  const before = await readBaseline(o.against);
  if (before.models.length !== o.models.length) {
    throw new UsageError(
      "baseline-models",
      `the earlier result is of ${before.models.length} model(s), this run of ${o.models.length}`,
      { where: o.against, hint: "give the same models in the same order" },
    );
  }
  const intervalMs = o.paced === undefined ? null : parsePace(o.paced);
  if (before.pacedMs !== intervalMs) {
    throw new UsageError("baseline-paced", "the earlier result was timed at another pace", {
      where: o.against,
      hint:
        before.pacedMs === null ? "leave out --paced" : `give --paced ${Number((1000 / before.pacedMs).toFixed(3))}fps`,
    });
  }
  const validation = await validate(o);
  const warnings: string[] = [];
  if (before.device.id !== validation.device.id)
    warnings.push(`the earlier result is of device ${before.device.id}, this one of ${validation.device.id}`);
  const checks = compare(before, validation, o);
  for (const w of warnings) o.onWarning?.(w);
  return { ok: checks.every((c) => c.ok), checks, validation, warnings: [...validation.warnings, ...warnings] };
}

/** The checks alone; pure. */
export function compare(
  before: Baseline,
  now: { models: readonly Pick<ValidatedModel, "latencyMs" | "accuracy">[]; speedup: Validation["speedup"] },
  o: Pick<VerifyOptions, "tolerance" | "maxDrop" | "against">,
): Check[] {
  const tolerance = o.tolerance ?? 0.05;
  const checks: Check[] = [];
  if (before.speedup && now.speedup) {
    const limit = before.speedup.interval[0] * (1 - tolerance);
    const [, best] = now.speedup.interval;
    checks.push({ name: "speed-up", before: before.speedup.ratio, now: now.speedup.ratio, limit, ok: best >= limit });
  } else {
    const [was, is] = [before.models[0].latencyMs, now.models[0].latencyMs];
    const limit = was.p50Interval[1] * (1 + tolerance);
    checks.push({ name: "latency p50", before: was.p50, now: is.p50, limit, ok: is.p50Interval[0] <= limit });
  }
  const [was, is] = [before.models.at(-1)!.accuracy, now.models.at(-1)!.accuracy];
  if (was && is) {
    if (was.images !== is.images) {
      throw new UsageError(
        "baseline-images",
        `the earlier accuracy is of ${was.images} images, this one of ${is.images}`,
        {
          where: o.against,
          hint: "give the same --data and --limit",
        },
      );
    }
    const limit = was.top1 - (o.maxDrop ?? 0.1) / 100;
    // An accuracy is a count over a number of images: the last digits of the limit are rounding.
    checks.push({ name: "accuracy, top-1", before: was.top1, now: is.top1, limit, ok: is.top1 >= limit - 1e-9 });
  }
  return checks;
}
