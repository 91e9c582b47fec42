/** Quantised models: integer graphs within one step of the grid, float graphs behind them, types at the borders, stored halves. */
import { describe, expect, test } from "vitest";
import { attrInt, type Graph } from "../../toolkit/graph/graph.js";
import { toNumberArray } from "../../toolkit/graph/tensor.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { importTflite, type TfliteOptions } from "../../toolkit/tflite/index.js";
import { randomFeeds, randomKeep } from "../support/graphs.js";
import { expectSliceEqualsMask } from "../support/maskVersusSlice.js";
import { oneOperator, type TensorSpec, tflite } from "./build.js";
import {
  cases,
  i8,
  int8,
  kernel,
  kernelBias,
  perChannel,
  type QuantizedCase,
  real,
  same,
  stored,
  tensor,
  toGrid,
  tx,
  uint8,
  unit,
} from "./cases/quantized.js";
import { expectOutputs, float, opsOf, random, runOn } from "./check.js";
import { conv2d, fullyConnected, map, numbers, transpose } from "./reference.js";

const importCase = (c: QuantizedCase, o?: TfliteOptions): Graph =>
  importTflite(oneOperator(c.type, c.inputs, [tensor("out", c.wanted.dims, c.out)], c.options), o);

describe("a quantised model of one operator", () => {
  test.each(cases.map((c) => [c.type, c.title, c] as const))("%s %s: within a step", async (_t, _n, c) => {
    const g = importCase(c);
    expect(g.outputs[0].type.elemType).toBe(c.out.type.toLowerCase());
    if (c.ops)
      expect(
        opsOf(g)
          .filter((op) => op !== "Transpose")
          .join(" "),
      ).toBe(c.ops);
    await expectOutputs(g, c.fed, [toGrid(c.wanted, c.out)], 1);
  });

  test.each(cases.map((c) => [c.type, c.title, c] as const))("%s %s: as floats", async (_t, _n, c) => {
    const g = importCase(c, { dequantize: true });
    expect([...g.inputs, ...g.outputs].map((v) => v.type.elemType)).not.toContain("int8");
    expect(opsOf(g).filter((op) => /QuantizeLinear/i.test(op))).toEqual([]);
    const specs = c.inputs.filter((t) => !t.data);
    const fed = c.fed.map((v, i) =>
      real(v, { type: "INT8", scale: specs[i].scales![0], zero: specs[i].zeroPoints![0] }),
    );
    await expectOutputs(g, fed, [c.wanted], 2e-5);
  });
});

describe("uint8 models of the first kind, weights with a zero point", () => {
  const [gi, gw, go] = [uint8(0.04, 120), uint8(0.011, 131), uint8(0.25, 100)];
  const qi = stored([1, 6, 5, 3], gi, 21);
  const qw = stored([4, 3, 3, 3], gw, 22);
  const bias: TensorSpec = {
    name: "b",
    type: "INT32",
    dims: [4],
    data: [900, -400, 0, 77],
    scales: [gi.scale * gw.scale],
  };
  const b = numbers([4], bias.data!.length ? Array.from(bias.data!, (v) => v * gi.scale * gw.scale) : []);
  const bytes = oneOperator(
    "CONV_2D",
    [tensor("x", qi.dims, gi), tensor("w", qw.dims, gw, qw.data), bias],
    [tensor("y", [1, 6, 5, 4], go)],
    unit,
  );

  test("give the same within a step", async () => {
    const wanted = toGrid(conv2d(real(qi, gi), real(qw, gw), b, same), go);
    await expectOutputs(importTflite(bytes), [qi], [wanted], 1);
  });

  test("take and give floats on demand, with the same grid behind", async () => {
    const g = importTflite(bytes, { floatIo: true });
    expect([g.inputs[0], g.outputs[0]].map((v) => v.type.elemType)).toEqual(["float32", "float32"]);
    const wanted = real(toGrid(conv2d(real(qi, gi), real(qw, gw), b, same), go), go);
    const [found] = await runOn(g, [real(qi, gi)], "all");
    const off = toNumberArray(found).map((v, i) => Math.abs(v - wanted.data[i]));
    expect(Math.max(...off)).toBeLessThanOrEqual(go.scale * 1.001);
  });
});

