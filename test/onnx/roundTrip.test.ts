import { readFileSync } from "node:fs";
import { create, createRegistry, equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type TensorProto,
} from "onnx-buf";
import { describe, expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, withAttributes } from "../../toolkit/graph/graph.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { netWithBranches, randomGraph, smallNet } from "../support/models.js";
import { addModel, decode, type GraphInit, vector } from "../support/protos.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { thirdPartyModels } from "../support/thirdParty.js";

const text = (s: string) => new TextEncoder().encode(s) as Uint8Array<ArrayBuffer>;

/** Bytes of field 1000, which no version of ONNX has: a string "kept". */
const unknownField = { no: 1000, wireType: 2, data: new Uint8Array([4, ...text("kept")]) };

test("everything that edgefit does not model comes back unchanged", () => {
  const inner = {
    name: "inner",
    docString: "a branch",
    output: [{ name: "inner_y", type: vector(3) }],
    node: [{ name: "in", opType: "Identity", input: ["x"], output: ["inner_y"], docString: "inside" }],
  };
  const model = decode(
    addModel(
      {
        docString: "graph doc",
        metadataProps: [{ key: "g", value: "1" }],
        quantizationAnnotation: [{ tensorName: "w", quantParameterTensorNames: [{ key: "SCALE_TENSOR", value: "w" }] }],
        sparseInitializer: [
          {
            dims: [5n],
            values: { name: "sparse", dims: [1n], dataType: DataType.FLOAT, rawData: new Uint8Array(4) },
            indices: { dims: [1n], dataType: DataType.INT64, rawData: new Uint8Array(8) },
          },
        ],
        input: [
          {
            name: "x",
            docString: "the input",
            type: { ...vector(3), denotation: "TENSOR" },
            metadataProps: [{ key: "i", value: "2" }],
          },
          { name: "seq", type: { value: { case: "sequenceType", value: { elemType: vector(2) } } } },
          {
            name: "flag",
            type: { value: { case: "tensorType", value: { elemType: DataType.BOOL, shape: { dim: [] } } } },
          },
        ],
        output: [{ name: "y", type: vector(3) }, { name: "z" }],
        valueInfo: [
          {
            name: "q",
            docString: "four bits",
            type: { value: { case: "tensorType", value: { elemType: DataType.INT4 } } },
          },
          { name: "opt", type: { value: { case: "optionalType", value: { elemType: vector(1) } } } },
          { name: "w", docString: "of an initializer", type: vector(3) },
        ],
        initializer: [
          {
            name: "w",
            dims: [3n],
            dataType: DataType.FLOAT,
            rawData: new Uint8Array(12),
            docString: "weights",
            metadataProps: [{ key: "t", value: "3" }],
          },
          { name: "nibbles", dims: [3n], dataType: DataType.INT4, rawData: new Uint8Array([0x21, 0x03]) },
          { name: "eighths", dims: [2n], dataType: DataType.FLOAT8E4M3FN, int32Data: [56, 60] },
          { name: "words", dims: [2n], dataType: DataType.STRING, stringData: [text("a"), text("ß")] },
        ],
        node: [
          {
            name: "add",
            opType: "Add",
            input: ["x", "w"],
            output: ["y"],
            docString: "node doc",
            overload: "v2",
            metadataProps: [{ key: "n", value: "4" }],
            deviceConfigurations: [{ configurationId: "c", pipelineStage: 1 }],
          },
          {
            name: "odd",
            opType: "Odd",
            domain: "my.domain",
            input: ["", "x", ""],
            output: ["", "opt", "q"],
            attribute: [
              { name: "huge", type: AttributeType.INT, i: 9223372036854775806n, docString: "beyond 2^53" },
              { name: "blob", type: AttributeType.STRING, s: new Uint8Array([0xff, 0xfe, 0]) },
              { name: "typed", type: AttributeType.TYPE_PROTO, tp: vector(7) },
              {
                name: "many",
                type: AttributeType.TENSORS,
                tensors: [{ dims: [], dataType: DataType.FLOAT, floatData: [1] }],
              },
              { name: "sparse", type: AttributeType.SPARSE_TENSOR, sparseTensor: { dims: [2n] } },
              {
                name: "named",
                type: AttributeType.TENSOR,
                t: { name: "inside", dims: [], dataType: DataType.INT8, rawData: new Uint8Array([7]), docString: "t" },
              },
              { name: "old", f: 0.5 },
              {
                name: "emptyName",
                type: AttributeType.TENSOR,
                t: { name: "", dims: [], dataType: DataType.INT8, rawData: new Uint8Array([7]) },
              },
            ],
          },
          {
            name: "if",
            opType: "If",
            domain: "ai.onnx",
            input: ["flag"],
            output: ["z"],
            attribute: [
              { name: "then_branch", type: AttributeType.GRAPH, g: inner, docString: "branch" },
              { name: "else_branch", type: AttributeType.GRAPH, g: { ...inner, name: "other" } },
            ],
          },
        ],
      } as GraphInit,
      {
        docString: "model doc",
        domain: "org.example",
        modelVersion: 7n,
        producerName: "someone",
        producerVersion: "2",
        opsetImport: [
          { domain: "ai.onnx", version: 13n },
          { domain: "my.domain", version: 1n },
        ],
        metadataProps: [{ key: "author", value: "x" }],
        functions: [
          {
            name: "F",
            domain: "my.domain",
            input: ["a"],
            output: ["b"],
            node: [
              {
                opType: "Relu",
                input: ["a"],
                output: ["b"],
                attribute: [{ name: "r", refAttrName: "alpha", type: AttributeType.FLOAT }],
              },
            ],
          },
        ],
        trainingInfo: [{ algorithm: { name: "step" }, updateBinding: [{ key: "w", value: "w" }] }],
        configuration: [{ name: "c", numDevices: 2 }],
      },
    ),
  );
  model.$unknown = [unknownField];
  model.graph!.$unknown = [unknownField];
  model.graph!.node[0].$unknown = [unknownField];
  model.graph!.initializer[0].$unknown = [unknownField];
  model.graph!.input[0].$unknown = [unknownField];
  const before = decode(toBinary(ModelProtoSchema, model));

  const after = decode(writeModel(readModel(toBinary(ModelProtoSchema, model))));

  expect(equals(ModelProtoSchema, after, before, { unknown: true, registry: createRegistry() })).toBe(true);
  expect(
    Buffer.compare(Buffer.from(toBinary(ModelProtoSchema, after)), Buffer.from(toBinary(ModelProtoSchema, before))),
  ).toBe(0);
});

