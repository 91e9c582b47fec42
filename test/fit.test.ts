/** The whole job on a device whose latency is a known staircase, so that budgets can be checked without a clock. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Dataset, Split } from "../toolkit/data/dataset.js";
import { randomBatch } from "../toolkit/data/random.js";
import { fit as fitModel } from "../toolkit/fit.js";
import { checkGraph } from "../toolkit/graph/check.js";
import { cloneGraph, feedsOf, type Graph } from "../toolkit/graph/graph.js";
import { floats } from "../toolkit/graph/tensor.js";
import { readModel, writeModel } from "../toolkit/onnx/index.js";
import { fitReportSchema } from "../toolkit/report/index.js";
import { withSession } from "../toolkit/runtime/session.js";
import { residualNet } from "./latency/fakeDevice.js";
import { drawWeights, ExactDevice } from "./support/exactDevice.js";

/** The fake device's net with weights that make its channels differ. */
const net = (): Graph => drawWeights(cloneGraph(residualNet()));

function split(count: number, seed: number): Split {
  const all = randomBatch([count, 3, 16, 16], seed).data;
  return {
    count,
    labelled: true,
    batch: async (indices) => ({
      data: Float32Array.from(Array.from(indices).flatMap((i) => [...all.subarray(i * 768, (i + 1) * 768)])),
      dims: [indices.length, 3, 16, 16],
      labels: Int32Array.from(indices, (i) => i % 10),
    }),
  };
}

let folder: string;
let model: string;
const data: Dataset = { name: "noise", train: split(48, 1), test: split(20, 2), skipped: [] };
const options = () => ({
  model,
  data,
  int8: "off" as const,
  cacheDir: join(folder, "cache"),
  calibrationImages: 32,
  seed: 3,
});

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-fit-"));
  model = join(folder, "net.onnx");
  writeFileSync(model, writeModel(net()));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("fit", () => {
  test.each(["80%", "60%", "45%"])(
    "%s: the fitted model keeps the budget and runs unoptimised as well as optimised",
    async (budget) => {
      const device = new ExactDevice();
      const { report, model: bytes } = await fitModel({ ...options(), device, budget });
      expect(fitReportSchema.parse(report)).toEqual(report);
      expect(report.budget.ms).toBeCloseTo((report.original.latencyMs.p50 * Number.parseInt(budget, 10)) / 100, 9);
      expect(report.fitted.latencyMs.p50).toBeLessThanOrEqual(report.budget.ms);
      expect(report.fitted.macs).toBeLessThan(report.original.macs);
      // What was reported is what the written file takes.
      const { id } = await device.load(bytes);
      expect(device.trueMs(id)).toBeCloseTo(report.fitted.latencyMs.p50, 9);

      const g = readModel(bytes);
      checkGraph(g);
      expect(feedsOf(g).map((v) => v.name)).toEqual(["image"]);
      expect(g.outputs.map((v) => v.name)).toEqual(["logits"]);
      expect(g.model.metadata.get("edgefit.source_sha256")).toBe(report.model.sha256);
      expect(Number(g.model.metadata.get("edgefit.p50_ms"))).toBeCloseTo(report.fitted.latencyMs.p50, 3);
      const image = floats(randomBatch([1, 3, 16, 16], 9).data, [1, 3, 16, 16]);
      const run = (level: "disabled" | "all") => withSession(bytes, { level }, (s) => s.run({ image }));
      const [plain, optimised] = [(await run("disabled")).logits, (await run("all")).logits];
      for (let i = 0; i < 10; i++) expect(Number(plain.data[i])).toBeCloseTo(Number(optimised.data[i]), 4);
    },
  );

  test("a branch that goes as a whole is gone from the model, from the report and from the prediction", async () => {
    const device = new ExactDevice();
    const { report, model: bytes } = await fitModel({ ...options(), device, budget: "15%" });
    const gone = report.layers.filter((l) => l.widthAfter === 0);
    expect(gone.length).toBeGreaterThan(0);
    const names = new Set(readModel(bytes).nodes.map((n) => n.name));
    for (const l of gone) {
      expect(names.has(l.name)).toBe(false);
      expect(l.msAfter).toBe(0);
    }
    for (const l of report.layers) if (l.widthAfter !== 0) expect(names.has(l.name)).toBe(true);
    expect(report.groups.some((g) => g.widthAfter === 0)).toBe(true);
    expect(Math.abs(report.prediction.errorPct!)).toBeLessThan(5);
  });

  test("blocks: keep narrows layers and removes none", async () => {
    const device = new ExactDevice();
    const { report } = await fitModel({ ...options(), device, budget: "45%", blocks: "keep" });
    expect(report.layers.every((l) => l.widthAfter !== 0)).toBe(true);
    expect(report.budget.met).toBe(true);
  });

  test("a smaller budget never leaves more multiplications", async () => {
    const macs = [];
    for (const budget of ["90%", "70%", "50%"])
      macs.push((await fitModel({ ...options(), device: new ExactDevice(), budget })).report.fitted.macs);
    expect(macs).toEqual([...macs].sort((a, b) => b - a));
  });

  test("a second run measures no table, ranks no channel, and finds the same widths", async () => {
    const first = await fitModel({ ...options(), device: new ExactDevice(), budget: "60%" });
    const device = new ExactDevice();
    const second = await fitModel({ ...options(), device, budget: "60%" });
    expect(device.profiles).toBe(0);
    expect(second.report.groups).toEqual(first.report.groups);
  });

  test("an impossible budget is a BudgetError that names the fastest latency, with exit status 2", async () => {
    const run = fitModel({ ...options(), device: new ExactDevice(), budget: "2%" });
    await expect(run).rejects.toMatchObject({ code: "budget-missed", exit: 2 });
    const { fastestMs } = await run.catch((e) => e);
    expect(fastestMs).toBeGreaterThan(0);
  });

  test("every session on the device is unloaded, after success and after a missed budget", async () => {
    for (const budget of ["60%", "2%"]) {
      const device = new ExactDevice();
      await fitModel({ ...options(), device, budget }).catch(() => {});
      expect(device.open).toBe(0);
    }
  });

  test("without data it says that its statistics come from noise", async () => {
    const { report } = await fitModel({ ...options(), data: undefined, device: new ExactDevice(), budget: "70%" });
    expect(report.warnings.join()).toMatch(/random noise/);
    expect(report.fitted.accuracy).toBeNull();
  });

  test("aborting rejects with the reason and leaves nothing loaded", async () => {
    const device = new ExactDevice();
    const controller = new AbortController();
    const run = fitModel({
      ...options(),
      device,
      budget: "60%",
      cacheDir: join(folder, "fresh"),
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("enough")),
    });
    await expect(run).rejects.toThrow("enough");
    expect(device.open).toBe(0);
  });

  test.each(["l1", "bn", "taylor", "hessian", "activation", "random"] as const)(
    "ranks by %s too",
    async (criterion) => {
      const { report } = await fitModel({ ...options(), device: new ExactDevice(), budget: "60%", criterion });
      expect(report.budget.met).toBe(true);
      expect(report.settings.criterion).toBe(criterion);
    },
  );
});
