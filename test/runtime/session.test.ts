import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { attr } from "../../toolkit/graph/graph.js";
import { type ElemType, floats, fromNumbers, ints, type Tensor, toNumberArray } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { openSession, plainSentence, type Session, withSession } from "../../toolkit/runtime/session.js";
import { maxDifference, smallNet, waves } from "../support/models.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { thirdPartyModels } from "../support/thirdParty.js";

/** x -> Identity -> y for any element type. */
function identityNet(elemType: ElemType) {
  const b = new GraphBuilder();
  b.output(b.identity(b.input("x", ["N"], elemType), { out: "y" }), { elemType });
  return b.graph;
}

const numeric: ElemType[] = [
  "float32",
  "float64",
  "float16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
];

test.each(numeric)("%s goes in and comes out unchanged", async (elemType) => {
  const x = fromNumbers(elemType, [0, 1, 1], [3]);
  const { y } = await withSession(identityNet(elemType), { threads: 1 }, (s) => s.run({ x }));
  expect(y).toEqual(x);
});

test("an output of a type that the binding cannot pass is refused before it runs", async () => {
  const b = new GraphBuilder(emptyGraph("narrow", 21, 10));
  b.output(b.emit("Cast", [b.input("x", [3])], { to: attr.int(22) }, { out: "y" }), { elemType: "int4" });
  const run = withSession(b.graph, { threads: 1 }, (s) => s.run({ x: floats([1, 2, 3]) }));
  await expect(run).rejects.toThrow(/cannot hand over output "y"/);
});

test("strings go in and come out unchanged", async () => {
  const x: Tensor = { elemType: "string", dims: [2], data: ["a", "ß"] };
  expect((await withSession(identityNet("string"), {}, (s) => s.run({ x }))).y).toEqual(x);
});

test("half floats are computed with as half floats", async () => {
  const b = new GraphBuilder();
  const h = b.emit("Cast", [b.input("x", [2])], { to: attr.int(10) });
  b.output(b.add(h, h, { out: "y" }), { elemType: "float16" });
  const { y } = await withSession(b.graph, {}, (s) => s.run({ x: floats([1.5, -3]) }));
  expect(y.elemType).toBe("float16");
  expect(toNumberArray(y)).toEqual([3, -6]);
});

test("a session says what goes in and out, and can be asked for some outputs only", async () => {
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 2]);
  b.output(b.relu(x, { out: "a" }));
  b.output(b.emit("Shape", [x], {}, { out: "b" }), { elemType: "int64", dims: [2] });
  await withSession(b.graph, {}, async (s) => {
    expect(s.inputs).toEqual([{ name: "x", elemType: "float32", dims: ["N", 2] }]);
    expect(s.outputs.map((v) => [v.name, v.elemType])).toEqual([
      ["a", "float32"],
      ["b", "int64"],
    ]);
    expect(await s.run({ x: floats([1, -1], [1, 2]) }, ["b"])).toEqual({ b: ints([1, 2]) });
  });
});

