/**
 * What users of other quantisers report, each as a test of how it is here. Issues are cited as repository#number: ORT is
 * microsoft/onnxruntime.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeviceFacts } from "../../runners/runner.js";
import type { Dataset, Split } from "../../toolkit/data/dataset.js";
import type { GraphBuilder, Ref } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, attrInt, type Graph, opsetOf } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import {
  calibrate,
  explainLayers,
  type ImageBatch,
  observe,
  placeQdq,
  prepareForQuantization,
  quantize,
  rangesFrom,
  sqnrDb,
  worstDb,
} from "../../toolkit/quantize/index.js";
import { quantizeModel } from "../../toolkit/quantizeModel.js";
import { settingsOf } from "../../toolkit/quantizeSettings.js";
import { quantizeReportSchema } from "../../toolkit/report/index.js";
import { IntegerDevice } from "./integerDevice.js";
import { batches, conv3, images, net, noise, optimisedOps, outputOf } from "./support.js";

const small = (batch: number | string = "N", opset = 17): Graph =>
  net(
    [batch, 3, 8, 8],
    (g, x) => {
      const y = g.relu(conv3(g, x, 3, 8, 1));
      const z = g.relu(g.add(y, conv3(g, g.relu(conv3(g, y, 8, 8, 2)), 8, 8, 3)));
      const flat = g.emit("Flatten", [g.emit("GlobalAveragePool", [z])], { axis: attr.int(1) });
      return g.emit(
        "Gemm",
        [flat, g.initializer("fc_w", noise([8, 5], 90)), g.initializer("fc_b", noise([5], 91))],
        {},
        { name: "head" },
      );
    },
    opset,
  );

const unlabelled = (count: number, seed = 1, dims: readonly number[] = [3, 8, 8]): Split => ({
  count,
  labelled: false,
  batch: async (indices) => {
    const size = dims.reduce((a, b) => a * b, 1);
    const all = images([count, ...dims], seed).data;
    return {
      data: Float32Array.from(Array.from(indices).flatMap((i) => [...all.subarray(i * size, (i + 1) * size)])),
      dims: [indices.length, ...dims],
    };
  },
});

let folder: string;
const file = (g: Graph, name: string): string => {
  const path = join(folder, `${name}.onnx`);
  writeFileSync(path, writeModel(g));
  return path;
};
const data = (train: Split): Dataset => ({ name: "noise", train, test: unlabelled(10, 9), skipped: [] });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-peers-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const facts = async (o: ConstructorParameters<typeof IntegerDevice>[0]): Promise<DeviceFacts> =>
  new IntegerDevice(o).describe();

describe("INT8 slower than float", () => {
  test("ORT#20052, ORT#12854: a layer that loses on the device is measured and stays float", async () => {
    const us = (node: string, integer: boolean): number => (node === "conv3" ? (integer ? 90 : 9) : integer ? 9 : 90);
    const { report } = await quantizeModel({
      model: file(small(), "loses"),
      data: data(unlabelled(40)),
      device: new IntegerDevice({ us }),
      quality: "fast",
      cacheDir: join(folder, "a"),
    });
    expect(report.answer).toBe("mixed");
    expect(report.layers.find((l) => l.node === "conv3")).toMatchObject({
      precision: "fp32",
      reason: "no faster in INT8",
    });
  });

  test("ORT#16009: dynamic quantisation of convolutions (ConvInteger) is refused with the reason", async () => {
    const refusal = quantizeModel({ model: file(small(), "dynamic"), data: data(unlabelled(8)), dynamic: true });
    await expect(refusal).rejects.toMatchObject({
      message: expect.stringContaining("ConvInteger"),
      hint: expect.stringContaining("--weight-only"),
    });
  });

  test("ORT#6732: on x86 activations are unsigned unless signed ones are asked for", async () => {
    expect(settingsOf({ model: "m" }, await facts({ arch: "x64" })).activations).toBe("uint8");
    expect(settingsOf({ model: "m", activations: "s8" }, await facts({ arch: "x64" })).activations).toBe("int8");
    // Where signed ones are asked for on x86, the QOperator format keeps them on integers.
    const g = small();
    const ranges = await calibrate(g, batches(images([4, 3, 8, 8])));
    const ops = await optimisedOps(placeQdq(g, ranges, { format: "qoperator", activations: "int8" }));
    expect(ops).toMatchObject({ QLinearConv: 3, QLinearAdd: 1, QuantizeLinear: 1 });
    expect(ops.DequantizeLinear ?? 0).toBe(0);
  });

  test("ORT#9902: signed activations with symmetric weights fuse completely where the runtime has kernels for them", async () => {
    const g = small();
    const ranges = await calibrate(g, batches(images([4, 3, 8, 8])));
    const q = placeQdq(g, ranges, { activations: "int8" });
    const ops = await optimisedOps(q, "extended", { session: { qdqisint8allowed: "1" } });
    expect(ops).toMatchObject({ QLinearConv: 3, QLinearAdd: 1, QGemm: 1, QuantizeLinear: 1 });
    expect(ops.Conv ?? 0).toBe(0);
  });

  test("ncnn#3007, armnn#511, ORT#21535: where INT8 is slower as a whole the answer is the float model, and says so", async () => {
    for (const kind of ["node-cpu", "web-wasm"] as const) {
      const { report, model } = await quantizeModel({
        model: file(small(), "whole"),
        data: data(unlabelled(40)),
        device: new IntegerDevice({ kind, us: (_, integer) => (integer ? 40 : 20) }),
        quality: "fast",
        cacheDir: join(folder, `b-${kind}`),
      });
      expect(report.answer).toBe("fp32");
      expect(report.why).toBeTruthy();
      expect(report.warnings.join()).toContain("INT8 is not used");
      expect(readModel(model).nodes.every((n) => n.opType !== "QuantizeLinear")).toBe(true);
    }
  });

  test("TensorRT#3018: the INT8 file holds no float copy of its weights", async () => {
    const result = await quantize(small(), batches(images([20, 3, 8, 8])));
    const large = [...result.graph.initializers.values()].filter((t) => t.data.length > 8);
    expect(large.length).toBeGreaterThan(0);
    for (const t of large) expect(t.elemType).toBe("int8");
  });
});

describe("accuracy", () => {
  /** One output channel of the second layer with weights a thousand times the others': one scale for all ruins those. */
  const uneven = (): Graph =>
    net(["N", 3, 8, 8], (g, x) => {
      const y = g.relu(conv3(g, x, 3, 8, 1));
      const w = noise([8, 8, 3, 3], 5, 0.1);
      const data = Float32Array.from(w.data as Float32Array, (v, i) => (i < 72 ? 1000 * v : v));
      const z = g.conv(
        y,
        g.initializer("w5", floats(data, [8, 8, 3, 3])),
        "",
        { pads: [1, 1, 1, 1] },
        { name: "uneven" },
      );
      // The clamp keeps the large channel from widening the range that all of them share.
      return g.emit("Slice", [g.clip(z, -0.5, 0.5), g.ints([1]), g.ints([8]), g.ints([1])]);
    });

  test("ORT#11415: neither per-channel nor per-tensor is assumed: each layer's damage is measured and shown", async () => {
    const found = await quantize(uneven(), batches(images([20, 3, 8, 8])), { perTensor: true });
    const layer = (await explainLayers(found)).find((l) => l.node === "uneven")!;
    const perChannel = await quantize(uneven(), batches(images([20, 3, 8, 8])));
    const better = (await explainLayers(perChannel)).find((l) => l.node === "uneven")!;
    expect(layer.weightDb).not.toBeNull();
    expect(worstDb(perChannel.sqnrDb)).toBeGreaterThan(worstDb(found.sqnrDb) + 3);
    expect(better.precision).toBe("int8");
  });

  test("ORT#11415: a layer whose rounding the output cannot bear goes back to float, alone", async () => {
    const { report } = await quantizeModel({
      model: file(uneven(), "uneven"),
      data: { name: "noise", train: unlabelled(40), test: unlabelled(4), skipped: [] },
      weights: "per-tensor",
      quality: "fast",
    });
    const float = report.layers.filter((l) => l.precision === "fp32").map((l) => [l.node, l.reason]);
    // Rounded with one scale, all but one channel of that layer are zero: no ranges can help.
    expect(float).toEqual([["uneven", "accuracy"]]);
    expect(report.answer).toBe("mixed");
  });

  test("Sony MCT#771: SiLU is rounded as one function, with a zero point that uses the whole grid", async () => {
    const g = net(["N", 3, 8, 8], (b, x) => {
      const y = conv3(b, x, 3, 8, 1);
      return conv3(b, b.mul(y, b.emit("Sigmoid", [y]), { out: "silu" }), 8, 8, 2);
    });
    const batch = images([16, 3, 8, 8]);
    const ranges = await calibrate(g, batches(batch), { method: { kind: "minmax" } });
    const q = placeQdq(g, ranges);
    const { low, high } = ranges.values.get("silu")!;
    // SiLU reaches down to -0.28: a symmetric grid would leave nearly half of its codes unused.
    expect(low).toBeLessThan(0);
    expect(low).toBeGreaterThan(-0.2785);
    const scale = Number(q.initializers.get("silu_scale")!.data[0]);
    expect(scale).toBeCloseTo((high - low) / 255, 6);
    const quantized = new Set(q.nodes.filter((n) => n.opType === "QuantizeLinear").map((n) => n.inputs[0]));
    expect(quantized.has("silu")).toBe(true);
    const gate = g.nodes.find((n) => n.opType === "Sigmoid")!.outputs[0];
    expect([...quantized].some((v) => v.startsWith(gate))).toBe(false);
    expect(sqnrDb(await outputOf(g, batch), await outputOf(q, batch))).toBeGreaterThan(30);
  });

  test("FBGEMM#125, openvino#11658: without VNNI no pair of products can leave 16 bits", async () => {
    const { reduceRange } = settingsOf({ model: "m" }, await facts({ kind: "node-cpu", arch: "x64", isa: ["avx2"] }));
    expect(reduceRange).toBe(true);
    const { graph } = await quantize(small(), batches(images([20, 3, 8, 8])), { reduceRange });
    const weights = [...graph.initializers.values()].filter((t) => t.elemType === "int8" && t.dims.length > 1);
    expect(weights.length).toBe(4);
    for (const t of weights) {
      const largest = Math.max(...[...(t.data as Int8Array)].map(Math.abs));
      expect(2 * 255 * largest).toBeLessThanOrEqual(32767);
    }
  });

  test("inference-examples#319: images fed on a guess are warned about before any accuracy is shown", async () => {
    const pixels = join(folder, "pixels");
    const { mkdirSync } = await import("node:fs");
    const sharp = (await import("sharp")).default;
    for (const name of ["a", "b"]) {
      mkdirSync(join(pixels, name), { recursive: true });
      for (let i = 0; i < 6; i++) {
        const raw = Buffer.from(Array.from({ length: 192 }, (_, k) => (k * 37 + i * 11 + name.charCodeAt(0)) % 256));
        await sharp(raw, { raw: { width: 8, height: 8, channels: 3 } })
          .png()
          .toFile(join(pixels, name, `${i}.png`));
      }
    }
    const model = file(small(), "guess");
    const guessed = await quantizeModel({ model, data: pixels, quality: "fast" });
    expect(guessed.report.warnings.join()).toContain("nothing says how the model wants its images");
    const told = await quantizeModel({
      model,
      data: pixels,
      quality: "fast",
      preprocess: { flags: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } },
    });
    expect(told.report.warnings.join()).not.toContain("nothing says");
  });

  test("transformers.js#1512: fused or not, no output element differs by more than a step of its grid", async () => {
    const g = net(["N", 3, 8, 8], (b, x) => b.relu(conv3(b, x, 3, 8, 1)));
    const batch = images([8, 3, 8, 8]);
    const ranges = await calibrate(g, batches(batch), { method: { kind: "minmax" } });
    const outputs: Float32Array[] = [];
    for (const format of ["qdq", "qoperator"] as const) {
      const q = placeQdq(g, ranges, { format });
      outputs.push(await outputOf(q, batch), await outputOf(q, batch, "disabled"));
    }
    const step = ranges.values.get(g.outputs[0].name)!.high / 255;
    for (const other of outputs.slice(1)) {
      const largest = other.reduce((most, v, i) => Math.max(most, Math.abs(v - outputs[0][i])), 0);
      expect(largest).toBeLessThan(1.01 * step);
    }
  });
});