test("a value that changed is written anew and keeps its documentation", () => {
  const g = readModel(
    addModel({
      node: [
        {
          name: "a",
          opType: "Elu",
          input: ["x"],
          output: ["y"],
          docString: "n",
          attribute: [{ name: "alpha", type: AttributeType.FLOAT, f: 1, docString: "slope" }],
        },
      ],
      output: [{ name: "y", type: vector(3), docString: "out" }],
    } as GraphInit),
  );
  g.nodes = [
    { ...withAttributes(g.nodes[0], { alpha: attr.float(0.1), beta: attr.ints([2 ** 63, -1]) }), outputs: ["y2"] },
  ];
  g.outputs = [{ ...g.outputs[0], name: "y2", type: { elemType: "float16", dims: ["N", 2] } }];
  const after = decode(writeModel(g)).graph!;
  expect(after.node[0].docString).toBe("n");
  expect(after.node[0].attribute.map((a) => [a.name, a.docString, a.f, a.ints])).toEqual([
    ["alpha", "slope", Math.fround(0.1), []],
    ["beta", "", 0, [9223372036854775807n, -1n]],
  ]);
  const y = after.output[0];
  expect([y.name, y.docString]).toEqual(["y2", "out"]);
  const type = y.type!.value.value as { elemType: number; shape: { dim: { value: unknown }[] } };
  expect(type.elemType).toBe(DataType.FLOAT16);
  expect(type.shape.dim.map((d) => d.value)).toEqual([
    { case: "dimParam", value: "N" },
    { case: "dimValue", value: 2n },
  ]);
});

test("nodes out of order are read and written in order", () => {
  const bytes = addModel({
    node: [
      { name: "second", opType: "Relu", input: ["h"], output: ["y"] },
      { name: "first", opType: "Add", input: ["x", "w"], output: ["h"] },
    ],
  });
  const g = readModel(bytes);
  expect(g.nodes.map((n) => n.name)).toEqual(["first", "second"]);
  g.nodes.reverse();
  expect(decode(writeModel(g)).graph!.node.map((n) => n.name)).toEqual(["first", "second"]);
});