const wrongFeeds: [string, Record<string, Tensor>, RegExp][] = [
  ["a missing input", {}, /no value was given for the model's input "image"/],
  ["an unknown input", { img: floats([1]) }, /no input "img"; its inputs are "image"/],
  ["a wrong type", { image: ints([1]) }, /"image" wants float32 and was given int64/],
  ["a wrong rank", { image: floats([1]) }, /"image" wants dims \[N, 3, 8, 8\] and was given \[1\]/],
  ["a wrong size", { image: waves([1, 3, 8, 9]) }, /was given \[1, 3, 8, 9\]/],
  [
    "data that does not fill its dims",
    { image: { ...waves([1, 3, 8, 8]), dims: [2, 3, 8, 8] } },
    /dims \[2, 3, 8, 8\] but 192 elements/,
  ],
];

test.each(wrongFeeds)("%s is named", async (_, feeds, message) => {
  await withSession(smallNet(), { where: "net.onnx" }, async (s) => {
    await expect(s.run(feeds)).rejects.toMatchObject({
      name: "ModelError",
      code: "feed",
      where: "net.onnx",
      message: expect.stringMatching(message),
    });
  });
});

test("what the runtime refuses to load comes back as one sentence", async () => {
  const g = smallNet();
  g.nodes[0] = { ...g.nodes[0], opType: "NoSuchOperator" };
  const opening = openSession(g, { where: "net.onnx" });
  await expect(opening).rejects.toMatchObject({
    name: "ModelError",
    code: "runtime",
    where: "net.onnx",
    message: expect.stringMatching(/^ONNX Runtime does not load the model: .*NoSuchOperator/),
  });
  await expect(opening).rejects.not.toMatchObject({
    message: expect.stringMatching(/\n|onnxruntime_src|\.cc:\d|failed:/),
  });
});

test("what fails while running names the node", async () => {
  const b = new GraphBuilder();
  b.output(
    b.emit("Reshape", [b.input("x", [4]), b.input("shape", [1], "int64")], {}, { out: "y", name: "the reshape" }),
  );
  await withSession(b.graph, { threads: 1 }, async (s) => {
    const run = s.run({ x: floats([1, 2, 3, 4]), shape: ints([3]) });
    await expect(run).rejects.toMatchObject({
      code: "runtime",
      message: expect.stringMatching(
        /^ONNX Runtime cannot run the model: Reshape "the reshape": The input tensor cannot be reshaped/,
      ),
    });
    await expect(run).rejects.not.toMatchObject({ message: expect.stringMatching(/\n|\.h:\d|Non-zero status/) });
  });
});

test.each([
  [
    "Non-zero status code returned while running Reshape node. Name:'r' Status Message: /onnxruntime_src/onnxruntime/core/providers/cpu/tensor/reshape_helper.h:91 onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, onnxruntime::TensorShapeVector&, bool) input_shape_size == requested_shape_size was false. The input tensor cannot be reshaped to the requested shape. Input shape:{4}, requested shape:{3}\n",
    'Reshape "r": The input tensor cannot be reshaped to the requested shape. Input shape:{4}, requested shape:{3}',
  ],
  [
    "Non-zero status code returned while running Add node. Name:'a' Status Message: /onnxruntime_src/onnxruntime/core/providers/cpu/math/element_wise_ops.h:563 void onnxruntime::BroadcastIterator::Init(ptrdiff_t, ptrdiff_t) axis == 1 || axis == largest was false. Attempting to broadcast an axis by a dimension other than 1. 3 by 4\n",
    'Add "a": Attempting to broadcast an axis by a dimension other than 1. 3 by 4',
  ],
  [
    "Non-zero status code returned while running MatMul node. Name:'m' Status Message: matmul_helper.h:59 Compute MatMul dimension mismatch",
    'MatMul "m": MatMul dimension mismatch',
  ],
  [
    "Non-zero status code returned while running Gather node. Name:'g' Status Message: indices element out of data bounds, idx=30",
    'Gather "g": indices element out of data bounds, idx=30',
  ],
  [
    "/onnxruntime_src/onnxruntime/core/graph/model.cc:202 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&) Unsupported model IR version: 99, max supported IR version: 13\n",
    "Unsupported model IR version: 99, max supported IR version: 13",
  ],
  [
    "Load model from buffer failed:Fatal error: x is not a registered function/op",
    "Fatal error: x is not a registered function/op",
  ],
])("a runtime message is cut to its sentence (%#)", (message, expected) => {
  expect(plainSentence(message)).toBe(expected);
});

test("a disposed session is freed once and then refuses to run", async () => {
  const s = await openSession(smallNet());
  await s.dispose();
  await s.dispose();
  await expect(s.run({ image: waves([1, 3, 8, 8]) })).rejects.toThrow(/disposed/);
});

test("withSession frees the session when its user throws", async () => {
  let kept: Session | undefined;
  const failing = withSession(smallNet(), {}, async (s) => {
    kept = s;
    throw new Error("mine");
  });
  await expect(failing).rejects.toThrow("mine");
  await expect(kept!.run({ image: waves([1, 3, 8, 8]) })).rejects.toThrow(/disposed/);
});

describe.skipIf(!hasShared)("third-party models", () => {
  test.each(thirdPartyModels)(
    "%s computes the same after a round trip and after tidy, at both levels",
    async (file) => {
      const original = readFileSync(sharedPath(file));
      const g = readModel(original, { where: file });
      const constants = new Set(g.initializers.keys());
      const run = (model: Uint8Array, level: "disabled" | "all") =>
        withSession(model, { threads: 1, level, where: file }, (s) => {
          const feeds = s.inputs.filter((v) => !constants.has(v.name));
          const dims = (v: (typeof feeds)[number]) =>
            v.dims.map((d, axis) => (typeof d === "number" ? d : axis === 0 ? 1 : 320));
          return s.run(Object.fromEntries(feeds.map((v) => [v.name, waves(dims(v))])));
        });
      for (const level of ["disabled", "all"] as const) {
        const expected = await run(original, level);
        expect(maxDifference(expected, await run(writeModel(g), level))).toBe(0);
        // Constants that leave the inputs let the runtime fold more, so sums may be taken in another order.
        expect(maxDifference(expected, await run(writeModel(tidy(g)), level))).toBeLessThanOrEqual(1e-5);
      }
    },
  );

  const child = async (verbose: boolean) => {
    const script = `
      import { readModelFile } from "./toolkit/onnx/index.ts";
      import { withSession } from "./toolkit/runtime/session.ts";
      const g = await readModelFile(process.argv[1]);
      const image = { elemType: "float32", dims: [1, 3, 240, 320], data: new Float32Array(3 * 240 * 320) };
      await withSession(g, { threads: 1, verbose: ${verbose} }, (s) => s.run({ [s.inputs[0].name]: image }));
      await withSession(new Uint8Array([8, 8]), { verbose: ${verbose} }, async () => {}).catch(() => {});
      process.stdout.write("done");`;
    const root = new URL("../..", import.meta.url).pathname;
    return promisify(execFile)(
      process.execPath,
      [
        "--import",
        "tsx",
        "--input-type=module",
        "--eval",
        script,
        sharedPath("models/ultraface/ultraface-RFB-320.onnx"),
      ],
      { cwd: root },
    );
  };

  test("the runtime writes nothing to the terminal", async () => {
    expect(await child(false)).toEqual({ stdout: "done", stderr: "" });
  });

  test("with `verbose` its warnings appear", async () => {
    expect((await child(true)).stderr).toMatch(/\[W:onnxruntime/);
  });
});
