import { describe, expect, test } from "vitest";
import type { GraphBuilder, Ref } from "../../toolkit/graph/builder.js";
import { attr, type Graph, opsetOf } from "../../toolkit/graph/graph.js";
import { floats, toNumbers } from "../../toolkit/graph/tensor.js";
import { calibrate, type PlaceOptions, placeQdq, type Ranges, sqnrDb } from "../../toolkit/quantize/index.js";
import { batches, conv3, images, net, noise, optimisedOps, outputOf } from "./support.js";

const minmax = { method: { kind: "minmax" } } as const;

async function quantized(
  g: Graph,
  batch = images([4, 3, 8, 8]),
  o: PlaceOptions = {},
): Promise<{ q: Graph; ranges: Ranges }> {
  const ranges = await calibrate(g, batches(batch), minmax);
  return { q: placeQdq(g, ranges, o), ranges };
}

/** Conv, the operator under test, Conv: it stands between two integer nodes. */
const between = (f: (g: GraphBuilder, y: Ref) => Ref): Graph =>
  net(["N", 3, 8, 8], (g, x) => conv3(g, f(g, conv3(g, x, 3, 8, 1)), 8, 8, 70));

const pool = { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) };

/** Operator -> how it is built and what ONNX Runtime must make of it. */
const cases: Record<string, { build: (g: GraphBuilder, y: Ref) => Ref; fused?: string; convs?: number }> = {
  Relu: { build: (g, y) => g.relu(y) },
  "Clip to 0..0.3": { build: (g, y) => g.clip(y, 0, 0.3) },
  "Clip to -0.2..0.3": { build: (g, y) => g.clip(y, -0.2, 0.3) },
  MaxPool: { build: (g, y) => g.emit("MaxPool", [y], pool), fused: "MaxPool" },
  AveragePool: { build: (g, y) => g.emit("AveragePool", [y], pool), fused: "QLinearAveragePool" },
  GlobalAveragePool: { build: (g, y) => g.emit("GlobalAveragePool", [y]), fused: "QLinearGlobalAveragePool" },
  LeakyRelu: { build: (g, y) => g.emit("LeakyRelu", [y], { alpha: attr.float(0.1) }), fused: "QLinearLeakyRelu" },
  Add: { build: (g, y) => g.add(y, conv3(g, y, 8, 8, 50)), fused: "QLinearAdd", convs: 3 },
  "Add and Relu": { build: (g, y) => g.relu(g.add(y, conv3(g, y, 8, 8, 50))), fused: "QLinearAdd", convs: 3 },
  "Add of a constant": { build: (g, y) => g.add(y, g.initializer("k", noise([8, 1, 1], 9))), fused: "QLinearAdd" },
  Mul: { build: (g, y) => g.mul(y, conv3(g, y, 8, 8, 50)), fused: "QLinearMul", convs: 3 },
  Concat: {
    build: (g, y) => g.concat([conv3(g, y, 8, 4, 50), conv3(g, y, 8, 4, 51)], 1),
    fused: "QLinearConcat",
    convs: 4,
  },
  Pad: { build: (g, y) => g.emit("Pad", [y, g.ints([0, 0, 1, 1, 0, 0, 1, 1])]), fused: "Pad" },
  "Pad with a value": {
    build: (g, y) => g.emit("Pad", [y, g.ints([0, 0, 1, 1, 0, 0, 1, 1]), g.const(0.25)]),
    fused: "Pad",
  },
  Slice: { build: (g, y) => g.emit("Slice", [y, g.ints([1]), g.ints([7]), g.ints([2])]), fused: "Slice" },
  Split: {
    build: (g, y) => {
      const [a, b] = g.emitMany("Split", [y, g.ints([4, 4])], { axis: attr.int(1) }, { outputs: 2 });
      return g.concat([b, a], 1);
    },
    fused: "Split",
  },
  Reshape: { build: (g, y) => g.reshape(y, [-1, 8, 4, 16]), fused: "Reshape" },
  Transpose: { build: (g, y) => g.transpose(y, [0, 1, 3, 2]), fused: "Transpose" },
  "channel shuffle": {
    build: (g, y) => g.reshape(g.transpose(g.reshape(y, [-1, 2, 4, 8, 8]), [0, 2, 1, 3, 4]), [-1, 8, 8, 8]),
    fused: "Transpose",
  },
  DepthToSpace: {
    build: (g, y) => conv3(g, g.emit("DepthToSpace", [y], { blocksize: attr.int(2) }), 2, 8, 52),
    fused: "DepthToSpace",
    convs: 3,
  },
  "Unsqueeze and Squeeze": { build: (g, y) => g.emit("Squeeze", [g.emit("Unsqueeze", [y, g.ints([4])]), g.ints([4])]) },
  "nearest Resize": {
    build: (g, y) =>
      g.emit("Resize", [y, "", g.const([1, 1, 2, 2])], {
        mode: attr.string("nearest"),
        coordinate_transformation_mode: attr.string("asymmetric"),
        nearest_mode: attr.string("floor"),
      }),
    fused: "Resize",
  },
  "depthwise Conv": { build: (g, y) => conv3(g, y, 8, 8, 60, 8), convs: 3 },
};

