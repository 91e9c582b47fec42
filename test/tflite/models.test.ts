/** The MLPerf Tiny ResNet-8 as its makers publish it, float and INT8, from the file to the right class. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { loadDataset } from "../../toolkit/data/index.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { toFloat32 } from "../../toolkit/graph/tensor.js";
import { importModel } from "../../toolkit/importModel.js";
import { inspect } from "../../toolkit/inspect.js";
import { readModelFile, writeModelFile } from "../../toolkit/onnx/index.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { openSubject, remarksOn } from "../../toolkit/subject.js";
import type { TfliteOptions } from "../../toolkit/tflite/index.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { oneOperator } from "./build.js";
import { constant, float, opsOf, random } from "./check.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-tflite-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const path = (name: string): string => sharedPath(`models/mlperf-tiny/${name}`);
/** Images as the models want them (their SOURCE.md): RGB 0..255. */
const images = {
  size: { height: 32, width: 32 },
  fit: "stretch",
  rescaleFactor: 1,
  imageMean: [0, 0, 0],
  imageStd: [1, 1, 1],
  channelOrder: "rgb",
  layout: "nhwc",
  resample: "bilinear",
} as const;

/** Share of the first 2,000 test images that are given their class. */
async function top1(g: Graph): Promise<number> {
  const { test: split } = await loadDataset(`cifar10:${sharedPath("data/cifar10")}`, images);
  return withSession(g, { threads: 1 }, async (s) => {
    let right = 0;
    for (let i = 0; i < 2000; i += 200) {
      const batch = await split.batch(Array.from({ length: 200 }, (_, k) => i + k));
      const out = await s.run({ [g.inputs[0].name]: { elemType: "float32", dims: batch.dims, data: batch.data } });
      const scores = toFloat32(out[g.outputs[0].name]);
      for (let k = 0; k < 200; k++) {
        const row = Array.from(scores.subarray(10 * k, 10 * k + 10));
        if (row.indexOf(Math.max(...row)) === batch.labels![k]) right++;
      }
    }
    return right / 2000;
  });
}

describe.skipIf(!hasShared)("MLPerf Tiny ResNet-8 as TFLite (EDGEFIT_SHARED)", () => {
  test.each<[string, string, TfliteOptions, number, number]>([
    ["float", "pretrainedResnet.tflite", {}, 87.9, 0.05],
    ["INT8, as floats", "pretrainedResnet_quant.tflite", { dequantize: true }, 87.9, 0.05],
    // Its activations are rounded too, which the published figure for the weights alone leaves out.
    ["INT8", "pretrainedResnet_quant.tflite", { floatIo: true }, 87.9, 0.5],
  ])("%s: the accuracy that its source states", async (_, file, options, wanted, tolerance) => {
    const { graph } = await importModel({ model: path(file), batch: "any", ...options });
    expect(Math.abs(100 * (await top1(graph)) - wanted)).toBeLessThanOrEqual(tolerance);
  });

  test("the float model equals its published ONNX twin, output by output", async () => {
    const { graph } = await importModel({ model: path("pretrainedResnet.tflite"), layout: "nchw", batch: "any" });
    const twin = await readModelFile(path("resnet8-cifar10.onnx"));
    expect(opsOf(graph)).not.toContain("Transpose");
    const x = {
      elemType: "float32" as const,
      dims: [4, 3, 32, 32],
      data: Float32Array.from(random([4, 3, 32, 32], 3, 0, 255).data),
    };
    const run = (g: Graph) =>
      withSession(g, { threads: 1 }, async (s) =>
        toFloat32((await s.run({ [s.inputs[0].name]: x }))[s.outputs[0].name]),
      );
    const [a, b] = [await run(graph), await run(twin)];
    expect(Math.max(...a.map((v, i) => Math.abs(v - b[i])))).toBeLessThanOrEqual(1e-5);
  });

  test("both have the six groups of channels that the net has", async () => {
    const found = await Promise.all(
      ["pretrainedResnet.tflite", "pretrainedResnet_quant.tflite", "resnet8-cifar10.onnx"].map((f) =>
        inspect({ model: path(f) }),
      ),
    );
    for (const m of found) expect(m.groups.map((g) => g.width)).toEqual([16, 16, 32, 32, 64, 64]);
  });

  test("what is cut is the float model behind the integers, which is said; what is validated are the integers", async () => {
    const model = path("pretrainedResnet_quant.tflite");
    const [cut, asIs] = [await openSubject({ model }), await openSubject({ model, integers: true })];
    expect(opsOf(cut.graph)).not.toContain("DequantizeLinear");
    expect(opsOf(asIs.graph)).toContain("DequantizeLinear");
    expect(remarksOn(cut).join()).toMatch(/pretrainedResnet_quant.tflite is quantised/);
    expect(remarksOn(asIs)).toEqual([]);
    expect(cut.bytes.length).toBeGreaterThan(2.5 * asIs.bytes.length);
  });

  test("the integers stay integers, and written as ONNX they are read again", async () => {
    const { graph, inspection } = await importModel({ model: path("pretrainedResnet_quant.tflite") });
    expect([inspection.inputs[0].elemType, inspection.outputs[0].elemType]).toEqual(["int8", "int8"]);
    const file = join(folder, "resnet8-int8.onnx");
    await writeModelFile(file, graph);
    expect(readFileSync(file).length).toBeLessThan(1.25 * readFileSync(path("pretrainedResnet_quant.tflite")).length);
    expect(opsOf(await readModelFile(file))).toEqual(opsOf(graph));
  });
});

describe("the commands' own reading", () => {
  const bytes = oneOperator(
    "CONV_2D",
    [float("image", [1, 8, 8, 3]), constant("w", random([4, 3, 3, 3], 1))],
    [float("y", [1, 8, 8, 4])],
    { 1: { i32: 1 }, 2: { i32: 1 } },
  );

  test.each(["net.tflite", "renamed.onnx"])("knows a TFLite file by its content: %s", async (name) => {
    const model = join(folder, name);
    writeFileSync(model, bytes);
    const found = await inspect({ model });
    expect(found.inputs).toEqual([{ name: "image", elemType: "float32", dims: ["batch", 8, 8, 3] }]);
    const subject = await openSubject({ model });
    expect(opsOf(subject.graph)).toEqual(["Transpose", "Conv", "Transpose"]);
    await withSession(subject.bytes, { threads: 1 }, async (s) => {
      const x = { elemType: "float32" as const, dims: [2, 8, 8, 3], data: new Float32Array(2 * 8 * 8 * 3) };
      expect((await s.run({ image: x })).y.dims).toEqual([2, 8, 8, 4]);
    });
  });

  test("an ONNX file under the name of the other format is named as no TFLite file", async () => {
    const model = join(folder, "other.tflite");
    writeFileSync(model, new Uint8Array(100));
    await expect(inspect({ model })).rejects.toMatchObject({ code: "not-tflite", where: "other.tflite" });
  });
});
