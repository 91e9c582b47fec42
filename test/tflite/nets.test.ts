/** Small nets: where Transpose nodes stand, what becomes of names, layouts and batches, and that the result can be pruned. */
import { describe, expect, test } from "vitest";
import { type Graph, usesOf } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { importTflite, type TfliteOptions } from "../../toolkit/tflite/index.js";
import { randomFeeds, randomKeep } from "../support/graphs.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";
import { type OperatorSpec, type OptionSpec, type TensorSpec, tflite } from "./build.js";
import { constant, expectOutputs, float, int32s, opsOf, random } from "./check.js";
import {
  broadcast,
  conv2d,
  depthwise,
  fullyConnected,
  map,
  type Numbers,
  pool,
  reduce,
  resize,
  softmax,
  transpose,
} from "./reference.js";

/** Collects tensors and operators of a net. */
class Net {
  readonly tensors: TensorSpec[] = [];
  readonly operators: OperatorSpec[] = [];
  private readonly open: number[] = [];

  add(t: TensorSpec): number {
    return this.tensors.push(t) - 1;
  }

  input(name: string, dims: readonly number[], signature?: readonly number[]): number {
    const i = this.add({ ...float(name, dims), signature });
    this.open.push(i);
    return i;
  }

  op(
    type: string,
    inputs: readonly number[],
    y: Numbers,
    options?: OptionSpec,
    name = `t${this.tensors.length}`,
  ): number {
    const out = this.add(float(name, y.dims));
    this.operators.push({ type, inputs, outputs: [out], options });
    return out;
  }

  import(outputs: readonly number[], o?: TfliteOptions): Graph {
    const { tensors, operators, open: inputs } = this;
    return importTflite(tflite({ tensors, operators, inputs, outputs }), o);
  }
}

const i8 = (v: number) => ({ i8: v });
const i32 = (v: number) => ({ i32: v });
const conv: OptionSpec = { 0: i8(0), 1: i32(1), 2: i32(1), 3: i8(1) };
const dw: OptionSpec = { 0: i8(0), 1: i32(2), 2: i32(2), 3: i32(1) };
const relu = (x: Numbers) => map(x, (v) => Math.max(v, 0));
const same = { strides: [1, 1] as const, same: true };

/** Conv, depthwise, squeeze-and-excitation gate, pool, flatten, dense, softmax. */
function classifier(signature?: readonly number[]) {
  const net = new Net();
  const x = random([1, 8, 6, 3], 1);
  const [w1, b1] = [random([8, 3, 3, 3], 2), random([8], 3)];
  const wd = random([1, 3, 3, 8], 4);
  const [ws, we] = [random([4, 8], 5), random([8, 4], 6)];
  const wf = random([5, 4 * 3 * 8], 7);
  const a = relu(conv2d(x, w1, b1, same));
  const d = depthwise(a, wd, undefined, { strides: [2, 2], same: true });
  const squeezed = reduce(d, [1, 2], false, (v) => v.reduce((p, q) => p + q, 0) / v.length);
  const hidden = relu(fullyConnected(squeezed, ws));
  const gate = map(fullyConnected(hidden, we), (v) => 1 / (1 + Math.exp(-v)));
  const gated = broadcast(d, { ...gate, dims: [1, 1, 1, 8] }, (p, q) => p * q);
  const logits = fullyConnected(gated, wf);
  const y = softmax(logits);

  const i = net.input("image:0", x.dims, signature);
  const c1 = net.op("CONV_2D", [i, net.add(constant("w1", w1)), net.add(constant("b1", b1))], a, conv);
  const c2 = net.op("DEPTHWISE_CONV_2D", [c1, net.add(constant("wd", wd))], d, dw);
  const m = net.op("MEAN", [c2, net.add(int32s("hw", [1, 2]))], squeezed);
  const f1 = net.op("FULLY_CONNECTED", [m, net.add(constant("ws", ws))], hidden, { 0: i8(1) });
  const f2 = net.op("FULLY_CONNECTED", [f1, net.add(constant("we", we))], gate);
  const s = net.op("LOGISTIC", [f2], gate);
  const r = net.op("RESHAPE", [s, net.add(int32s("to4", [1, 1, 1, 8]))], { ...gate, dims: [1, 1, 1, 8] });
  const g = net.op("MUL", [c2, r], d);
  const flat = net.op("RESHAPE", [g, net.add(int32s("to2", [1, 96]))], { ...gated, dims: [1, 96] });
  const l = net.op("FULLY_CONNECTED", [flat, net.add(constant("wf", wf))], logits);
  const p = net.op("SOFTMAX", [l], y, { 0: { f32: 1 } }, "class;probabilities");
  return { net, outputs: [p], x, y };
}

