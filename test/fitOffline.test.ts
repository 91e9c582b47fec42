/** A fit against a saved table of a device whose latency is a known staircase: what is predicted is checked against the truth. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colorsFor } from "../toolkit/cli/colors.js";
import { fitSummary } from "../toolkit/cli/summarizeFigures.js";
import { fit as fitModel } from "../toolkit/fit.js";
import { cloneGraph, type Graph } from "../toolkit/graph/graph.js";
import { floats } from "../toolkit/graph/tensor.js";
import type { LatencyTable } from "../toolkit/latency/index.js";
import { readModel, writeModel } from "../toolkit/onnx/index.js";
import { profileModel } from "../toolkit/profile.js";
import { fitReportSchema, renderHtml } from "../toolkit/report/index.js";
import { readBaseline } from "../toolkit/verify.js";
import { FakeDevice, fakeVariant, residualNet } from "./latency/fakeDevice.js";
import { gaussian } from "./support/random.js";

let folder: string;
let model: string;
let graph: Graph;
let table: LatencyTable;
const file = (name: string, value: unknown): string => {
  const path = join(folder, name);
  writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
};
const options = (device: string) => ({
  model,
  device,
  budget: "60%",
  offline: true,
  int8: "off" as const,
  cacheDir: join(folder, "cache"),
  calibrationImages: 24,
  seed: 3,
});

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-offline-"));
  graph = cloneGraph(residualNet());
  const normal = gaussian(21);
  for (const [name, t] of graph.initializers)
    if (t.elemType === "float32")
      graph.initializers.set(
        name,
        floats(
          Float32Array.from({ length: t.data.length }, () => normal() / 17),
          t.dims,
        ),
      );
  model = join(folder, "net.onnx");
  writeFileSync(model, writeModel(graph));
  const runner = new FakeDevice();
  const profile = await profileModel({
    graph,
    runner,
    seed: 5,
    cacheDir: join(folder, "cache"),
    toVariant: fakeVariant,
  });
  table = profile.table;
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("fit --offline", () => {
  test("cuts to a budget by a saved table, and marks every latency as predicted", { timeout: 240_000 }, async () => {
    const warnings: string[] = [];
    const { report, model: bytes } = await fitModel({
      ...options(file("board.table.json", table)),
      onWarning: (w) => void warnings.push(w),
    });
    expect(fitReportSchema.parse(report)).toEqual(report);
    expect(report.latencySource).toBe("predicted");
    expect(report.golden).toBeNull();
    expect(report.prediction.errorPct).toBeNull();
    expect(report.device.id).toBe("fake-t1");
    for (const m of [report.original, report.fitted]) {
      expect(m).toMatchObject({ initMs: null, firstRunMs: null, peakMemoryBytes: null });
      expect(m.latencyMs).toMatchObject({ n: 0, min: null, mean: null, p95: null });
    }
    expect(report.candidates.every((c) => !c.measured)).toBe(true);
    expect(warnings).toContainEqual(expect.stringContaining("not measured"));
    expect(readModel(bytes).model.metadata.get("edgefit.p50_ms")).toMatch(/\(predicted\)$/);

    const device = new FakeDevice();
    const [before, after] = [await device.load(writeModel(graph)), await device.load(bytes)];
    const share = device.trueMs(after.id) / device.trueMs(before.id);
    expect(share).toBeLessThan(0.612);
    expect(report.fitted.latencyMs.p50 / device.trueMs(after.id)).toBeCloseTo(1, 1);
    expect(report.budget.met).toBe(true);

    const page = renderHtml(report);
    expect(page).toContain("predicted from a saved table");
    expect(page).not.toContain("Measured on the device");
    expect(page).not.toMatch(/Samples|First run|NaN|null/);
    const colors = colorsFor(process.stdout, { NO_COLOR: "1" });
    const terminal = stripVTControlCharacters(fitSummary(report, [], colors));
    expect(terminal).toContain("by prediction");
    expect(terminal).toContain("latency p50, predicted");
    expect(terminal).toMatch(/ms predicted, met by the table/);
    expect(terminal).not.toMatch(/ms measured|interleaved|NaN|null/);
    await expect(readBaseline(file("report.json", report))).rejects.toMatchObject({ code: "baseline-predicted" });
  });

  test("takes a profile that names its table, and warns of another version of the runtime", {
    timeout: 240_000,
  }, async () => {
    file("old.table.json", { ...table, runtime: { ...table.runtime, package: "onnxruntime-node", version: "1.2.3" } });
    const profile = {
      schemaVersion: 1,
      id: "old",
      title: "an old board",
      kind: "node-cpu",
      hardware: { cpu: "abacus", cores: 1, isa: [], memoryBytes: null },
      os: { platform: "linux", arch: "x64" },
      runtime: {
        package: "onnxruntime-node",
        version: "1.2.3",
        provider: "CPUExecutionProvider",
        threads: 1,
        graphOptimizationLevel: "all",
      },
      conditions: { governor: null, charging: null, notes: null },
      channelAlignment: 4,
      emulated: false,
      match: null,
      measured: { table: "old.table.json", date: "2026-01-02", machine: "abacus" },
      notes: [],
    };
    const { report } = await fitModel({ ...options(file("old.json", profile)), budget: "100%" });
    expect(report.device.id).toBe("old");
    expect(report.warnings).toContainEqual(expect.stringMatching(/1\.2\.3.*is installed here/));
    await expect(fitModel(options(file("bare.json", { ...profile, measured: null })))).rejects.toMatchObject({
      code: "profile-unmeasured",
    });
  });

  test.each([
    ["local", { code: "device-not-saved" }],
    ["desktop-x64", { code: "profile-unmeasured" }],
    ["missing.json", { code: "device-unreadable" }],
  ])("refuses %s", async (device, error) => {
    await expect(fitModel(options(device))).rejects.toMatchObject(error);
  });

  test("refuses what is no JSON, a broken table, p95, another model's table, and a budget out of reach", {
    timeout: 240_000,
  }, async () => {
    await expect(fitModel(options(file("text.json", "{")))).rejects.toMatchObject({ code: "device-not-json" });
    await expect(fitModel(options(file("rows.json", { rows: [] })))).rejects.toMatchObject({ code: "table-malformed" });
    const good = file("good.table.json", table);
    await expect(fitModel({ ...options(good), percentile: "p95" })).rejects.toMatchObject({ code: "offline-p95" });
    const other = file("other.table.json", { ...table, rows: table.rows.slice(0, 1) });
    await expect(fitModel(options(other))).rejects.toMatchObject({ code: "table-mismatch" });
    await expect(fitModel({ ...options(good), budget: "1%" })).rejects.toMatchObject({
      code: "budget-missed",
      message: expect.stringContaining("predicted"),
    });
    await expect(fitModel({ ...options(good), device: undefined })).rejects.toMatchObject({ code: "offline-device" });
  });
});
