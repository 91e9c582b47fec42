import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fitReportSchema, reportJsonSchema } from "../../toolkit/report/schema.js";
import { sampleReport } from "./sampleReport.js";

describe("report.json", () => {
  test("survives a trip through JSON", () => {
    const report = sampleReport();
    expect(fitReportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  test.each([
    ["a latency that is not a number", (r: ReturnType<typeof sampleReport>) => (r.fitted.latencyMs.p50 = Number.NaN)],
    [
      "an accuracy in percent",
      (r: ReturnType<typeof sampleReport>) => (r.original.accuracy = { top1: 94.37, images: 1 }),
    ],
    ["a hash of the wrong length", (r: ReturnType<typeof sampleReport>) => (r.model.sha256 = "abc")],
    ["a negative stage time", (r: ReturnType<typeof sampleReport>) => (r.seconds.profile = -1)],
  ])("refuses %s", (_, spoil) => {
    const report = sampleReport();
    spoil(report);
    expect(fitReportSchema.safeParse(report).success).toBe(false);
  });

  test("holds what programs rely on", () => {
    const { device, runtime, budget, original, fitted, prediction, layers, seconds } = sampleReport();
    expect([device.id, runtime.provider, runtime.threads, budget.ms]).not.toContain(undefined);
    for (const m of [original, fitted]) {
      expect(Object.keys(m)).toEqual(expect.arrayContaining(["latencyMs", "accuracy", "macs", "params", "bytes"]));
      expect(Object.keys(m.latencyMs)).toEqual(expect.arrayContaining(["p50", "p95", "min"]));
    }
    expect(Object.keys(prediction)).toEqual(["tableMs", "correctedMs", "errorPct"]);
    expect(layers.length).toBeGreaterThan(0);
    expect(Object.keys(seconds)).toContain("profile");
  });

  test("the published JSON Schema is the one in use (npm run schema writes it)", () => {
    const published = readFileSync(join(import.meta.dirname, "../../docs/report.schema.json"), "utf8");
    expect(JSON.parse(published)).toEqual(JSON.parse(JSON.stringify(reportJsonSchema())));
  });
});
