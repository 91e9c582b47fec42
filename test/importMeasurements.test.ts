/** Measurements of other tools: a profile that ONNX Runtime itself writes here, and benchmark_model's CSV after its documentation. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readProfileTrace } from "../runners/index.js";
import { readBenchmarkModel } from "../toolkit/benchmarkModel.js";
import { importMeasurements } from "../toolkit/importMeasurements.js";
import { kernelsOf, type LatencyTable, latencyModel, parseTable } from "../toolkit/latency/index.js";
import { writeModel } from "../toolkit/onnx/index.js";
import { symbolicOf } from "../toolkit/profileDesign.js";
import { findGroups } from "../toolkit/prune/groups.js";
import { traceEvents } from "../toolkit/traceEvents.js";
import { residualNet } from "./latency/fakeDevice.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-import-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const graph = residualNet();
let model: string;
let profile: string;

beforeAll(async () => {
  model = join(folder, "net.onnx");
  writeFileSync(model, writeModel(graph));
  const session = await ort.InferenceSession.create(model, {
    enableProfiling: true,
    profileFilePrefix: join(folder, "ort"),
    intraOpNumThreads: 1,
  });
  const image = new ort.Tensor("float32", new Float32Array(768), [1, 3, 16, 16]);
  for (let i = 0; i < 13; i++) await session.run({ image });
  session.endProfiling();
  await session.release();
  profile = join(folder, readdirSync(folder).find((f) => f.startsWith("ort"))!);
});

/** Milliseconds that a table gives to the whole model. */
function wholeMs(table: LatencyTable): number {
  const groups = findGroups(graph);
  const full = new Map(groups.prunable.map((g) => [g.id, g.width]));
  return latencyModel(table, kernelsOf(graph, symbolicOf(groups))).msAt(full).ms;
}

describe("ONNX Runtime's own profile", () => {
  test("becomes a table whose whole is the median call, and whose rows are its nodes", async () => {
    const warnings: string[] = [];
    const table = await importMeasurements({
      id: "board",
      model,
      from: profile,
      onWarning: (w) => void warnings.push(w),
    });
    expect(parseTable(JSON.stringify(table), "t")).toEqual(table);
    const seen = readProfileTrace(readFileSync(profile, "utf8"));
    expect(seen.callsUs).toHaveLength(10);
    const middle = Float64Array.from(seen.callsUs).sort()[5] / 1000;
    expect(table.reference.fp32).toBeCloseTo(middle, 9);
    expect(wholeMs(table)).toBeCloseTo(middle, 6);
    expect(table.rows.length).toBeGreaterThan(4);
    expect(table.rows.every((r) => r.n >= 10)).toBe(true);
    expect(table.device).toMatchObject({ id: "board", kind: "imported" });
    expect(warnings).toEqual([]);
  });

  test("survives the way through edgefit's own trace", async () => {
    const seen = readProfileTrace(readFileSync(profile, "utf8"));
    const events = traceEvents(seen, "net.onnx on a board");
    for (const e of events) expect(e).toMatchObject({ name: expect.any(String), ph: expect.stringMatching(/^[XM]$/) });
    const again = readProfileTrace(JSON.stringify(events));
    expect(again.nodes.map((n) => [n.name, n.opType, n.provider, n.outputDims])).toEqual(
      seen.nodes.map((n) => [n.name, n.opType, n.provider, n.outputDims]),
    );
    // The first three calls of what is read back are warm-ups again.
    again.nodes.forEach((n, i) => {
      expect([...n.durationsUs]).toEqual([...seen.nodes[i].durationsUs.slice(3)]);
    });
    // Nothing overlaps: each node lies in its call.
    const runs = events.filter((e) => e.cat === "Session");
    for (const n of events.filter((e) => e.cat === "Node")) {
      expect(runs.filter((r) => r.ts <= n.ts && n.ts + n.dur! <= r.ts + r.dur!)).toHaveLength(1);
    }
  });

  test("of another model is refused by name", async () => {
    const text = readFileSync(profile, "utf8").replace(
      /"name" ?: ?"[^"]*_kernel_time"/g,
      '"name":"strange_kernel_time"',
    );
    await expect(importMeasurements({ id: "x", model, from: file("strange.json", text) })).rejects.toMatchObject({
      code: "import-model",
      hint: expect.stringContaining("strange"),
    });
  });
});

const HEADER = "node type, first, avg_ms, %, cdf%, mem KB, times called, name";
const section = (lines: string[], header = HEADER) =>
  `Operator-wise Profiling Info for Regular Benchmark Runs:\n============================== Run Order ==============================\n${header}\n${lines.join("\n")}\n\n============================== Top by Computation Time ==============================\n${header}\n${lines.join("\n")}\n`;

describe("benchmark_model's CSV", () => {
  test("is read with and without the column of starts, names with commas included", () => {
    const now = readBenchmarkModel(section(["CONV_2D, 0.11, 0.25, 83%, 83%, 0, 1, [a/Relu, a/copy]:0"]), "f");
    expect(now).toEqual([{ type: "CONV_2D", ms: 0.25, outputs: ["a/Relu", "a/copy"] }]);
    const header = HEADER.replace("first", "start, first");
    const old = readBenchmarkModel(section(["ADD, 0, 0.1, 0.05, 17%, 100%, 0, 1, [b]:1"], header), "f");
    expect(old).toEqual([{ type: "ADD", ms: 0.05, outputs: ["b"] }]);
  });

  test("the last run order counts: the first one is of the initialisation", () => {
    const both = `${section(["AllocateTensors, 0.2, 0.2, 100%, 100%, 0, 1, [AllocateTensors/0]"])}\n${section(["CONV_2D, 0.1, 0.2, 100%, 100%, 0, 1, [y]:0"])}`;
    expect(readBenchmarkModel(both, "f").map((o) => o.type)).toEqual(["CONV_2D"]);
  });

  test("becomes a table: operators are found by the tensors that they write", async () => {
    const lines = graph.nodes
      .filter((n) => n.opType === "Conv" || n.opType === "Gemm")
      .map((n, i) => `CONV_2D, 0.1, 0.${i + 1}, 10%, 10%, 0, 1, [${n.outputs[0]}]:${i}`);
    const table = await importMeasurements({ id: "phone", cpu: "A76", model, from: file("b.csv", section(lines)) });
    expect(parseTable(JSON.stringify(table), "t")).toEqual(table);
    expect(wholeMs(table)).toBeCloseTo(0.1 + 0.2 + 0.3 + 0.4 + 0.5 + 0.6, 9);
    expect(table).toMatchObject({ device: { cpu: "A76" }, runtime: { package: "tflite" } });
  });

  test.each([
    ["a delegate", section(["TfLiteXNNPackDelegate, 0.1, 0.2, 100%, 100%, 0, 1, [y]:0"]), "import-delegate"],
    ["a broken line", section(["CONV_2D, 0.1, fast, 100%, 100%, 0, 1, [y]:0"]), "import-line"],
    ["no operators", section([]), "import-empty"],
    ["some other text", "hello", "import-format"],
    ["JSON of something else", "[]", "profile-empty"],
    ["broken JSON", "[{", "profile-unreadable"],
  ])("%s is refused", async (_, text, code) => {
    await expect(importMeasurements({ id: "x", model, from: file("bad.txt", text) })).rejects.toMatchObject({ code });
  });

  test("a missing file is named", async () => {
    await expect(importMeasurements({ id: "x", model, from: join(folder, "none.csv") })).rejects.toMatchObject({
      code: "import-unreadable",
      where: "none.csv",
    });
  });
});