test("the domain ai.onnx is the default one for passes, and keeps its spelling in the file", () => {
  const bytes = addModel(
    { node: [{ name: "a", opType: "Relu", domain: "ai.onnx", input: ["x"], output: ["y"] }] },
    { opsetImport: [{ domain: "ai.onnx", version: 13n }] },
  );
  const g = readModel(bytes);
  expect([g.nodes[0].domain, [...g.opsets]]).toEqual(["", [["", 13]]]);
  g.opsets.set("", 14);
  const after = decode(writeModel(g));
  expect([after.graph!.node[0].domain, after.opsetImport.map((e) => [e.domain, e.version])]).toEqual([
    "ai.onnx",
    [["ai.onnx", 14n]],
  ]);
});

test("a free constant raises IR version 3 to 4, a listed one does not", () => {
  const listed = readModel(
    addModel(
      {
        input: [
          { name: "x", type: vector(3) },
          { name: "w", type: vector(3) },
        ],
      },
      { irVersion: 3n },
    ),
  );
  expect(decode(writeModel(listed)).irVersion).toBe(3n);
  const free = readModel(addModel({}, { irVersion: 3n }));
  expect(decode(writeModel(free)).irVersion).toBe(4n);
});

test("metadata and annotations of a pass are written", () => {
  const g = smallNet();
  g.model.metadata.set("edgefit.budget_ms", "8");
  g.valueTypes.set("conv", { elemType: "float32", dims: ["N", 4, 4, 4] });
  g.valueTypes.set("no such value", { elemType: "float32", dims: [1] });
  const after = decode(writeModel(g));
  expect(after.metadataProps.map((e) => [e.key, e.value])).toEqual([["edgefit.budget_ms", "8"]]);
  expect(after.graph!.valueInfo.map((v) => v.name)).toEqual(["conv"]);
});

test.each([
  ["smallNet", smallNet],
  ["netWithBranches", netWithBranches],
] as const)("%s survives a round trip value by value", (_, build) => {
  const g = build();
  const back = readModel(writeModel(g));
  checkGraph(back);
  expect(plain(back)).toEqual(plain(g));
});

test("random graphs survive a round trip", () => {
  fc.assert(
    fc.property(randomGraph, (g) => {
      const bytes = writeModel(g);
      const back = readModel(bytes);
      expect(plain(back)).toEqual(plain(g));
      expect(Buffer.compare(Buffer.from(writeModel(back)), Buffer.from(bytes))).toBe(0);
    }),
    { numRuns: 100, seed: 11 },
  );
});

describe.skipIf(!hasShared)("third-party models", () => {
  test.each(thirdPartyModels)("%s keeps every field", (file) => {
    const before = readFileSync(sharedPath(file));
    const written = writeModel(readModel(before, { where: file }));
    const [a, b] = [decode(before), decode(written)].map(withRawTensors);
    expect(equals(ModelProtoSchema, b, a, { unknown: true, registry: createRegistry() })).toBe(true);
  });
});

/** Weights in typed fields brought to the raw form that edgefit writes; only the kinds that the models use. */
function withRawTensors(m: ModelProto): ModelProto {
  const raw = (t: TensorProto): void => {
    if (t.floatData.length) t.rawData = new Uint8Array(Float32Array.from(t.floatData).buffer);
    if (t.int64Data.length) t.rawData = new Uint8Array(BigInt64Array.from(t.int64Data).buffer);
    if (t.int32Data.length) throw new Error("a kind that this test does not know");
    t.floatData = [];
    t.int64Data = [];
    if (!Object.hasOwn(t, "rawData")) t.rawData = new Uint8Array(0);
  };
  const visit = (g: GraphProto): void => {
    g.initializer.forEach(raw);
    for (const a of g.node.flatMap((n) => n.attribute)) {
      if (a.t) raw(a.t);
      if (a.g) visit(a.g);
    }
  };
  visit(m.graph!);
  return fromBinary(ModelProtoSchema, toBinary(ModelProtoSchema, create(ModelProtoSchema, m)));
}

/** The graph without what only the writer looks at. */
function plain(value: unknown): unknown {
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [k, plain(v)]));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  const hidden = new Set(["extras", "model"]);
  const isSubgraph = "initializers" in value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([k]) => !hidden.has(k) && !(isSubgraph && k === "opsets"))
      .map(([k, v]) => [k, plain(v)]),
  );
}