describe.each(Object.entries(cases))("%s between convolutions", (_, { build, fused, convs }) => {
  test("runs on integers, with one Quantize in front and one Dequantize behind", async () => {
    const g = between(build);
    const { q } = await quantized(g);
    const ops = await optimisedOps(q);
    expect(ops.QuantizeLinear).toBe(1);
    expect(ops.DequantizeLinear).toBe(1);
    expect(ops.QLinearConv).toBe(convs ?? 2);
    expect(ops.Relu ?? 0).toBe(0);
    expect(ops.Clip ?? 0).toBe(0);
    if (fused) expect(ops[fused]).toBe(1);
  });

  test("keeps the output near float, fused or not", async () => {
    const g = between(build);
    const batch = images([4, 3, 8, 8]);
    const { q } = await quantized(g, batch);
    const expected = await outputOf(g, batch);
    expect(sqnrDb(expected, await outputOf(q, batch))).toBeGreaterThan(33);
    expect(sqnrDb(expected, await outputOf(q, batch, "disabled"))).toBeGreaterThan(33);
  });
});

test("a convolution gives the integers that the formula says", async () => {
  // x in 0..255 at scale 1, weights that are exact at their scales, a bias that is a multiple of sx*sw.
  const w = [1, -2, 3, 127, 254, -127, 0, 64];
  const g = net([1, 2, 1, 2], (b, x) =>
    b.conv(
      x,
      b.initializer("w", floats(w, [4, 2, 1, 1])),
      b.initializer("b", floats([3, -8, 100, 0])),
      {},
      { out: "y" },
    ),
  );
  const ranges: Ranges = {
    method: { kind: "minmax" },
    images: 1,
    nonFinite: new Map(),
    values: new Map([
      ["x", { low: 0, high: 255 }],
      ["y", { low: -510, high: 510 }],
    ]),
  };
  const q = placeQdq(g, ranges);
  const x = [7, 200, 13, 255];
  const expected: number[] = [];
  for (let c = 0; c < 4; c++) {
    const scale = Math.fround(Math.max(Math.abs(w[2 * c]), Math.abs(w[2 * c + 1])) / 127);
    const integer = [w[2 * c], w[2 * c + 1]].map((v) => Math.round(v / scale));
    for (let p = 0; p < 2; p++) {
      const bias = Math.round([3, -8, 100, 0][c] / scale);
      const sum = (integer[0] * x[p] + integer[1] * x[2 + p] + bias) * scale;
      // Step 4, zero point 127.5 rounded to 128.
      const code = Math.max(0, Math.min(255, Math.round(sum / 4) + 128));
      expected.push((code - 128) * 4);
    }
  }
  const batch = { data: Float32Array.from(x), dims: [1, 2, 1, 2] };
  expect([...(await outputOf(q, batch))]).toEqual(expected);
  const ops = await optimisedOps(q);
  expect(ops).toEqual({ QuantizeLinear: 1, QLinearConv: 1, DequantizeLinear: 1 });
});

