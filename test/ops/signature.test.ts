import { expect, test } from "vitest";
import { type Attribute, attr, type OpNode, opsetOf, typeOf } from "../../toolkit/graph/graph.js";
import { type ElemType, floats } from "../../toolkit/graph/tensor.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { listOps } from "../../toolkit/ops/index.js";
import { checkSignature } from "../../toolkit/ops/signature.js";
import { signatures } from "../../toolkit/ops/signatures.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { thirdPartyModels } from "../support/thirdParty.js";
import { modelOf } from "./case.js";
import { families } from "./cases/index.js";

const node = (
  opType: string,
  inputs: string[],
  outputs: string[] = ["y"],
  attributes: Record<string, Attribute> = {},
): OpNode => ({ name: "n", opType, domain: "", inputs, outputs, attributes });

const unknown = () => undefined;

const wrong: [string, OpNode, number, RegExp][] = [
  ["too few inputs", node("Conv", ["x"]), 13, /^Conv "n" lacks its input 1$/],
  ["an absent required input", node("Gemm", ["", "w"]), 13, /lacks its input 0/],
  ["too many inputs", node("Relu", ["x", "x"]), 13, /has 2 inputs; its operator takes at most 1/],
  ["no output", node("Relu", ["x"], []), 13, /lacks its output 0/],
  ["too many outputs", node("Relu", ["x"], ["y", "z"]), 13, /has 2 outputs; its operator takes at most 1/],
  ["a missing attribute", node("Concat", ["x"]), 13, /lacks its attribute "axis"/],
  [
    "an attribute of another kind",
    node("Conv", ["x", "w"], ["y"], { strides: attr.int(2) }),
    13,
    /"strides" that is not a list of integers/,
  ],
  ["inputs of a newer operator set", node("Slice", ["x", "a", "b"]), 9, /has 3 inputs; its operator takes at most 1/],
];

test.each(wrong)("%s: refused in one sentence", (_, n, opset, message) => {
  expect(() => checkSignature(n, opset, unknown)).toThrow(message);
  expect(() => checkSignature(n, opset, unknown)).toThrow(
    expect.objectContaining({ name: "ModelError", code: "malformed" }),
  );
});

const right: [string, OpNode, number][] = [
  ["an absent optional input", node("Clip", ["x", "", "high"]), 13],
  ["an absent optional output", node("Dropout", ["x"], ["y", ""]), 13],
  ["any number of inputs", node("Concat", ["a", "b", "c", "d"], ["y"], { axis: attr.int(0) }), 13],
  ["an attribute that nobody knows", node("Relu", ["x"], ["y"], { note: attr.string("?") }), 13],
  ["an operator that nobody knows", node("Nothing", [], []), 13],
  [
    "the form of an older operator set",
    node("Slice", ["x"], ["y"], { starts: attr.ints([0]), ends: attr.ints([1]) }),
    9,
  ],
  ["an operator set of the future", node("Conv", ["x", "w", "b"]), 99],
  ["a Constant without attributes", node("Constant", [], ["y"], { value: attr.tensor(floats([1])) }), 1],
];

test.each(right)("%s: accepted", (_, n, opset) => {
  expect(() => checkSignature(n, opset, unknown)).not.toThrow();
});

test("inputs that must have one element type are compared; others, and unknown ones, are not", () => {
  const types =
    (...list: (ElemType | undefined)[]) =>
    (i: number) =>
      list[i];
  const add = node("Add", ["a", "b"]);
  expect(() => checkSignature(add, 13, types("float32", "int64"))).toThrow(
    /has a float32 as input 0 and a int64 as input 1/,
  );
  expect(() => checkSignature(add, 13, types("float32", undefined))).not.toThrow();
  expect(() => checkSignature(add, 13, types("float32", "other"))).not.toThrow();
  expect(() => checkSignature(node("Reshape", ["a", "b"]), 13, types("float32", "int64"))).not.toThrow();
  const concat = node("Concat", ["a", "b", "c"], ["y"], { axis: attr.int(0) });
  expect(() => checkSignature(concat, 13, types("int8", "int8", "uint8"))).toThrow(/uint8 as input 2/);
});

test("every case of every operator fits, and nearly every operator with a rule is in the table", () => {
  for (const cases of Object.values(families))
    for (const [opType, list] of Object.entries(cases))
      for (const c of list) {
        const g = modelOf(opType, c);
        for (const n of g.nodes)
          expect(
            () => checkSignature(n, opsetOf(g, n.domain), (i) => typeOf(g, n.inputs[i])?.elemType),
            `${opType} ${c.name}`,
          ).not.toThrow();
      }
  const known = new Set(signatures.split("\n").map((line) => line.split(" ")[0]));
  const missing = listOps().filter((o) => o.domain === "" && !known.has(o.opType));
  expect(missing.map((o) => o.opType)).toEqual([]);
});

test.skipIf(!hasShared).each(thirdPartyModels)("every node of %s fits", async (file) => {
  const g = await readModelFile(sharedPath(file));
  for (const n of g.nodes)
    expect(() => checkSignature(n, opsetOf(g, n.domain), (i) => typeOf(g, n.inputs[i])?.elemType)).not.toThrow();
});
