import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { quantize } from "../../toolkit/cli/quantize.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { quantizeReportSchema } from "../../toolkit/report/index.js";
import { conv3, net, noise } from "../quantize/support.js";
import { runLine } from "./surroundings.js";

let folder: string;
let model: string;
let data: string;

/** A NumPy file of float32 values. */
function npy(dims: readonly number[], values: Float32Array): Buffer {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${dims.join(", ")}), }`;
  const padded = `${header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11)}\n`;
  const start = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, padded.length & 255, padded.length >> 8]);
  return Buffer.concat([start, Buffer.from(padded), Buffer.from(values.buffer)]);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-cli-quantize-"));
  model = join(folder, "net.onnx");
  data = join(folder, "images.npy");
  writeFileSync(
    model,
    writeModel(net(["N", 3, 8, 8], (g, x) => g.relu(conv3(g, g.relu(conv3(g, x, 3, 8, 1)), 8, 8, 2)))),
  );
  writeFileSync(data, npy([40, 3, 8, 8], noise([40, 3, 8, 8]).data as Float32Array));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...flags: string[]) => runLine(["quantize", model, ...flags], [quantize]);

test("writes the model and the page, and shows every layer when asked to explain", async () => {
  const [out, page] = [join(folder, "q.onnx"), join(folder, "layers.html")];
  const { status, stdout, stderr } = await run("--data", data, "--out", out, "--explain", page, "--quality", "fast");
  expect(stderr).not.toContain("error");
  expect(status).toBe(0);
  expect(stdout).toContain("net.onnx: INT8 throughout");
  expect(stdout).toMatch(/conv1 +Conv +INT8/);
  expect(readModel(readFileSync(out)).nodes.some((n) => n.opType === "QuantizeLinear")).toBe(true);
  expect(readFileSync(page, "utf8")).toContain("<svg");
});

test("--json gives the report alone, and the flags reach it", async () => {
  const out = join(folder, "o.onnx");
  const flags = [
    "--format",
    "qoperator",
    "--activations",
    "s8",
    "--weights",
    "per-tensor",
    "--ranges",
    "percentile",
    "--percentile",
    "99.9",
  ];
  const { status, stdout } = await run(
    "--data",
    data,
    "--out",
    out,
    "--json",
    "--quality",
    "fast",
    "--no-bias-correction",
    ...flags,
  );
  expect(status).toBe(0);
  const report = quantizeReportSchema.parse(JSON.parse(stdout));
  expect(report.settings).toMatchObject({
    format: "qoperator",
    activations: "s8",
    weights: "per-tensor",
    ranges: "percentile 99.9",
    quality: "fast",
    biasCorrected: false,
  });
  expect(readModel(readFileSync(out)).nodes.some((n) => n.opType === "QLinearConv")).toBe(true);
});

test.each([
  [["--out", "x.onnx"], "ranges come from images"],
  [["--out", "x.onnx", "--data", "d.npy", "--dynamic"], "ConvInteger"],
  [["--out", "x.onnx", "--data", "d.npy", "--explain", "layers.txt"], "written as .json or .html"],
  [["--out", "x.onnx", "--data", "d.npy", "--max-drop", "-1"], "number of at least 0"],
  [["--data", "d.npy"], "out"],
  [["--out", "x.onnx", "--ranges", "guess"], "ranges"],
])("%j ends with a sentence", async (flags, sentence) => {
  const { status, stderr } = await run(...flags);
  expect(status).toBe(1);
  expect(stderr).toContain(sentence);
  expect(stderr).not.toMatch(/\n {4}at /);
});

test("--help has every flag and examples", async () => {
  // yargs prints its help itself.
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  await runLine(["quantize", "--help"], [quantize]);
  const stdout = log.mock.calls.flat().join("\n");
  log.mockRestore();
  for (const flag of [
    "format",
    "activations",
    "symmetric",
    "weights",
    "reduce-range",
    "ranges",
    "quality",
    "max-drop",
    "keep-float",
    "weight-only",
    "explain",
    "images",
    "seed",
    "json",
  ])
    expect(stdout).toContain(`--${flag}`);
  expect(stdout).toContain("Examples:");
});
