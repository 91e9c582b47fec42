/** The latency table: what kernels took on one device, at measured widths. Plain JSON, so that it can be kept, merged and shared. */
import * as z from "zod";
import { EdgefitError } from "../graph/errors.js";

export const TABLE_VERSION = 2;

const precisionSchema = z.enum(["fp32", "int8"]);

export const latencyRowSchema = z.object({
  key: z.string().describe("kernel signature; letters stand for `widths`"),
  widths: z.array(z.number().int().nonnegative()),
  precision: precisionSchema,
  us: z.number().nonnegative().describe("microseconds per call as the runtime's profiler sees them"),
  launches: z
    .number()
    .nonnegative()
    .describe("nodes of the optimised graph, layout reorders included; a mean over nets"),
  n: z.number().int().positive().describe("observations, each a mean over many calls"),
  spread: z.number().nonnegative().describe("standard deviation of the observations over their median"),
});

/** ms = (scale * sum of us + perLaunchUs * launches + perCallUs) / 1000, for whole unprofiled calls. */
export const correctionSchema = z.object({
  scale: z.number().positive(),
  perLaunchUs: z.number(),
  perCallUs: z.number(),
});

export const qualitySchema = z.object({
  n: z.number().int().nonnegative().describe("random sub-nets, each predicted without its own measurements"),
  medianErrorPct: z.number().nonnegative(),
  p90ErrorPct: z.number().nonnegative(),
  spearman: z
    .number()
    .min(-1)
    .max(1)
    .nullable()
    .describe("rank correlation of predicted and measured; null under 3 nets"),
  discarded: z
    .number()
    .int()
    .nonnegative()
    .describe("measurements thrown away and repeated because the machine's speed drifted"),
  drifting: z.number().int().nonnegative().describe("measurements kept although the speed drifted each time"),
});

/** A sub-net as it was measured, so that more can be added to a table later. */
export const measuredNetSchema = z.object({
  precision: precisionSchema,
  widths: z.record(z.string(), z.number().int().positive()).describe("width of each group"),
  gone: z.array(z.string()).describe("sums whose branch the net lacks"),
  ms: z.number().positive().describe("p50 of whole calls, at the pace that the machine had over all nets"),
  ratio: z.number().positive().describe("latency over that of the reference in the same run"),
  referenceMs: z.number().positive().describe("the reference in that run"),
  us: z.array(z.number()).describe("profiled microseconds per kernel, in order; 0 for one that the net lacks"),
  launches: z.array(z.number()),
});

export const latencyTableSchema = z.object({
  schemaVersion: z.literal(TABLE_VERSION),
  device: z.object({
    id: z.string(),
    kind: z.string().describe("which kind of runner reaches the device"),
    fingerprint: z.string(),
    cpu: z.string(),
    cores: z.number().int().positive(),
    arch: z.string(),
    isa: z.array(z.string()),
    emulated: z.literal(false),
  }),
  runtime: z.object({
    package: z.string(),
    version: z.string(),
    provider: z.string(),
    threads: z.number().int().positive(),
    graphOptimizationLevel: z.string(),
  }),
  date: z.iso.datetime(),
  basis: z.literal("p50").describe("statistic of whole calls that predictions stand for"),
  seed: z.number().int(),
  rows: z.array(latencyRowSchema),
  corrections: z.partialRecord(precisionSchema, correctionSchema),
  quality: z.partialRecord(precisionSchema, qualitySchema),
  nets: z.array(measuredNetSchema).describe("the sub-nets that rows and corrections were made of"),
  reference: z
    .partialRecord(precisionSchema, z.number().positive())
    .describe("measured p50 of the unpruned model in ms"),
});

export type LatencyRow = z.infer<typeof latencyRowSchema>;
export type Correction = z.infer<typeof correctionSchema>;
export type Quality = z.infer<typeof qualitySchema>;
export type MeasuredNet = z.infer<typeof measuredNetSchema>;
export type LatencyTable = z.infer<typeof latencyTableSchema>;

/** Reads a table from JSON text. Throws EdgefitError `table-malformed` naming the first wrong field. */
export function parseTable(text: string, where: string): LatencyTable {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new EdgefitError("table-malformed", "the latency table is not JSON", { where, cause });
  }
  const result = latencyTableSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new EdgefitError(
    "table-malformed",
    `the latency table is malformed at ${issue.path.join(".") || "its root"}: ${issue.message}`,
    {
      where,
      hint: "delete the file and profile again",
    },
  );
}

/** What a table must have been measured with to speak for a device. */
export interface TableOwner {
  fingerprint: string;
  runtime: { package: string; version: string };
}

/** Throws EdgefitError `table-stale` when the table was measured with another runtime version or on another device. */
export function refuseStale(table: LatencyTable, now: TableOwner, where: string): void {
  const then = table.runtime;
  const hint = "measure it again: edgefit profile --refresh";
  if (then.package !== now.runtime.package || then.version !== now.runtime.version) {
    throw new EdgefitError(
      "table-stale",
      `the latency table was measured with ${then.package} ${then.version}, this device runs ${now.runtime.package} ${now.runtime.version}`,
      { where, hint },
    );
  }
  if (table.device.fingerprint !== now.fingerprint) {
    throw new EdgefitError(
      "table-stale",
      `the latency table was measured on ${table.device.id} (${table.device.fingerprint}), this device is ${now.fingerprint}`,
      { where, hint },
    );
  }
}

const rowId = (r: Pick<LatencyRow, "key" | "widths" | "precision">): string =>
  `${r.precision} ${r.key} ${r.widths.join(",")}`;

/**
 * Rows of both tables; a row that both have becomes the mean weighted by observations. Facts, corrections and quality are
 * those of `b`, the newer one. Throws `table-stale` when the two are not of the same device and runtime.
 */
export function mergeTables(a: LatencyTable, b: LatencyTable): LatencyTable {
  refuseStale(a, { fingerprint: b.device.fingerprint, runtime: b.runtime }, "tables to merge");
  const rows = new Map(a.rows.map((r) => [rowId(r), r]));
  for (const row of b.rows) {
    const known = rows.get(rowId(row));
    rows.set(rowId(row), known ? pool(known, row) : row);
  }
  return {
    ...b,
    rows: [...rows.values()],
    nets: [...a.nets, ...b.nets],
    corrections: { ...a.corrections, ...b.corrections },
    quality: { ...a.quality, ...b.quality },
    reference: { ...a.reference, ...b.reference },
  };
}

function pool(a: LatencyRow, b: LatencyRow): LatencyRow {
  const n = a.n + b.n;
  const us = (a.n * a.us + b.n * b.us) / n;
  const variance = (r: LatencyRow) => (r.spread * r.us) ** 2 + (r.us - us) ** 2;
  const spread = us > 0 ? Math.sqrt((a.n * variance(a) + b.n * variance(b)) / n) / us : 0;
  return { ...a, n, us, launches: (a.n * a.launches + b.n * b.launches) / n, spread };
}

/** The row measured at exactly these widths. */
export function lookup(
  table: LatencyTable,
  key: string,
  widths: readonly number[],
  precision: LatencyRow["precision"],
): LatencyRow | undefined {
  const id = rowId({ key, widths: [...widths], precision });
  return table.rows.find((r) => rowId(r) === id);
}