test("weights carry one scale per output channel and always their axis; biases are int32 at both scales' product", async () => {
  const g = between((b, y) => conv3(b, y, 8, 8, 60, 8));
  const { q } = await quantized(g);
  const dq = q.nodes.filter(
    (n) => n.opType === "DequantizeLinear" && q.initializers.get(n.inputs[0])?.elemType === "int8",
  );
  expect(dq).toHaveLength(3);
  for (const n of dq) {
    expect(n.attributes.axis).toEqual({ type: "int", value: 0 });
    expect(q.initializers.get(n.inputs[1])!.dims).toEqual([8]);
    expect(toNumbers(q.initializers.get(n.inputs[2])!).every((v) => v === 0)).toBe(true);
  }
  const conv = q.nodes.find((n) => n.name === "conv60")!;
  const [x, w, b] = conv.inputs.map((name) => q.nodes.find((n) => n.outputs[0] === name)!);
  const scale = (n: typeof x): Float64Array => toNumbers(q.initializers.get(n.inputs[1])!);
  expect(q.initializers.get(b.inputs[0])!.elemType).toBe("int32");
  scale(b).forEach((s, c) => {
    expect(s).toBe(Math.fround(scale(x)[0] * scale(w)[c]));
  });
});

test("dense layers: QGemm inside, a float result at the end, per column or row", async () => {
  for (const transB of [0, 1]) {
    const g = net(["N", 8], (b, x) => {
      const w = b.initializer("w", noise(transB ? [16, 8] : [8, 16], 2));
      const h = b.relu(b.emit("Gemm", [x, w, b.initializer("b", noise([16], 3))], { transB: attr.int(transB) }));
      return b.matmul(h, b.initializer("v", noise([16, 5], 4)), { name: "last" });
    });
    const batch = images([16, 8]);
    const { q } = await quantized(g, batch);
    expect(await optimisedOps(q)).toEqual({ QuantizeLinear: 1, QGemm: 1, MatMulIntegerToFloat: 1 });
    expect(sqnrDb(await outputOf(g, batch), await outputOf(q, batch))).toBeGreaterThan(35);
  }
});

test("a detector's tail stays float and graph outputs keep their names", async () => {
  const g = between((b, y) => b.relu(y));
  const tail = net(["N", 3, 8, 8], (b, x) => {
    const y = conv3(b, x, 3, 8, 1);
    b.output(y);
    return b.emit(
      "Softmax",
      [b.concat([b.reshape(y, [-1, 8, 64]), b.reshape(conv3(b, y, 8, 8, 2), [-1, 8, 64])], 2)],
      { axis: attr.int(1) },
      { out: "scores" },
    );
  });
  const { q } = await quantized(tail);
  expect(q.outputs.map((v) => v.name)).toEqual(tail.outputs.map((v) => v.name));
  const ops = await optimisedOps(q);
  expect(ops).toMatchObject({ QLinearConv: 2, Concat: 1, Softmax: 1 });
  expect(ops.QLinearConcat ?? 0).toBe(0);
  expect(opsetOf(q)).toBe(opsetOf(g));
});