/** Transpose nodes that neither read a graph input nor make a graph output. */
function innerTransposes(g: Graph): string[] {
  const inputs = new Set(g.inputs.map((v) => v.name));
  const outputs = new Set(g.outputs.map((v) => v.name));
  return g.nodes
    .filter((n) => n.opType === "Transpose" && !inputs.has(n.inputs[0]) && !outputs.has(n.outputs[0]))
    .map((n) => n.name);
}

describe("a classifier with a gate and a flattened image", () => {
  test("becomes one Transpose and a clean net in the layout of ONNX; names and values are the file's", async () => {
    const { net, outputs, x, y } = classifier();
    const g = net.import(outputs);
    expect(g.inputs.map((v) => [v.name, v.type.dims])).toEqual([["image:0", [1, 8, 6, 3]]]);
    expect(g.outputs.map((v) => [v.name, v.type.dims])).toEqual([["class;probabilities", [1, 5]]]);
    expect(opsOf(g)).toEqual([
      ..."Transpose Conv Relu Conv GlobalAveragePool Reshape Gemm Relu Gemm Sigmoid Reshape Mul Reshape Gemm Softmax".split(
        " ",
      ),
    ]);
    await expectOutputs(g, [x], [y]);
  });

  test("takes and needs no Transpose at all with --layout nchw", async () => {
    const { net, outputs, x, y } = classifier();
    const g = net.import(outputs, { layout: "nchw" });
    expect(opsOf(g)).not.toContain("Transpose");
    expect(g.inputs[0].type.dims).toEqual([1, 3, 8, 6]);
    await expectOutputs(g, [transpose(x, [0, 3, 1, 2])], [y]);
  });

  test.each([
    ["as the file says", [-1, 8, 6, 3], {}, "batch"],
    ["fixed as in the file", undefined, {}, 1],
    ["open on demand", undefined, { batch: "any" }, "batch"],
  ] as const)("has its batch %s", async (_, signature, options, batch) => {
    const { net, outputs, x, y } = classifier(signature);
    const g = net.import(outputs, options);
    expect([g.inputs[0].type.dims?.[0], g.outputs[0].type.dims?.[0]]).toEqual([batch, batch]);
    if (batch === 1) return;
    const twice = (v: Numbers, dims: number[]): Numbers => ({ dims, data: [...v.data, ...v.data] });
    await expectOutputs(inferShapes(g, { dims: { batch: 2 } }), [twice(x, [2, 8, 6, 3])], [twice(y, [2, 5])]);
  });

  test("can be pruned: all but the logits, and a slice equals its mask", async () => {
    const { net, outputs } = classifier();
    const g = inferShapes(tidy(net.import(outputs)));
    const groups = findGroups(g);
    expect(groups.prunable.map((e) => e.width).sort()).toEqual([4, 8]);
    expect(groups.groups.filter((e) => e.frozen !== undefined).map((e) => e.width)).toEqual([5]);
    await expectSliceEqualsMask(g, groups, randomKeep(groups, 3, 0.5), randomFeeds(g, 5));
  });

  test("is written as it was built: the same bytes each time", () => {
    const bytes = () => {
      const { net, outputs } = classifier();
      return writeModel(net.import(outputs));
    };
    expect(bytes()).toEqual(bytes());
  });
});