describe("calibration, opset, shapes", () => {
  test("ORT#11020, ORT#10503, ORT#21979: what is kept of a value has a ceiling, however many images come", async () => {
    const prepared = prepareForQuantization(small());
    const bytesAfter = async (calls: number): Promise<number> => {
      const list = Array.from({ length: calls }, (_, i) => images([8, 3, 8, 8], i + 1));
      const seen = await observe(prepared, batches(...list));
      expect(seen.images).toBe(8 * calls);
      return [...seen.observers.values()].reduce((sum, o) => sum + o.positive.byteLength + o.negative.byteLength, 0);
    };
    const few = await bytesAfter(1);
    expect(await bytesAfter(40)).toBe(few);
    const values = [...(await observe(prepared, batches(images([1, 3, 8, 8])))).observers].length;
    expect(few / values).toBeLessThanOrEqual(64 * 1024);
  });

  test("ORT#17235: the range method is chosen by what it does to the output, and the report is plain JSON", async () => {
    const { report } = await quantizeModel({
      model: file(small(), "json"),
      data: data(unlabelled(40)),
      quality: "fast",
    });
    const tried = new Set(report.candidates.map((c) => c.ranges));
    for (const m of ["minmax", "mse", "entropy", "percentile 99.99", "percentile 99.9"]) expect(tried).toContain(m);
    const best = report.candidates.reduce((a, b) => (b.sqnrDb! > a.sqnrDb! ? b : a));
    expect(report.settings.ranges).toBe(best.ranges);
    expect(quantizeReportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  test.each([13, 17, 21])(
    "ORT#17718, ORT#12800: at operator set %i every scale per channel comes with its axis",
    async (opset) => {
      const batch = images([4, 3, 8, 8]);
      const g = small("N", opset);
      const q = placeQdq(g, await calibrate(g, batches(batch)));
      checkGraph(q);
      expect(opsetOf(q)).toBe(opset);
      let seen = 0;
      for (const n of q.nodes.filter((m) => m.opType === "DequantizeLinear")) {
        const scale = q.initializers.get(n.inputs[1])!;
        if (scale.dims.length === 0) continue;
        seen++;
        const axis = attrInt(n, "axis", -99);
        expect(axis).not.toBe(-99);
        expect(q.initializers.get(n.inputs[0])!.dims[axis]).toBe(scale.dims[0]);
      }
      expect(seen).toBe(8);
      expect(sqnrDb(await outputOf(g, batch), await outputOf(q, batch))).toBeGreaterThan(25);
    },
  );

  test("pytorch#76002: a model from before operator set 13 is raised, since scales per channel need it", async () => {
    const g = small("N", 11);
    const q = placeQdq(g, await calibrate(g, batches(images([4, 3, 8, 8]))));
    expect(opsetOf(q)).toBeGreaterThanOrEqual(13);
    expect((await optimisedOps(q)).QLinearConv).toBe(3);
  });

  test("ORT#10484, ORT#19997: an open height is asked for by name, up front", async () => {
    const g = net(["batch", 3, "height", 8], (b, x) => b.relu(conv3(b, x, 3, 4, 1)));
    await expect(quantizeModel({ model: file(g, "open"), data: data(unlabelled(8)) })).rejects.toMatchObject({
      code: "dynamic-dim",
      message: expect.stringContaining("height"),
      hint: expect.stringContaining("--dim height=VALUE"),
    });
  });

  test("ORT#20060, ORT#12178: an open batch needs no answer, and stays open", async () => {
    const { graph } = await quantize(small("batch"), batches(images([12, 3, 8, 8])));
    expect(graph.inputs[0].type.dims).toEqual(["batch", 3, 8, 8]);
    for (const n of [1, 7]) expect((await outputOf(graph, images([n, 3, 8, 8]))).length).toBe(5 * n);
  });

  test("ORT#32719: operator sets above 21 are not written; a newer model is refused with the number", () => {
    const newer = { ...small(), opsets: new Map([["", 23]]) };
    expect(() => prepareForQuantization(newer)).toThrow(
      expect.objectContaining({ code: "opset-new", message: expect.stringContaining("23") }),
    );
  });
});

describe("odd data", () => {
  const constantAfterBias = (): Graph =>
    net(["N", 3, 8, 8], (g, x) => {
      const zero = g.initializer("zero", floats(new Float32Array(8 * 27), [8, 3, 3, 3]));
      const b = g.initializer("bias", floats(new Float32Array(8).fill(0.75)));
      const y = g.conv(x, zero, b, { pads: [1, 1, 1, 1] }, { name: "constant" });
      return conv3(g, g.relu(y), 8, 4, 2);
    });

  test("a constant activation comes out as float has it", async () => {
    const batch = images([4, 3, 8, 8]);
    const { graph } = await quantize(constantAfterBias(), batches(batch));
    expect(sqnrDb(await outputOf(constantAfterBias(), batch), await outputOf(graph, batch))).toBeGreaterThan(30);
  });

  test("an all-zero channel stays zero, in weights and in activations", async () => {
    const g = net(["N", 3, 8, 8], (b, x) => {
      const w = noise([8, 3, 3, 3], 3, 0.3);
      const data = Float32Array.from(w.data as Float32Array, (v, i) => (i < 27 ? 0 : v));
      return b.relu(b.conv(x, b.initializer("w", floats(data, w.dims)), "", { pads: [1, 1, 1, 1] }));
    });
    const batch = images([4, 3, 8, 8]);
    const { graph } = await quantize(g, batches(batch), { biasCorrection: false });
    const out = await outputOf(graph, batch);
    for (let image = 0; image < 4; image++)
      expect(out.subarray(image * 512, image * 512 + 64).every((v) => v === 0)).toBe(true);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "%f in a value keeps its layers float, and is said",
    async (bad) => {
      const g = net(["N", 3, 8, 8], (b, x) => {
        const y = b.relu(conv3(b, x, 3, 8, 1));
        const spoiled = b.add(y, b.initializer("k", floats([bad, 0, 0, 0, 0, 0, 0, 0], [8, 1, 1])), { out: "spoiled" });
        const clean = b.emit("Slice", [spoiled, b.ints([1]), b.ints([8]), b.ints([1])]);
        return conv3(b, clean, 7, 4, 3);
      });
      const { report } = await quantizeModel({
        model: file(g, "bad"),
        data: { name: "noise", train: unlabelled(20), test: unlabelled(4), skipped: [] },
        quality: "fast",
      });
      expect(report.warnings.join()).toContain('"spoiled" took on');
      expect(report.layers.find((l) => l.node === "conv1")?.precision).toBe("int8");
    },
  );

  test("NaN in the images themselves leaves nothing to quantise, and is said", async () => {
    const spoiled: ImageBatch = images([8, 3, 8, 8]);
    spoiled.data[5] = Number.NaN;
    const found = await quantize(small(), batches(spoiled), { biasCorrection: false });
    expect(found.ranges.nonFinite.size).toBeGreaterThan(0);
    expect(found.ranges.nonFinite.get("x")).toBe(1);
  });

  test("an empty data set is an error that says what to give", async () => {
    await expect(quantize(small(), batches())).rejects.toMatchObject({ code: "no-data", hint: expect.any(String) });
    const empty = data(unlabelled(0));
    await expect(quantizeModel({ model: file(small(), "empty"), data: empty })).rejects.toMatchObject({
      code: "no-data",
    });
  });

  test("one image is enough", async () => {
    for (const batch of ["N", 1] as const) {
      const { report } = await quantizeModel({
        model: file(small(batch), `one-${batch}`),
        data: data(unlabelled(1)),
        quality: "balanced",
      });
      expect(report.settings.images).toBe(1);
      expect(report.outputs[0].sqnrDb).toBeGreaterThan(15);
    }
  });

  test("grey images for a model of three channels are an error, not a wrong calibration", async () => {
    const grey = { name: "grey", train: unlabelled(20, 1, [1, 8, 8]), test: unlabelled(4, 2, [1, 8, 8]), skipped: [] };
    await expect(quantizeModel({ model: file(small(), "grey"), data: grey })).rejects.toMatchObject({
      code: "feed",
      message: expect.stringMatching(/3.*1/),
    });
  });

  test("ranges can be asked of what was seen by every method, and all hold zero", async () => {
    const seen = await observe(prepareForQuantization(small()), batches(images([8, 3, 8, 8])));
    for (const kind of ["minmax", "moving-average", "entropy", "mse"] as const) {
      for (const r of rangesFrom(seen, { kind }).values.values()) {
        expect(r.low).toBeLessThanOrEqual(0);
        expect(r.high).toBeGreaterThanOrEqual(0);
        expect(r.high - r.low).toBeGreaterThan(0);
      }
    }
  });
});

test("a gate behind a squeeze is no activation in pieces: it stays on integers", async () => {
  const gated = (g: GraphBuilder, y: Ref): Ref => {
    const w = g.initializer("gw", noise([8, 8, 1, 1], 7));
    const gate = g.emit("Sigmoid", [g.conv(g.emit("GlobalAveragePool", [y]), w, "")]);
    return g.mul(y, gate);
  };
  const g = net(["N", 3, 8, 8], (b, x) => conv3(b, gated(b, b.relu(conv3(b, x, 3, 8, 1))), 8, 8, 2));
  const ops = await optimisedOps(placeQdq(g, await calibrate(g, batches(images([4, 3, 8, 8])))));
  expect(ops).toMatchObject({ QLinearSigmoid: 1, QLinearMul: 1, QLinearConv: 3 });
});