describe("a quantised net", () => {
  const second = perChannel("w2", [5, 1, 1, 6], 0, 31);
  const bytes = tflite({
    tensors: [
      tx,
      kernel.spec,
      kernelBias.spec,
      tensor("h", [1, 5, 6, 6], int8(0.1, -128)),
      second.spec,
      tensor("y", [1, 5, 6, 5], int8(0.2, 0)),
    ],
    operators: [
      { type: "CONV_2D", inputs: [0, 1, 2], outputs: [3], options: { ...unit, 3: i8(1) } },
      { type: "CONV_2D", inputs: [3, 4, -1], outputs: [5], options: unit },
    ],
    inputs: [0],
    outputs: [5],
  });

  test("has its scales along the channels of ONNX, so that channels can be cut with their scales", async () => {
    const g = inferShapes(importTflite(bytes, { floatIo: true, layout: "nchw" }));
    const weights = g.nodes.filter((n) => n.opType === "DequantizeLinear" && g.initializers.has(n.inputs[0]));
    expect(weights.map((n) => [g.initializers.get(n.inputs[0])?.dims, attrInt(n, "axis", -1)])).toEqual([
      [[6, 4, 3, 3], 0],
      [[6], 0],
      [[5, 6, 1, 1], 0],
    ]);
    const groups = findGroups(g);
    expect(groups.prunable.map((e) => e.width)).toEqual([6]);
    const keep = randomKeep(groups, 1, 0.5);
    const { sliced } = await expectSliceEqualsMask(g, groups, keep, randomFeeds(g, 2, [-6, 6]));
    const left = [...keep.values()][0].length;
    expect(left).toBeLessThan(6);
    expect([...sliced.initializers.values()].map((t) => t.dims)).toContainEqual([left, 4, 3, 3]);
  });

  test("has unsigned bytes between its operators, which integer kernels take everywhere, and signed weights", () => {
    const g = inferShapes(importTflite(bytes));
    const made = (op: string) =>
      g.nodes
        .filter((n) => n.opType === op)
        .map((n) => g.valueTypes.get(n.outputs[0])?.elemType ?? g.outputs[0].type.elemType);
    expect(made("QuantizeLinear")).toEqual(["uint8", "uint8", "uint8", "int8"]);
    const weights = [...g.initializers.values()].filter((t) => t.dims.length === 4);
    expect(weights.map((t) => t.elemType)).toEqual(["int8", "int8"]);
  });

  test("keeps the border types of the file unless told otherwise", () => {
    const types = (o?: TfliteOptions) => {
      const g = importTflite(bytes, o);
      return [g.inputs[0].type.elemType, g.outputs[0].type.elemType];
    };
    expect(types()).toEqual(["int8", "int8"]);
    expect(types({ floatIo: true })).toEqual(["float32", "float32"]);
    expect(types({ dequantize: true })).toEqual(["float32", "float32"]);
  });
});

describe("weights stored small in a float model", () => {
  const fx = random([1, 5, 6, 4], 41);

  test("halves become floats, through DEQUANTIZE or not", async () => {
    // 1, -2, 0.5, 0.333251953125, 65504, smallest subnormal, 0, -0.1000
    const bits = [0x3c00, 0xc000, 0x3800, 0x3555, 0x7bff, 0x0001, 0, 0xae66];
    const w = numbers([2, 1, 1, 4], [1, -2, 0.5, 0.333251953125, 65504, 2 ** -24, 0, -0.0999755859375]);
    const bytes = tflite({
      tensors: [
        float("x", fx.dims),
        { name: "h", type: "FLOAT16", dims: w.dims, data: bits },
        float("w", w.dims),
        float("y", [1, 5, 6, 2]),
      ],
      operators: [
        { type: "DEQUANTIZE", inputs: [1], outputs: [2] },
        { type: "CONV_2D", inputs: [0, 2, -1], outputs: [3], options: unit },
      ],
      inputs: [0],
      outputs: [3],
    });
    const g = importTflite(bytes, { layout: "nchw" });
    expect(opsOf(g)).toEqual(["Conv"]);
    const wanted = conv2d(fx, w, undefined, same);
    await expectOutputs(g, [transpose(fx, [0, 3, 1, 2])], [transpose(wanted, [0, 3, 1, 2])]);
  });

  test("integers with scales stay small behind DequantizeLinear, in the layout of ONNX", async () => {
    const bytes = tflite({
      tensors: [float("x", fx.dims), kernel.spec, float("w32", kernel.w.dims), float("y", [1, 5, 6, 6])],
      operators: [
        { type: "DEQUANTIZE", inputs: [1], outputs: [2] },
        { type: "CONV_2D", inputs: [0, 2, -1], outputs: [3], options: unit },
      ],
      inputs: [0],
      outputs: [3],
    });
    const g = importTflite(bytes, { layout: "nchw" });
    expect(opsOf(g)).toEqual(["DequantizeLinear", "Conv"]);
    const wanted = transpose(conv2d(fx, kernel.w, undefined, same), [0, 3, 1, 2]);
    await expectOutputs(g, [transpose(fx, [0, 3, 1, 2])], [wanted]);
    expect(opsOf(importTflite(bytes, { layout: "nchw", dequantize: true }))).toEqual(["Conv"]);
  });

  test("four-bit weights are unpacked, low half first", async () => {
    const w = numbers([1, 5], [1, -8, 7, 0, -1]);
    const packed: TensorSpec = {
      name: "w",
      type: "INT4",
      dims: w.dims,
      bytes: Uint8Array.of(0x81, 0x07, 0x0f),
      scales: [0.5],
    };
    const rows = random([1, 5], 42);
    const g = importTflite(oneOperator("FULLY_CONNECTED", [float("x", rows.dims), packed], [float("y", [1, 1])]));
    await expectOutputs(
      g,
      [rows],
      [
        fullyConnected(
          rows,
          map(w, (v) => v / 2),
        ),
      ],
    );
  });
});