describe("the layout of ONNX holds", () => {
  const x = random([1, 6, 8, 4], 11);
  const w = random([6, 3, 3, 4], 12);
  const last = random([2, 1, 1, 6], 13);

  test("through an encoder and decoder with a skip connection", async () => {
    const net = new Net();
    const a = relu(conv2d(x, w, undefined, same));
    const p = pool(a, { kernel: [2, 2], strides: [2, 2], same: false }, "max");
    const up = resize(p, [6, 8], "bilinear", false, true);
    const joined = {
      dims: [1, 6, 8, 12],
      data: up.data.flatMap((_, i) => (i % 6 ? [] : [...a.data.slice(i, i + 6), ...up.data.slice(i, i + 6)])),
    };
    const wl = random([2, 1, 1, 12], 14);
    const y = relu(conv2d(joined, wl, undefined, same));
    const i = net.input("x", x.dims);
    const c = net.op("CONV_2D", [i, net.add(constant("w", w))], a, conv);
    const m = net.op("MAX_POOL_2D", [c], p, { 0: i8(1), 1: i32(2), 2: i32(2), 3: i32(2), 4: i32(2) });
    const r = net.op("RESIZE_BILINEAR", [m, net.add(int32s("size", [6, 8]))], up, { 3: i8(1) });
    const k = net.op("CONCATENATION", [c, r], joined, { 0: i32(3) });
    const out = net.op("CONV_2D", [k, net.add(constant("wl", wl))], y, conv, "mask");
    const g = net.import([out]);
    expect(innerTransposes(g)).toEqual([]);
    expect(opsOf(g).filter((op) => op === "Transpose")).toHaveLength(2);
    await expectOutputs(g, [x], [y]);
  });

  test("through a channel shuffle, which takes the one Transpose that it is", async () => {
    const net = new Net();
    const a = relu(conv2d(x, w, undefined, same));
    const split = { ...a, dims: [1, 6, 8, 2, 3] };
    const turned = transpose(split, [0, 1, 2, 4, 3]);
    const y = relu(conv2d({ ...turned, dims: a.dims }, last, undefined, same));
    const i = net.input("x", x.dims);
    const c = net.op("CONV_2D", [i, net.add(constant("w", w))], a, conv);
    const s = net.op("RESHAPE", [c, net.add(int32s("s", split.dims))], split);
    const t = net.op("TRANSPOSE", [s, net.add(int32s("p", [0, 1, 2, 4, 3]))], turned);
    const u = net.op("RESHAPE", [t, net.add(int32s("u", a.dims))], a);
    const out = net.op("CONV_2D", [u, net.add(constant("l", last))], y, conv, "y");
    const g = net.import([out], { layout: "nchw" });
    expect(opsOf(g)).toEqual("Conv Relu Reshape Transpose Reshape Conv Relu".split(" "));
    await expectOutputs(g, [transpose(x, [0, 3, 1, 2])], [transpose(y, [0, 3, 1, 2])]);
    expect(findGroups(inferShapes(g)).prunable.map((e) => e.producers.length)).toEqual([1]);
  });

  test("where the file itself converts from and to nchw: those conversions vanish", async () => {
    const net = new Net();
    const a = relu(conv2d(x, w, undefined, same));
    const i = net.input("x", [1, 4, 6, 8]);
    const t = net.op("TRANSPOSE", [i, net.add(int32s("p", [0, 2, 3, 1]))], x);
    const c = net.op("CONV_2D", [t, net.add(constant("w", w))], a, conv);
    const out = net.op(
      "TRANSPOSE",
      [c, net.add(int32s("q", [0, 3, 1, 2]))],
      transpose(a, [0, 3, 1, 2]),
      undefined,
      "y",
    );
    const g = net.import([out]);
    expect(opsOf(g)).toEqual(["Conv", "Relu"]);
    await expectOutputs(g, [transpose(x, [0, 3, 1, 2])], [transpose(a, [0, 3, 1, 2])]);
  });

  test("behind a PAD, which the convolution takes over", async () => {
    const net = new Net();
    const wide = { dims: [1, 8, 11, 4], data: [] as number[] };
    wide.data = Array.from({ length: 8 * 11 * 4 }, (_, i) => {
      const [row, column, c] = [Math.floor(i / 44) - 1, (Math.floor(i / 4) % 11) - 2, i % 4];
      return row < 0 || row >= 6 || column < 0 || column >= 8 ? 0 : x.data[(row * 8 + column) * 4 + c];
    });
    const y = relu(conv2d(wide, w, undefined, { strides: [2, 2], same: false }));
    const i = net.input("x", x.dims);
    const pads = { name: "pads", type: "INT32", dims: [4, 2], data: [0, 0, 1, 1, 2, 1, 0, 0] };
    const p = net.op("PAD", [i, net.add(pads)], wide);
    const out = net.op("CONV_2D", [p, net.add(constant("w", w))], y, { ...conv, 0: i8(1), 1: i32(2), 2: i32(2) }, "y");
    const g = net.import([out], { layout: "nchw" });
    expect(opsOf(g)).toEqual(["Conv", "Relu"]);
    expect(g.nodes[0].attributes.pads).toEqual({ type: "ints", value: [1, 2, 1, 1] });
    await expectOutputs(g, [transpose(x, [0, 3, 1, 2])], [transpose(y, [0, 3, 1, 2])]);
  });
});

