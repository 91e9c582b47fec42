/** Files that are none, that lie, or that ask for what ONNX cannot say: one ModelError each, whatever the bytes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isEdgefitError } from "../../toolkit/graph/errors.js";
import { inspectModel } from "../../toolkit/inspect.js";
import { importTflite } from "../../toolkit/tflite/index.js";
import { type ModelSpec, oneOperator, type TensorSpec, tflite } from "./build.js";
import { kernel, kernelBias, tensor, tx, unit } from "./cases/quantized.js";
import { constant, float, int32s, random } from "./check.js";

const x = float("x", [1, 6, 6, 3]);
const w = constant("w", random([4, 3, 3, 3], 1));
const y = float("y", [1, 6, 6, 4]);
const conv = (inputs: readonly TensorSpec[] = [x, w], options = unit) => oneOperator("CONV_2D", inputs, [y], options);
const relu = (changes: Partial<ModelSpec> = {}) =>
  tflite({
    tensors: [float("x", [1, 4]), float("y", [1, 4])],
    operators: [{ type: "RELU", inputs: [0], outputs: [1] }],
    inputs: [0],
    outputs: [1],
    ...changes,
  });

/** The error that importing gives; its place comes with it. */
function refusal(bytes: Uint8Array): { code: string; text: string } {
  try {
    importTflite(bytes, { where: "net.tflite" });
  } catch (e) {
    if (!isEdgefitError(e)) throw e;
    expect(e.where).toMatch(/^net\.tflite/);
    return { code: e.code, text: `${e.where}: ${e.message}` };
  }
  throw new Error("the file was taken");
}

describe("a file is refused in one sentence that says where and what:", () => {
  test.each<[string, Uint8Array, string, RegExp]>([
    ["empty", new Uint8Array(), "not-tflite", /identifier "TFL3" is missing/],
    ["text", new TextEncoder().encode("not a model, but text"), "not-tflite", /identifier/],
    ["another FlatBuffer", relu({ identifier: "ORTM" }), "not-tflite", /identifier/],
    ["a version to come", relu({ version: 4 }), "tflite-feature", /version 4 .*expected 3/],
    ["no outputs", relu({ outputs: [] }), "damaged", /outputs are missing/],
    ["an output of nothing", relu({ outputs: [0, 7] }), "damaged", /tensor 7 .* has 2 tensors/],
    [
      "an operator without rule",
      relu({ operators: [{ type: "LSTM", inputs: [0], outputs: [1] }] }),
      "tflite-operator",
      /operator 0 \(LSTM "y"\): the operator LSTM is not supported/,
    ],
    [
      "a custom operator",
      relu({ operators: [{ type: "CUSTOM TFLite_Detection_PostProcess", inputs: [0], outputs: [1] }] }),
      "tflite-operator",
      /operator 0 \(CUSTOM TFLite_Detection_PostProcess "y"\)/,
    ],
    [
      "an operator that comes first and reads what comes second",
      tflite({
        tensors: [float("x", [1, 4]), float("a", [1, 4]), float("y", [1, 4])],
        operators: [
          { type: "RELU", inputs: [1], outputs: [2] },
          { type: "RELU", inputs: [0], outputs: [1] },
        ],
        inputs: [0],
        outputs: [2],
      }),
      "damaged",
      /operator 0 .* reads "a", which nothing before it has made/,
    ],
    [
      "a value made twice",
      relu({
        operators: [
          { type: "RELU", inputs: [0], outputs: [1] },
          { type: "RELU6", inputs: [0], outputs: [1] },
        ],
      }),
      "damaged",
      /operator 1 .* made twice/,
    ],
    ["a missing input", oneOperator("ADD", [x], [y]), "damaged", /input 1 is missing/],
    [
      "a constant of another size",
      conv([x, { ...w, data: [1, 2, 3] }]),
      "damaged",
      /tensor "w": its shape \[4,3,3,3\] needs 432 bytes, and it has 12/,
    ],
    [
      "weights for other channels",
      conv([x, constant("w", random([4, 3, 3, 2], 1))]),
      "channels-mismatch",
      /3 channels/,
    ],
    [
      "a bias of another length",
      conv([x, w, constant("b", random([3], 1))]),
      "channels-mismatch",
      /\[3\], expected \[4\]/,
    ],
    ["a stride of 0", conv([x, w], { 1: { i32: 0 }, 2: { i32: 1 } }), "damaged", /strides are 1,0/],
    [
      "a kernel larger than the image",
      oneOperator("CONV_2D", [float("x", [1, 2, 2, 3]), w], [y], { ...unit, 0: { i8: 1 } } as typeof unit),
      "damaged",
      /window of 3 does not fit into 2/,
    ],
    ["an open height", conv([{ ...x, signature: [1, -1, 6, 3] }, w]), "tflite-feature", /no fixed size along axis 1/],
    [
      "a shape beyond memory",
      relu({ tensors: [float("x", [65536, 65536]), float("y", [1, 4])] }),
      "damaged",
      /shape is \[65536,65536\]/,
    ],
    [
      "a computed shape beyond memory",
      oneOperator(
        "PAD",
        [float("x", [1, 4]), { name: "p", type: "INT32", dims: [2, 2], data: [0, 2 ** 30, 0, 2 ** 30] }],
        [y],
      ),
      "damaged",
      /output would have the shape/,
    ],
    [
      "text as elements",
      relu({ tensors: [{ name: "x", type: "STRING", dims: [1] }, float("y", [1])] }),
      "tflite-feature",
      /type STRING/,
    ],
    [
      "a variable",
      relu({ tensors: [{ ...float("x", [1, 4]), isVariable: true }, float("y", [1, 4])] }),
      "tflite-feature",
      /call to call/,
    ],
    [
      "a scale of another number of channels",
      conv([x, { ...kernel.spec, scales: [1, 2, 3] }]),
      "damaged",
      /3 scales, 3 zero points, axis 0\) does not fit its shape \[6,3,3,4\]/,
    ],
    ["integers without a scale", conv([{ ...x, type: "INT8" }, w]), "tflite-feature", /"x" is int8, expected float32/],
    [
      "a shape known only at run time",
      oneOperator("RESHAPE", [float("x", [1, 4]), { name: "s", type: "INT32", dims: [2] }], [float("y", [2, 2])]),
      "tflite-feature",
      /new shape is computed at run time/,
    ],
    [
      "a shape that does not fit",
      oneOperator("RESHAPE", [float("x", [1, 4]), int32s("s", [3, -1])], [y]),
      "shape-mismatch",
      /\[1,4\] cannot become \[3,-1\]/,
    ],
  ])("%s", (_, bytes, code, text) => {
    const found = refusal(bytes);
    expect(found.text).toMatch(text);
    expect(found.code).toBe(code);
  });

  test("constants that every operator reads anew do not grow the model without bound", () => {
    const readers = 3000;
    const outputs = Array.from({ length: readers }, (_, i) => float(`y${i}`, [1, 64]));
    const bytes = tflite({
      tensors: [float("x", [1, 8, 8]), constant("w", random([64, 64], 1)), ...outputs],
      operators: outputs.map((_, i) => ({ type: "FULLY_CONNECTED", inputs: [0, 1], outputs: [i + 2] })),
      inputs: [0],
      outputs: [2],
    });
    expect(refusal(bytes).code).toBe("too-large");
  });
});

