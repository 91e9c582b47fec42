/** `edgefit import` from the command line to the file. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { importCommand } from "../../toolkit/cli/import.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { oneOperator } from "../tflite/build.js";
import { kernel, kernelBias, tensor, tx, unit } from "../tflite/cases/quantized.js";
import { opsOf } from "../tflite/check.js";
import { runLine } from "./surroundings.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-import-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = join(folder, "int8.tflite");
writeFileSync(
  model,
  oneOperator(
    "CONV_2D",
    [tx, kernel.spec, kernelBias.spec],
    [tensor("y", [1, 5, 6, 6], { type: "INT8", scale: 0.1, zero: 0 })],
    unit,
  ),
);

const run = (...args: string[]) => runLine(["import", ...args], [importCommand]);

describe("edgefit import", () => {
  test("writes the model with the file's types, and says what else to do with them", async () => {
    const out = join(folder, "as-is.onnx");
    const { status, stdout, stderr } = await run(model, "--out", out);
    expect(status).toBe(0);
    expect(stdout).toMatch(/x int8 \[1, 5, 6, 4\]/);
    expect(stderr).toMatch(/input "x" is int8: .*--float-io/);
    const g = await readModelFile(out);
    expect(g.outputs.map((v) => [v.name, v.type])).toEqual([["y", { elemType: "int8", dims: [1, 5, 6, 6] }]]);
  });

  test("follows its flags", async () => {
    const out = join(folder, "float.onnx");
    const { status, stdout } = await run(
      model,
      "--out",
      out,
      "--layout",
      "nchw",
      "--batch",
      "any",
      "--dequantize",
      "--json",
    );
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      out,
      inputs: [{ name: "x", elemType: "float32", dims: ["batch", 4, 5, 6] }],
    });
    expect(opsOf(await readModelFile(out))).toEqual(["Conv"]);
  });

  test("refuses another format, and writes nothing", async () => {
    const [other, out] = [join(folder, "other.tflite"), join(folder, "never.onnx")];
    writeFileSync(other, "some text");
    const { status, stderr } = await run(other, "--out", out);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^edgefit: other\.tflite: this is not a TFLite file/);
    expect(existsSync(out)).toBe(false);
  });
});