describe("shapes that the file computes", () => {
  test("are known at import: SHAPE, STRIDED_SLICE, PACK, RESHAPE leave one Reshape, for any batch", async () => {
    const net = new Net();
    const x = random([1, 3, 2, 4], 21);
    const flat = { ...x, dims: [1, 24] };
    const i = net.input("x", x.dims, [-1, 3, 2, 4]);
    const int = (name: string, dims: number[]) => net.add({ name, type: "INT32", dims });
    const [shape, batch, packed] = [int("shape", [4]), int("batch", []), int("packed", [2])];
    const ones = [0, 1, 1].map((v, k) => net.add(int32s(`slice${k}`, [v])));
    net.operators.push(
      { type: "SHAPE", inputs: [i], outputs: [shape] },
      { type: "STRIDED_SLICE", inputs: [shape, ...ones], outputs: [batch], options: { 4: i32(1) } },
      { type: "PACK", inputs: [batch, net.add(int32s("rest", 24))], outputs: [packed], options: { 0: i32(2) } },
    );
    const out = net.op("RESHAPE", [i, packed], flat, undefined, "y");
    const g = net.import([out]);
    expect(opsOf(g)).toEqual(["Reshape"]);
    expect(g.outputs[0].type.dims).toEqual(["batch", 24]);
    await expectOutputs(inferShapes(g, { dims: { batch: 1 } }), [x], [flat]);
  });

  test("fix the batch where they are computed with", () => {
    const net = new Net();
    const i = net.input("x", [1, 4], [-1, 4]);
    const [shape, cast] = [net.add({ name: "s", type: "INT32", dims: [2] }), net.add(float("f", [2]))];
    net.operators.push(
      { type: "SHAPE", inputs: [i], outputs: [shape] },
      { type: "CAST", inputs: [shape], outputs: [cast] },
    );
    const out = net.op(
      "CONCATENATION",
      [net.op("RESHAPE", [i, net.add(int32s("r", [4]))], { dims: [4], data: [] }), cast],
      { dims: [6], data: [] },
      undefined,
      "y",
    );
    expect(net.import([out]).inputs[0].type.dims).toEqual([1, 4]);
    expect(() => net.import([out], { batch: "any" })).toThrow(/batch cannot be left open/);
  });
});

test("an output that is an input, and one that is an inner value too, keep their names", async () => {
  const net = new Net();
  const x = random([1, 4], 31);
  const i = net.input("x", x.dims);
  const r = net.op("RELU", [i], x, undefined, "r");
  const s = net.op("RESHAPE", [i, net.add(int32s("s", [1, 4]))], x, undefined, "same");
  const e = net.op("EXP", [r], x, undefined, "e");
  const g = net.import([s, r, e]);
  expect(g.outputs.map((v) => v.name)).toEqual(["same", "r", "e"]);
  expect(
    usesOf(g)
      .get("r")
      ?.map((u) => u.node.opType),
  ).toEqual(["Exp"]);
  await expectOutputs(g, [x], [x, relu(x), map(relu(x), Math.exp)]);
});
