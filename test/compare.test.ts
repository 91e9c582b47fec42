/** The arena on a device whose latency is a known staircase: budgets, resumption, and what is written of it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CompareOptions, compare } from "../toolkit/compare.js";
import type { Dataset, Split } from "../toolkit/data/dataset.js";
import { randomBatch } from "../toolkit/data/random.js";
import { cloneGraph, type Graph } from "../toolkit/graph/graph.js";
import { tidy } from "../toolkit/graph/tidy.js";
import { readModel, writeModel } from "../toolkit/onnx/index.js";
import { foldBatchNorm } from "../toolkit/ops/foldBatchNorm.js";
import { inferShapes } from "../toolkit/ops/infer.js";
import { bestOf, comparisonSchema, renderComparisonHtml } from "../toolkit/report/index.js";
import { residualNet } from "./latency/fakeDevice.js";
import { drawWeights, ExactDevice } from "./support/exactDevice.js";

/** Folds batch norms as a runtime does. */
const foldingDevice = (): ExactDevice =>
  new ExactDevice((bytes) => writeModel(foldBatchNorm(inferShapes(tidy(readModel(bytes))))));

function net(): Graph {
  const fixed = residualNet();
  const open = { ...cloneGraph(fixed), valueTypes: new Map() };
  open.inputs = fixed.inputs.map((v) => ({ ...v, type: { ...v.type, dims: ["N", ...v.type.dims!.slice(1)] } }));
  open.outputs = fixed.outputs.map((v) => ({ ...v, type: { elemType: "float32" } }));
  return drawWeights(inferShapes(open));
}

function split(count: number, seed: number, labelled = true): Split {
  const all = randomBatch([count, 3, 16, 16], seed).data;
  return {
    count,
    labelled,
    batch: async (indices) => ({
      data: Float32Array.from(Array.from(indices).flatMap((i) => [...all.subarray(i * 768, (i + 1) * 768)])),
      dims: [indices.length, 3, 16, 16],
      ...(labelled ? { labels: Int32Array.from(indices, (i) => i % 10) } : {}),
    }),
  };
}

const data: Dataset = { name: "noise", train: split(48, 1), test: split(20, 2), skipped: [] };
let folder: string;
const options = (o: Partial<CompareOptions> = {}): CompareOptions => ({
  model: join(folder, "net.onnx"),
  methods: ["uniform", "l2"],
  budget: "60%",
  data,
  epochs: 0.5,
  batchSize: 8,
  seed: 3,
  trainingThreads: 1,
  ownThread: false,
  device: foldingDevice(),
  cacheDir: join(folder, "cache"),
  ...o,
});

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-compare-"));
  writeFileSync(join(folder, "net.onnx"), writeModel(net()));
  writeFileSync(join(folder, "fixed.onnx"), writeModel(residualNet()));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("compare", { timeout: 240_000 }, () => {
  test("every structured net keeps the budget as the device measures it; an unstructured one is as slow as the original", async () => {
    const device = foldingDevice();
    const { comparison: r, models } = await compare(options({ device, methods: ["uniform", "l2", "magnitude"] }));
    expect(comparisonSchema.parse(r)).toEqual(r);
    const true_ = async (bytes: Uint8Array): Promise<number> => device.trueMs((await device.load(bytes)).id);
    const original = await true_(writeModel(net()));
    for (const m of r.methods) {
      const ms = await true_(models.get(m.file)!);
      expect(m.latencyMs.p50).toBeCloseTo(ms, 9);
      expect(m.met).toBe(m.method !== "magnitude");
      if (m.method === "magnitude") expect(ms).toBeCloseTo(original, 9);
      else {
        expect(ms).toBeLessThanOrEqual(0.6 * original);
        // The table was corrected at the target, so little of the budget is left lying.
        expect(ms).toBeGreaterThan(0.45 * original);
      }
      expect(m.steps.used).toBeLessThanOrEqual(r.recipe.steps + 0.01);
    }
    expect(bestOf(r)?.method).not.toBe("magnitude");
    expect(device.open).toBe(4);
  });

  test("finished runs are read back, and an interrupted one goes on to the same net", async () => {
    const whole = await compare(options({ methods: ["uniform"], epochs: 1, folder: join(folder, "whole") }));
    const stopped = join(folder, "stopped");
    const controller = new AbortController();
    const run = compare(
      options({
        methods: ["uniform"],
        epochs: 1,
        folder: stopped,
        signal: controller.signal,
        onProgress: (e) => {
          if (e.note?.includes("training 3/")) controller.abort(new Error("enough"));
        },
      }),
    );
    await expect(run).rejects.toThrow("enough");
    const resumed = await compare(options({ methods: ["uniform"], epochs: 1, folder: stopped }));
    const bytes = (r: typeof whole) => Buffer.from(r.models.get("net.uniform.onnx")!).toString("base64");
    expect(bytes(resumed)).toBe(bytes(whole));
    const stages = new Set<string>();
    const again = await compare(
      options({ methods: ["uniform"], epochs: 1, folder: stopped, onProgress: (e) => stages.add(e.stage) }),
    );
    expect(stages.has("comparing methods")).toBe(false);
    expect(bytes(again)).toBe(bytes(whole));
  });

  test("multiply-accumulates as the budget, and a method that cannot reach it named with its reason", async () => {
    const { comparison: r } = await compare(
      options({ cost: "macs", budget: "50%", methods: ["uniform"], epochs: 0.2 }),
    );
    expect(r.methods[0].macs).toBeLessThanOrEqual(0.5 * r.original.macs);
    const run = compare(options({ cost: "macs", budget: "0.1%", methods: ["uniform"], epochs: 0.2 }));
    await expect(run).rejects.toMatchObject({ code: "no-method", message: expect.stringContaining("uniform") });
  });

  test.each<[string, Partial<CompareOptions>, string]>([
    ["a method that is none", { methods: ["magic"] }, "method"],
    ["data without labels", { data: { ...data, train: split(48, 1, false) } }, "no-labels"],
    ["milliseconds for counted multiplications", { cost: "macs", budget: "8ms" }, "budget"],
    ["settings of a method that is none", { settings: { magic: {} } }, "method"],
    ["a model for one image at a time", { model: "fixed.onnx" }, "fixed-batch"],
    ["a setting that is none", { settings: { l2: { depth: 3 } }, cost: "macs" }, "method-setting"],
  ])("refuses %s", async (_, { model, ...o }, code) => {
    const own = model ? { model: join(folder, model) } : {};
    await expect(compare(options({ ...o, ...own }))).rejects.toMatchObject({ code });
  });

  test("the page names every method and escapes what it is given", async () => {
    const { comparison: r } = await compare(options({ cost: "macs", methods: ["uniform", "l2"], epochs: 0.2 }));
    const page = renderComparisonHtml({
      ...r,
      model: { ...r.model, file: "<b>net" },
      failed: [{ method: "x", reason: "a < b" }],
    });
    for (const m of r.methods) expect(page).toContain(m.title);
    expect(page).toContain("&lt;b&gt;net");
    expect(page).toContain("a &lt; b");
    expect(page).not.toContain("<b>net");
    expect(page).not.toMatch(/<script|NaN|undefined/);
    for (const g of r.groups) expect(page).toContain(g.id);
  });
});
