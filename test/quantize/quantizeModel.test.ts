import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeviceFacts } from "../../runners/index.js";
import type { Dataset, Split } from "../../toolkit/data/dataset.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph, opsetOf } from "../../toolkit/graph/graph.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { knapsack } from "../../toolkit/prune/allocate.js";
import { chooseByKnapsack } from "../../toolkit/quantize/index.js";
import { quantizeModel } from "../../toolkit/quantizeModel.js";
import { quantizeReportSchema, renderQuantizeHtml } from "../../toolkit/report/index.js";
import { IntegerDevice } from "./integerDevice.js";
import { conv3, images, net, noise, outputOf } from "./support.js";

const classes = 5;

function classifier(batch: number | string = "N"): Graph {
  return net([batch, 3, 8, 8], (g, x) => {
    const y = g.relu(conv3(g, x, 3, 8, 1));
    const z = g.relu(g.add(y, conv3(g, y, 8, 8, 2)));
    const flat = g.emit("Flatten", [g.emit("GlobalAveragePool", [g.relu(conv3(g, z, 8, 8, 3))])], {
      axis: attr.int(1),
    });
    const w = g.initializer("fc_w", noise([8, classes], 90));
    return g.emit("Gemm", [flat, w, g.initializer("fc_b", noise([classes], 91))], {}, { name: "head" });
  });
}

/** Noise images whose labels are what the float net says. */
async function split(g: Graph, count: number, seed: number, labelled = true): Promise<Split> {
  const all = images([count, 3, 8, 8], seed);
  const scores = await outputOf(g, all);
  const labelOf = (i: number): number => {
    const row = scores.subarray(i * classes, (i + 1) * classes);
    return row.indexOf(Math.max(...row));
  };
  return {
    count,
    labelled,
    batch: async (indices) => ({
      data: Float32Array.from(Array.from(indices).flatMap((i) => [...all.data.subarray(i * 192, (i + 1) * 192)])),
      dims: [indices.length, 3, 8, 8],
      ...(labelled ? { labels: Int32Array.from(indices, labelOf) } : {}),
    }),
  };
}

let folder: string;
let model: string;
let data: Dataset;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-quantize-model-"));
  model = join(folder, "net.onnx");
  const g = classifier();
  writeFileSync(model, writeModel(g));
  data = { name: "noise", train: await split(g, 160, 1), test: await split(g, 40, 2), skipped: [] };
});
afterAll(() => rmSync(folder, { recursive: true }));

let runs = 0;
/** Tables are kept per device by its name and facts, which the devices here share: each run gets a cache of its own. */
const options = () => ({ model, data, images: 64, cacheDir: join(folder, `cache${runs++}`), quality: "fast" as const });
const fast = (node: string, integer: boolean): number => (integer ? 10 : 30) + node.length / 100;

