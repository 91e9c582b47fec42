import { beforeAll, describe, expect, test } from "vitest";
import type { Dataset, Preprocessing } from "../../toolkit/data/dataset.js";
import { loadDataset } from "../../toolkit/data/index.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import {
  agreement,
  biasShifts,
  calibrate,
  type ImageBatch,
  observe,
  outputSqnrDb,
  placeQdq,
  prepareForQuantization,
  quantize,
  rangesFrom,
  referenceOutputs,
  sensitivity,
  sqnrDb,
  worstDb,
} from "../../toolkit/quantize/index.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { batches, conv3, images, net, optimisedOps, outputOf } from "./support.js";

/** Three convolutions with a residual sum and a dense end. */
const small = (batch: number | string = "N"): Graph =>
  net([batch, 3, 8, 8], (g, x) => {
    const a = g.relu(conv3(g, x, 3, 8, 1));
    const b = g.relu(g.add(conv3(g, a, 8, 8, 2), a));
    const c = g.clip(conv3(g, b, 8, 8, 3, 8), 0, 6);
    const flat = g.reshape(g.emit("GlobalAveragePool", [c]), [-1, 8]);
    return g.matmul(flat, g.initializer("head", images([8, 4], 9) && floats(images([8, 4], 9).data, [8, 4])), {
      name: "head_product",
    });
  });

describe("calibration", () => {
  test("ranges cover what the float net really does, after its activations", async () => {
    const g = small();
    const batch = images([16, 3, 8, 8]);
    const ranges = await calibrate(g, batches(batch), { method: { kind: "minmax" } });
    expect(ranges.images).toBe(16);
    expect(ranges.values.get("x")).toEqual({ low: Math.min(...batch.data), high: Math.max(...batch.data) });
    for (const relu of g.nodes.filter((n) => n.opType === "Relu")) {
      expect(ranges.values.get(relu.outputs[0])?.low).toBe(0);
      expect(ranges.values.has(relu.inputs[0])).toBe(false);
    }
  });

  test("does not depend on how the images are cut into batches", async () => {
    const batch = images([12, 3, 8, 8]);
    const parts = [0, 1, 2].map((k) => ({
      data: batch.data.subarray(k * 4 * 192, (k + 1) * 4 * 192),
      dims: [4, 3, 8, 8],
    }));
    const whole = await calibrate(small(), batches(batch), { method: { kind: "minmax" } });
    const cut = await calibrate(small(), batches(...parts), { method: { kind: "minmax" } });
    for (const [name, r] of whole.values) {
      expect(cut.values.get(name)!.high).toBeCloseTo(r.high, 5);
      expect(cut.values.get(name)!.low).toBeCloseTo(r.low, 5);
    }
  });

  test("keeps as much of 2 images as of 64", async () => {
    const prepared = prepareForQuantization(small());
    const cells = async (n: number): Promise<number> => {
      const seen = await observe(prepared, batches(images([n, 3, 8, 8])));
      expect(seen.images).toBe(n);
      return [...seen.observers.values()].reduce((a, o) => a + o.positive.length + o.negative.length, 0);
    };
    expect(await cells(64)).toBe(await cells(2));
  });

  test("a fixed batch is fed one by one; no images and a torn batch are errors", async () => {
    const ranges = await calibrate(small(1), batches(images([5, 3, 8, 8])));
    expect(ranges.images).toBe(5);
    await expect(calibrate(small(), batches())).rejects.toMatchObject({ code: "no-data" });
    await expect(calibrate(small(2), batches(images([3, 3, 8, 8])))).rejects.toMatchObject({ code: "batch-size" });
  });

  test("the caller's batches are not changed and progress reaches their number", async () => {
    const batch = images([8, 3, 8, 8]);
    const copy = Float32Array.from(batch.data);
    const seen: number[] = [];
    await calibrate(small(), batches(batch), { total: 8, progress: (e) => seen.push(e.done) });
    expect(batch.data).toEqual(copy);
    expect(seen.at(-1)).toBe(8);
  });
});

describe("bias correction", () => {
  test("shifts are the negative mean of the layer's own rounding error", async () => {
    const g = prepareForQuantization(net(["N", 3, 8, 8], (b, x) => conv3(b, x, 3, 8, 1)));
    const batch = images([32, 3, 8, 8]);
    const ranges = await calibrate(g, batches(batch), { method: { kind: "minmax" } });
    const shifts = await biasShifts(g, ranges, [batch]);
    const meanError = async (m: Graph): Promise<number[]> => {
      const [y, q] = [await outputOf(g, batch), await outputOf(m, batch, "disabled")];
      const sums = new Array(8).fill(0);
      y.forEach((v, i) => {
        sums[Math.floor(i / 64) % 8] += q[i] - v;
      });
      return sums.map((s) => Math.abs(s) / (32 * 64));
    };
    const before = await meanError(placeQdq(g, ranges));
    const after = await meanError(placeQdq(g, ranges, { biasShifts: shifts }));
    const total = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0);
    expect(total(after)).toBeLessThan(total(before));
    // What is left is the rounding of the output itself.
    expect(Math.max(...after)).toBeLessThan(1e-3);
  });
});

