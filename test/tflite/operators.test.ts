/** Every operator against plain loops over TFLite's definition, run by ONNX Runtime at both ends of its optimisation. */
import { describe, expect, test } from "vitest";
import { importTflite, supportedOperators } from "../../toolkit/tflite/index.js";
import { oneOperator, type TensorSpec } from "./build.js";
import { b, i8, i32, w, x } from "./cases/case.js";
import { binaries, types, unaries } from "./cases/elementwise.js";
import { linear, reductions } from "./cases/linear.js";
import { reshapings, selections } from "./cases/movement.js";
import { convolutions, pools, resizes } from "./cases/windows.js";
import { constant, expectOutputs, float, opsOf } from "./check.js";
import { conv2d, type Numbers, transpose } from "./reference.js";

const isSpec = (v: Numbers | TensorSpec): v is TensorSpec => "type" in v;

const cases = [
  ...convolutions,
  ...pools,
  ...binaries,
  ...unaries,
  ...reductions,
  ...linear,
  ...selections,
  ...reshapings,
  ...resizes,
  ...types,
];

describe("a float model of one operator", () => {
  test.each(cases.map((c) => [c.type, c.title, c] as const))("%s %s", async (_type, _title, c) => {
    const inputs = c.inputs.map((v, i) => (isSpec(v) ? v : float(`x${i}`, v.dims)));
    const outputs = c.wanted.map((y, i) => ({ name: `y${i}`, type: c.out ?? "FLOAT32", dims: y.dims }));
    const g = importTflite(oneOperator(c.type, inputs, outputs, c.options));
    await expectOutputs(
      g,
      c.inputs.filter((v): v is Numbers => !isSpec(v)),
      c.wanted,
    );
    // At most into the layout of convolutions and back, for each input and output.
    const turns = opsOf(g).filter((op) => op === "Transpose").length;
    expect(turns).toBeLessThanOrEqual(g.inputs.length + g.outputs.length);
  });

  test("the same in layout nchw: no Transpose is left around a convolution", async () => {
    const bytes = oneOperator(
      "CONV_2D",
      [float("x", x.dims), constant("w", w), constant("b", b)],
      [float("y", [1, 7, 6, 6])],
      { 0: i8(0), 1: i32(1), 2: i32(1) },
    );
    const g = importTflite(bytes, { layout: "nchw" });
    expect(opsOf(g)).toEqual(["Conv"]);
    const wanted = conv2d(x, w, b, { strides: [1, 1], same: true });
    await expectOutputs(g, [transpose(x, [0, 3, 1, 2])], [transpose(wanted, [0, 3, 1, 2])]);
  });

  test("there is a case for every operator that works on floats", () => {
    const tested = new Set(cases.map((c) => c.type));
    const elsewhere = ["QUANTIZE", "DEQUANTIZE", "SHAPE"];
    expect(supportedOperators.filter((op) => !tested.has(op) && !elsewhere.includes(op))).toEqual([]);
  });
});