/** Imports, and goes on to shapes and groups where that works; anything but a ModelError fails the test. */
function survives(bytes: Uint8Array): void {
  try {
    inspectModel(importTflite(bytes, { batch: "possible" }));
  } catch (e) {
    if (!isEdgefitError(e)) throw e;
  }
}

const seeds: Uint8Array[] = [
  conv(),
  oneOperator(
    "CONV_2D",
    [tx, kernel.spec, kernelBias.spec],
    [tensor("y", [1, 5, 6, 6], { type: "INT8", scale: 0.1, zero: 0 })],
    unit,
  ),
  oneOperator("STRIDED_SLICE", [x, ...[0, 6, 2].map((v, i) => int32s(`s${i}`, [v, v, v]))], [y]),
  oneOperator("PAD", [x, { name: "p", type: "INT32", dims: [4, 2], data: [0, 0, 1, 1, 2, 2, 0, 0] }], [y]),
  oneOperator("RESHAPE", [x, int32s("s", [1, -1])], [float("y", [1, 108])]),
  oneOperator(
    "SPLIT_V",
    [x, int32s("n", [1, 2]), int32s("a", 3)],
    [float("y", [1, 6, 6, 1]), float("z", [1, 6, 6, 2])],
    { 0: { i32: 2 } },
  ),
  relu(),
];

describe("whatever the bytes", () => {
  test("a file cut off anywhere is an error or a model, never a crash", () => {
    for (const bytes of seeds) for (let n = 0; n < bytes.length; n += 3) survives(bytes.slice(0, n));
  });

  const flips = fc.array(
    fc.record({ at: fc.nat(), to: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)) }),
    {
      minLength: 1,
      maxLength: 6,
    },
  );

  test("bytes flipped", () => {
    fc.assert(
      fc.property(fc.constantFrom(...seeds), flips, (bytes, changes) => {
        const damaged = bytes.slice();
        for (const { at, to } of changes) damaged[at % damaged.length] = to;
        survives(damaged);
      }),
      { seed: 7, numRuns: 3000 },
    );
  });

  test("numbers replaced by extreme ones", () => {
    const words = fc.array(
      fc.record({ at: fc.nat(), to: fc.constantFrom(-1, 0, 1, 2, 255, 65536, 2 ** 30, 2 ** 31 - 1, -(2 ** 31)) }),
      {
        minLength: 1,
        maxLength: 3,
      },
    );
    fc.assert(
      fc.property(fc.constantFrom(...seeds), words, (bytes, changes) => {
        const damaged = bytes.slice();
        const view = new DataView(damaged.buffer);
        for (const { at, to } of changes) view.setInt32(4 * (at % Math.floor(damaged.length / 4)), to, true);
        survives(damaged);
      }),
      { seed: 8, numRuns: 3000 },
    );
  });
});