describe("nodes that are kept float", () => {
  const kept = { keepFloat: new Set(["conv40"]) };
  const floatConvs = (ops: Record<string, number>): number => (ops.Conv ?? 0) + (ops.FusedConv ?? 0);

  test.each([
    ["with a Relu behind", (b: GraphBuilder, y: Ref) => b.relu(conv3(b, y, 8, 8, 40))],
    ["alone", (b: GraphBuilder, y: Ref) => conv3(b, y, 8, 8, 40)],
    ["with a Clip behind", (b: GraphBuilder, y: Ref) => b.clip(conv3(b, y, 8, 8, 40), 0, 0.4)],
  ])("%s are not taken for integer ones by the runtime, and cost no node of their own", async (_, build) => {
    const g = between(build);
    const batch = images([4, 3, 8, 8]);
    const { q } = await quantized(g, batch, kept);
    const ops = await optimisedOps(q);
    expect(ops.QLinearConv).toBe(2);
    expect(floatConvs(ops)).toBe(1);
    expect(ops.Relu ?? 0).toBe(0);
    if (!q.nodes.some((n) => n.opType === "Clip")) expect(ops.LeakyRelu ?? 0).toBe(0);
    expect(q.initializers.get("w40")).toBe(g.initializers.get("w40"));
    const expected = await outputOf(g, batch);
    const all = (await quantized(g, batch)).q;
    expect(sqnrDb(expected, await outputOf(q, batch))).toBeGreaterThan(sqnrDb(expected, await outputOf(all, batch)));
  });

  test("one branch that is kept float does not pull the residual sum along", async () => {
    const g = between((b, y) => b.relu(b.add(conv3(b, y, 8, 8, 40), y)));
    const ops = await optimisedOps((await quantized(g, undefined, kept)).q);
    expect(ops).toMatchObject({ QLinearConv: 2, QLinearAdd: 1 });
    expect(floatConvs(ops)).toBe(1);
    expect(ops.Add ?? 0).toBe(0);
  });

  test("all of them: the graph has no pair left", async () => {
    const g = between((b, y) => b.relu(conv3(b, y, 8, 8, 40)));
    const { q } = await quantized(g, undefined, { keepFloat: new Set(["conv1", "conv40", "conv70"]) });
    expect(q.nodes.some((n) => n.opType.endsWith("quantizeLinear") || n.opType === "QuantizeLinear")).toBe(false);
  });

  test("an operator without a rule keeps its weights too", async () => {
    const g = between((b, y) =>
      b.emit("ConvTranspose", [y, b.initializer("wt", noise([8, 8, 2, 2], 3, 0.2))], { strides: attr.ints([2, 2]) }),
    );
    const ops = await optimisedOps((await quantized(g)).q);
    expect(ops).toMatchObject({ ConvTranspose: 1, QLinearConv: 2, DequantizeLinear: 2, QuantizeLinear: 2 });
  });
});

test("an operator that edgefit does not know stays as it is between integer nodes", async () => {
  const g = between((b, y) => b.emit("Mish", [y]));
  const typed = {
    ...g,
    valueTypes: new Map([[g.nodes[1].outputs[0], { elemType: "float32" as const, dims: ["N", 8, 8, 8] }]]),
    opsets: new Map([["", 18]]),
  };
  const batch = images([4, 3, 8, 8]);
  const { q } = await quantized(typed, batch);
  expect(await optimisedOps(q)).toMatchObject({ QLinearConv: 2, QuantizeLinear: 2, DequantizeLinear: 2 });
  expect(sqnrDb(await outputOf(typed, batch), await outputOf(q, batch))).toBeGreaterThan(33);
});

test("values that took on NaN keep their nodes float", async () => {
  const g = between((b, y) => b.relu(y));
  const bad = images([4, 3, 8, 8]);
  bad.data[5] = Number.NaN;
  const { q, ranges } = await quantized(g, bad);
  expect(ranges.nonFinite.get("x")).toBe(1);
  expect(q.nodes.find((n) => n.name === "conv1")!.inputs).toEqual(["x", "w1", "b1"]);
});

test("constant and all-zero inputs give finite outputs equal to float's", async () => {
  for (const value of [0, 2]) {
    const g = between((b, y) => b.relu(y));
    const batch = { data: new Float32Array(4 * 3 * 64).fill(value), dims: [4, 3, 8, 8] };
    const { q } = await quantized(g, batch);
    const [expected, actual] = [await outputOf(g, batch), await outputOf(q, batch)];
    const peak = Math.max(...expected.map(Math.abs));
    actual.forEach((v, i) => {
      expect(Math.abs(v - expected[i])).toBeLessThan(0.02 * peak);
    });
  }
});

test("7-bit weights stay within what 16-bit sums of pairs can hold", async () => {
  const { q } = await quantized(
    between((b, y) => b.relu(y)),
    undefined,
    { reduceRange: true },
  );
  const peaks = [...q.initializers.values()].flatMap((t) =>
    t.elemType === "int8" && t.dims.length === 4 ? [Math.max(...toNumbers(t).map(Math.abs))] : [],
  );
  expect(peaks).toEqual([64, 64]);
  expect(255 * 64 * 2).toBeLessThan(32768);
});