describe("quantizeModel", () => {
  test("without a device: an INT8 file, and a report that is JSON and a page", async () => {
    const { model: bytes, report } = await quantizeModel(options());
    expect(quantizeReportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
    expect(report.answer).toBe("int8");
    expect(report.device).toBeNull();
    expect(report.latency).toBeNull();
    expect(report.test).toMatchObject({ measures: "accuracy", before: 1, images: 40 });
    expect(report.test!.after).toBeGreaterThan(0.9);
    const g = readModel(bytes);
    checkGraph(g);
    expect(opsetOf(g)).toBe(17);
    expect(g.model.metadata.get("edgefit.source_sha256")).toBe(report.model.sha256);
    expect(report.layers.map((l) => l.node)).toEqual(expect.arrayContaining(["conv1", "conv2", "conv3", "head"]));
    const page = renderQuantizeHtml(report);
    expect(page).toContain("<svg");
    expect(page).not.toMatch(/<script|http/);
  });

  test("explains every layer, most harmful first, with consistent figures", async () => {
    const { report } = await quantizeModel({ ...options(), explain: true });
    const harms = report.layers.flatMap((l) => (l.harmDb === null ? [] : [l.harmDb]));
    expect(harms).toHaveLength(4);
    expect(harms).toEqual([...harms].sort((a, b) => a - b));
    for (const l of report.layers.filter((x) => x.op === "Conv")) {
      expect(l.histogram!.counts.reduce((a, b) => a + b, 0)).toBeGreaterThan(0);
      expect(l.observed!.low).toBeGreaterThanOrEqual(l.histogram!.low);
      expect(l.saturatedShare).toBeLessThan(0.05);
      expect(l.weightDb).toBeGreaterThan(30);
      expect(l.valueDb).toBeGreaterThan(15);
      // Every convolution has a Relu behind it, or ends in a sum.
      expect(l.range!.high).toBeGreaterThan(0);
    }
  });

  test("a device where INT8 gains gets INT8, timed in the same run", async () => {
    const device = new IntegerDevice({ us: fast });
    const { report, model: bytes } = await quantizeModel({ ...options(), device });
    expect(report.answer).toBe("int8");
    expect(report.latency!.ratio).toBeCloseTo(report.latency!.floatMs / report.latency!.answerMs, 6);
    expect(report.latency!.ratio).toBeGreaterThan(2);
    const { id } = await device.load(bytes);
    expect(device.ms(id)).toBeCloseTo(report.latency!.answerMs, 9);
    const head = report.layers.find((l) => l.node === "head")!;
    expect(head.integerMs).toBeLessThan(head.floatMs!);
  });

  test("a device where INT8 loses gets the float model, and is told why", async () => {
    const device = new IntegerDevice({ us: (_, integer) => (integer ? 30 : 10) });
    const { report, model: bytes } = await quantizeModel({ ...options(), device });
    expect(report.answer).toBe("fp32");
    expect(report.why).toMatch(/speed of float|had to stay float/);
    expect(report.warnings.join()).toContain("INT8 is not used");
    expect(readModel(bytes).nodes.some((n) => n.opType === "QuantizeLinear")).toBe(false);
  });

  test("a layer that is slower on integers stays float, the others do not", async () => {
    const device = new IntegerDevice({
      us: (node, integer) => (node === "conv2" ? (integer ? 200 : 10) : integer ? 10 : 60),
    });
    const { report } = await quantizeModel({ ...options(), device });
    expect(report.answer).toBe("mixed");
    const float = report.layers.filter((l) => l.precision === "fp32");
    expect(float.map((l) => [l.node, l.reason])).toEqual([["conv2", "no faster in INT8"]]);
    expect(report.why).toContain("1 layer (no faster in INT8)");
  });

  test("WebGPU gets the float model: it has no integer kernels", async () => {
    const device = new IntegerDevice({ kind: "web-webgpu", us: fast });
    const { report } = await quantizeModel({ ...options(), device });
    expect(report.answer).toBe("fp32");
    expect(report.why).toContain("WebGPU");
  });

  test("7-bit weights follow the processor unless they are asked for or forbidden", async () => {
    const reduced = async (
      isa: readonly string[],
      arch: string,
      reduceRange?: "on" | "off",
      kind: DeviceFacts["kind"] = "node-cpu",
    ) => {
      const device = new IntegerDevice({ us: fast, isa, arch, kind });
      const { report, model: bytes } = await quantizeModel({
        ...options(),
        device,
        ...(reduceRange ? { reduceRange } : {}),
      });
      const weights = [...readModel(bytes).initializers.values()].filter(
        (t) => t.elemType === "int8" && t.data.length > 8,
      );
      const largest = Math.max(...weights.flatMap((t) => [...(t.data as Int8Array)].map(Math.abs)));
      expect(largest).toBe(report.settings.reduceRange ? 64 : 127);
      return report.settings.reduceRange;
    };
    expect(await reduced(["avx2"], "x64")).toBe(true);
    expect(await reduced(["avx2", "avx512_vnni"], "x64")).toBe(false);
    expect(await reduced(["neon"], "arm64")).toBe(false);
    expect(await reduced(["avx2"], "x64", "off")).toBe(false);
    expect(await reduced(["neon"], "arm64", "on")).toBe(true);
    // WebAssembly widens before it multiplies, whatever the processor below can do.
    expect(await reduced(["avx2"], "x64", undefined, "node-wasm")).toBe(false);
  });

  test("labels or not: what is lost is accuracy or agreement", async () => {
    const g = classifier();
    const unlabelled = { ...data, train: await split(g, 160, 1, false), test: await split(g, 40, 2, false) };
    const { report } = await quantizeModel({ ...options(), data: unlabelled, maxDrop: 10 });
    expect(report.drop).toMatchObject({ measures: "agreement", allowed: 10 });
    expect(report.test!.measures).toBe("agreement");
  });

  test("nodes can be kept float by name; a name that no node has is an error with a suggestion", async () => {
    const { report } = await quantizeModel({ ...options(), keepFloat: ["conv3"] });
    expect(report.answer).toBe("mixed");
    expect(report.layers.find((l) => l.node === "conv3")).toMatchObject({ precision: "fp32", reason: "asked for" });
    await expect(quantizeModel({ ...options(), keepFloat: ["conv"] })).rejects.toMatchObject({
      code: "node-unknown",
      hint: expect.stringContaining("conv1"),
    });
  });

  test("weights alone need no data", async () => {
    const { report, model: bytes } = await quantizeModel({ model, weightOnly: true });
    expect(report.answer).toBe("weights-only");
    expect(readModel(bytes).nodes.filter((n) => n.opType === "MatMulNBits")).toHaveLength(1);
    expect(quantizeReportSchema.parse(report)).toEqual(report);
  });

  test("what cannot be done is said", async () => {
    await expect(quantizeModel({ model })).rejects.toMatchObject({ code: "no-data" });
    await expect(quantizeModel({ ...options(), dynamic: true })).rejects.toMatchObject({
      code: "dynamic-quantization",
      message: expect.stringContaining("ConvInteger"),
    });
    await expect(quantizeModel({ ...options(), percentile: 99.9 })).rejects.toMatchObject({ code: "percentile" });
    await expect(quantizeModel({ ...options(), ranges: "percentile", percentile: 20 })).rejects.toMatchObject({
      code: "percentile",
    });
    await expect(quantizeModel({ ...options(), format: "qoperator", activations: "s16" })).rejects.toMatchObject({
      code: "qoperator-wide",
    });
  });

  test.each(["minmax", "moving-average", "percentile", "entropy", "mse"] as const)(
    "ranges by %s alone",
    async (ranges) => {
      const { report } = await quantizeModel({ ...options(), ranges });
      expect(report.settings.ranges).toContain(ranges);
      expect(new Set(report.candidates.map((c) => c.ranges)).size).toBe(1);
      expect(report.outputs[0].sqnrDb).toBeGreaterThan(15);
    },
  );

  test("balanced quality is no further from float than fast", async () => {
    const worst = async (quality: "fast" | "balanced"): Promise<number> =>
      (await quantizeModel({ ...options(), quality })).report.outputs[0].sqnrDb!;
    expect(await worst("balanced")).toBeGreaterThan((await worst("fast")) - 0.5);
  });
});

describe("the knapsack", () => {
  const layers = [
    { node: "noisy", sqnrDb: 10 },
    { node: "clean", sqnrDb: 50 },
    { node: "slow", sqnrDb: 60 },
    { node: "middling", sqnrDb: 25 },
  ];
  const noise = (kept: ReadonlySet<string>): number =>
    layers.reduce((sum, l) => sum + (kept.has(l.node) ? 0 : 10 ** (-l.sqnrDb / 10)), 0);
  const floatMs = (n: string): number => ({ noisy: 5, clean: 3, slow: 1, middling: 2 })[n]!;
  const integerMs = (n: string): number => (n === "slow" ? 2 : 1);
  const msOf = (kept: ReadonlySet<string>): number =>
    layers.reduce((s, l) => s + (kept.has(l.node) ? floatMs(l.node) : integerMs(l.node)), 0);

  test("is no slower than any acceptable choice of all", async () => {
    for (const bearable of [1, 0.05, 0.004, 1e-4, 1e-7]) {
      const accepts = async (kept: ReadonlySet<string>): Promise<boolean> => noise(kept) <= bearable;
      const choice = await chooseByKnapsack(layers, { floatMs, integerMs, knapsack, accepts });
      expect(choice.meetsFloor).toBe(true);
      expect(noise(choice.keepFloat)).toBeLessThanOrEqual(bearable);
      expect(choice.ms).toBeCloseTo(msOf(choice.keepFloat), 9);
      let least = Number.POSITIVE_INFINITY;
      for (let bits = 0; bits < 16; bits++) {
        const kept = new Set(layers.filter((_, i) => bits & (1 << i)).map((l) => l.node));
        if (noise(kept) <= bearable) least = Math.min(least, msOf(kept));
      }
      expect(choice.ms).toBeCloseTo(least, 9);
      expect(choice.reasons.get("slow")).toBe("not-faster");
    }
  });

  test("an accuracy that even float misses is admitted", async () => {
    const choice = await chooseByKnapsack(layers, { floatMs, integerMs, knapsack, accepts: async () => false });
    expect(choice.meetsFloor).toBe(false);
    expect(choice.keepFloat.size).toBe(4);
  });
});

test("a folded weight that is not used any more does not travel along", async () => {
  const { model: bytes } = await quantizeModel(options());
  const g = readModel(bytes);
  const used = new Set(g.nodes.flatMap((n) => n.inputs));
  for (const name of g.initializers.keys()) expect(used.has(name), name).toBe(true);
  expect([...g.initializers.values()].some((t) => t.elemType === "float32" && t.data.length > 64)).toBe(false);
});