describe("the whole", () => {
  test("auto keeps the best of what it tried and beats a floor", async () => {
    const g = small();
    const result = await quantize(g, batches(images([40, 3, 8, 8])));
    checkGraph(result.graph);
    expect(result.candidates.length).toBe(7);
    expect(worstDb(result.sqnrDb)).toBe(Math.max(...result.candidates.map((c) => c.sqnrDb)));
    const unseen = images([16, 3, 8, 8], 77);
    expect(sqnrDb(await outputOf(g, unseen), await outputOf(result.graph, unseen))).toBeGreaterThan(30);
    expect(result.ranges.images).toBe(32);
  });

  test("one image is enough, for open and fixed batches", async () => {
    for (const batch of ["N", 1]) {
      const result = await quantize(small(batch), batches(images([1, 3, 8, 8])));
      expect(result.ranges.images).toBe(1);
      expect(worstDb(result.sqnrDb)).toBeGreaterThan(20);
    }
  });

  test("sensitivity finds the layer whose weights were spoiled for 8 bits", async () => {
    const g = small();
    const w = g.initializers.get("w2")!;
    // One huge weight per channel leaves few codes for the others; it sees a channel that is always zero after ReLU.
    const data = Float32Array.from(w.data as Float32Array);
    for (let c = 0; c < 8; c++) data[c * 72] *= 400;
    g.initializers.set("w2", { ...w, data });
    const b1 = g.initializers.get("b1")!;
    const low = Float32Array.from(b1.data as Float32Array);
    low[0] = -50;
    g.initializers.set("b1", { ...b1, data: low });
    const prepared = prepareForQuantization(g);
    const batch = images([8, 3, 8, 8]);
    const ranges = await calibrate(g, batches(batch), { method: { kind: "minmax" } });
    const reference = await referenceOutputs(prepared, [batch]);
    const alone = await sensitivity(prepared, ranges, reference);
    expect(alone[0].node).toBe("conv2");
    const others = await sensitivity(prepared, ranges, reference, { mode: "others" });
    expect(others[0].node).toBe("conv2");
    const all = worstDb(await outputSqnrDb(placeQdq(prepared, ranges), reference));
    expect(others[0].sqnrDb).toBeGreaterThan(all);
  });

  test("a model newer than operator set 21 is refused", () => {
    const g = small();
    expect(() => prepareForQuantization({ ...g, opsets: new Map([["", 23]]) })).toThrow(
      expect.objectContaining({ code: "opset-new" }),
    );
  });
});

const cifar: Preprocessing = {
  size: { height: 32, width: 32 },
  rescaleFactor: 1 / 255,
  imageMean: [0.485, 0.456, 0.406],
  imageStd: [0.229, 0.224, 0.225],
  channelOrder: "rgb",
  layout: "nchw",
  resample: "bilinear",
  fit: "stretch",
};

describe.skipIf(!hasShared)("published CIFAR-10 nets", () => {
  const nets = [
    ["resnet-cifar10/resnet20-cifar10.onnx", { QLinearConv: 21, QLinearAdd: 9, QLinearGlobalAveragePool: 1, QGemm: 1 }],
    ["resnet-cifar10/resnet20-cifar10-slicepad.onnx", { QLinearConv: 19, QLinearAdd: 9, Slice: 2, Pad: 2, QGemm: 1 }],
    [
      "resnet-cifar10/resnet56-cifar10.onnx",
      { QLinearConv: 57, QLinearAdd: 27, QLinearGlobalAveragePool: 1, QGemm: 1 },
    ],
    ["mlperf-tiny/resnet8-cifar10.onnx", { QLinearConv: 9, QLinearAdd: 3, QLinearAveragePool: 1, QGemm: 1 }],
  ] as const;
  let data: Dataset;
  let raw: Dataset;
  beforeAll(async () => {
    data = await loadDataset(`cifar10:${sharedPath("data/cifar10")}`, cifar);
    raw = await loadDataset(`cifar10:${sharedPath("data/cifar10")}`, {
      ...cifar,
      rescaleFactor: 1,
      imageMean: [0, 0, 0],
      imageStd: [1, 1, 1],
    });
  });

  test.each(nets)(
    "%s: one Quantize, no Dequantize, everything between on integers, and the same answers",
    async (file, expected) => {
      const g = await readModelFile(sharedPath(`models/${file}`));
      const set = file.startsWith("mlperf") ? raw : data;
      const calibration = await set.train.batch(Array.from({ length: 64 }, (_, i) => i));
      const prepared = prepareForQuantization(g);
      const seen = await observe(prepared, batches(calibration));
      const q = placeQdq(g, rangesFrom(seen));
      checkGraph(q);
      for (const level of ["extended", "all"] as const) {
        const ops = await optimisedOps(q, level);
        expect(ops).toMatchObject(expected);
        expect(ops.QuantizeLinear).toBe(1);
        expect(ops.DequantizeLinear ?? 0).toBe(0);
        expect((ops.Conv ?? 0) + (ops.Relu ?? 0) + (ops.Add ?? 0) + (ops.Gemm ?? 0)).toBe(0);
      }
      const test: ImageBatch = await set.test.batch(Array.from({ length: 200 }, (_, i) => i));
      const outputs = await Promise.all(
        [g, q].map(async (m) => {
          const session = await openSession(m);
          const results = await session.run({ [m.inputs[0].name]: floats(test.data, test.dims) });
          await session.dispose();
          return results[m.outputs[0].name].data as Float32Array;
        }),
      );
      expect(agreement(outputs[0], outputs[1], 10)).toBeGreaterThan(0.97);
    },
  );
});
