import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AttributeProto_AttributeType as AttributeType } from "onnx-buf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { isEdgefitError } from "../../toolkit/graph/errors.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { ints, type Tensor } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { makeCase, prepareFolder, runCase } from "../support/fuzzCase.js";
import { randomKeep } from "../support/graphs.js";
import { waves } from "../support/models.js";
import { addModel, type GraphInit } from "../support/protos.js";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "edgefit-damaged-"));
  prepareFolder(root);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

test("1,500 damaged files are accepted or refused with a sentence; what was accepted can be written and read", () => {
  const outcomes = { accepted: 0, refused: 0, unhandled: 0 };
  const unhandled: string[] = [];
  for (let index = 0; index < 1500; index++) {
    const result = runCase(makeCase(77, index), join(root, "model"));
    outcomes[result.outcome]++;
    if (result.outcome === "unhandled") unhandled.push(`${index}: ${result.detail}`);
  }
  expect(unhandled).toEqual([]);
  expect(Math.min(outcomes.accepted, outcomes.refused)).toBeGreaterThan(150);
});

/** All of edgefit that looks at a file without running it. */
function lookAt(bytes: Uint8Array): Graph {
  const g = inferShapes(tidy(readModel(bytes)));
  const groups = findGroups(g);
  return sliceGraph(g, groups, randomKeep(groups, 1));
}

/** What is said about a model: a refusal's sentence, or the reasons why channels are frozen. */
function verdict(bytes: Uint8Array): string {
  try {
    const g = inferShapes(tidy(readModel(bytes)));
    const groups = findGroups(g);
    sliceGraph(g, groups, randomKeep(groups, 1));
    return groups.groups.map((e) => e.frozen ?? "").join("; ");
  } catch (e) {
    if (!isEdgefitError(e)) throw e;
    expect(e.name).toBe("ModelError");
    return e.message;
  }
}

const huge = 2 ** 40;

/** image -> Conv -> `rest` -> y */
function afterConv(dims: readonly number[], rest: (b: GraphBuilder, x: string) => string, opset = 17): Uint8Array {
  const b = new GraphBuilder(emptyGraph("hostile", opset));
  const x = b.input("x", dims);
  b.output(rest(b, b.conv(x, b.initializer("w", waves([6, 3, 1, 1])), "")), { elemType: "float32" });
  return writeModel(b.graph);
}

const large: [string, Uint8Array, RegExp][] = [
  [
    "an image of 2^40 rows, sliced",
    afterConv([1, 3, huge, 4], (b, x) => b.emit("Slice", [x, b.ints([1]), b.ints([9]), b.ints([2])])),
    /^$/,
  ],
  ["an image of 2^40 rows, transposed", afterConv([1, 3, huge, 4], (b, x) => b.transpose(x, [0, 2, 3, 1])), /^$/],
  [
    "a map of 2^40 elements, reshaped",
    afterConv([1, 3, 2 ** 20, 2 ** 20], (b, x) => b.reshape(x, [1, 6, -1])),
    /axis longer than|more elements/,
  ],
  [
    "2^40 rows of padding",
    afterConv([1, 3, 4, 4], (b, x) => b.emit("Pad", [x, b.ints([0, huge, 0, 0, 0, 0, 0, 0])])),
    /axis longer than/,
  ],
  ["2^40 copies", afterConv([1, 3, 4, 4], (b, x) => b.emit("Tile", [x, b.ints([1, huge, 1, 1])])), /axis longer than/],
  [
    "a broadcast to 2^40",
    afterConv([1, 3, 4, 4], (b, x) => b.emit("Expand", [x, b.ints([huge, 6, 4, 4])])),
    /axis longer than|^$/,
  ],
  [
    "channels that multiply past 2^53",
    afterConv([1, 3, 4, 4], (b, x) => b.emit("Tile", [x, b.ints([1, 2 ** 52, 1, 1])])),
    /shape-mismatch|would be|axis longer than/,
  ],
  [
    "more than 4 million channels",
    afterConv([1, 3, 4, 4], (b, x) => {
      const wide = () => b.emit("Pad", [x, b.ints([0, 2_000_000, 0, 0, 0, 0, 0, 0])]);
      return b.emit("Sum", [wide(), wide(), wide()]);
    }),
    /more than 4194304 channels/,
  ],
  [
    "a range of 2^40",
    afterConv([1, 3, 4, 4], (b, x) =>
      b.add(x, b.emit("Cast", [b.emit("Range", [b.ints(0), b.ints(huge), b.ints(1)])], { to: attr.int(1) })),
    ),
    /./,
  ],
  [
    "a fill of 2^40 zeros",
    afterConv([1, 3, 4, 4], (b, x) => b.add(x, b.emit("ConstantOfShape", [b.ints([1, 6, 4, huge])]))),
    /./,
  ],
  [
    "an axis of length zero beside one of 2^40",
    afterConv([1, 3, 4, 4], (b, x) =>
      b.concat(
        [
          x,
          b.emit("Slice", [
            b.emit("ConstantOfShape", [b.ints([0, huge, 1, 1])]),
            b.ints([0]),
            b.ints([6]),
            b.ints([1]),
          ]),
        ],
        0,
      ),
    ),
    /^$|axis/,
  ],
];

test.each(large)("%s: no list of that length is made", (_, bytes, message) => {
  expect(verdict(bytes)).toMatch(message);
});

test("constants that are made one after the other stop being computed before they fill the memory", () => {
  const b = new GraphBuilder();
  let y = b.input("x", [1]);
  for (let i = 0; i < 300; i++)
    y = b.add(
      y,
      b.emit("ReduceMax", [b.emit("ConstantOfShape", [b.ints([4_000_000 + i])])], { keepdims: attr.int(0) }),
    );
  b.output(y, { elemType: "float32" });
  const before = process.memoryUsage().arrayBuffers;
  const g = inferShapes(tidy(readModel(writeModel(b.graph))));
  expect(g.nodes.length).toBeGreaterThan(300);
  let bytes = 0;
  for (const t of g.initializers.values()) bytes += (t.data as Float32Array).byteLength;
  expect(bytes).toBeLessThan(150e6);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(600e6);
});

test("a subgraph in a subgraph, 10,000 deep, is refused", () => {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
  const heads: number[][] = [];
  let length = 0;
  for (let i = 0; i < 30_000; i++) {
    const head = [([6, 5, 1][i % 3] << 3) | 2, ...varint(length)];
    heads.push(head);
    length += head.length;
  }
  const output = [0x62, 3, 0x0a, 1, 0x79]; // one output named y
  const graph = [...heads.reverse().flat(), ...output];
  const bytes = Uint8Array.from([0x08, 8, 0x42, 2, 0x10, 13, 0x3a, ...varint(graph.length), ...graph]);
  expect(() => readModel(bytes)).toThrow(
    expect.objectContaining({ name: "ModelError", message: expect.stringMatching(/depth|too deep/) }),
  );
});

test("a constant whose dims are names of Object's own methods, and inputs named so, are ordinary names", () => {
  const b = new GraphBuilder();
  const x = b.input("constructor", ["toString", 3, 4, 4]);
  b.output(b.conv(x, b.initializer("__proto__", waves([6, 3, 1, 1])), "", {}, { name: "hasOwnProperty" }), {
    elemType: "float32",
  });
  const g = lookAt(writeModel(b.graph));
  expect(g.inputs[0].type.dims).toEqual(["toString", 3, 4, 4]);
  expect(g.initializers.get("__proto__")?.dims).toEqual([6, 3, 1, 1]);
});

test("an attribute named __proto__ is carried and does no harm", () => {
  const node = [
    {
      name: "a",
      opType: "Relu",
      input: ["x"],
      output: ["y"],
      attribute: [{ name: "__proto__", type: AttributeType.INTS, ints: [1n] }],
    },
  ];
  const bytes = addModel({ node } as GraphInit);
  expect([...writeModel(readModel(bytes))]).toEqual([...bytes]);
  expect(Object.keys(tidy(readModel(bytes)).nodes[0].attributes)).toEqual(["__proto__"]);
});

test("a weight that is taken for a shape does not make a value of 40,000 axes", () => {
  const bytes = afterConv([1, 3, 4, 4], (b, x) => b.emit("Reshape", [x, b.initializer("w2", waves([100, 400]))]));
  expect(verdict(bytes)).toMatch(/40000 axes; 64 is the most|rank|shape/);
});

test("a model without outputs is refused", () => {
  expect(() => readModel(addModel({ output: [] }))).toThrow(/no outputs/);
});

test("tensors of different types cannot be joined while folding", () => {
  const other: Tensor = { elemType: "float32", dims: [1], data: new Float32Array(1) };
  const bytes = afterConv([1, 3, 4, 4], (b, x) =>
    b.emit("Reshape", [
      x,
      b.emit("Concat", [b.initializer("i", ints([1])), b.initializer("f", other)], { axis: attr.int(0) }),
    ]),
  );
  expect(() => lookAt(bytes)).toThrow(/int64 as input 0 and a float32 as input 1/);
});

test.each([2 ** 31, 5, 0, -1])(
  "channels that do not make %s equal groups are refused, not tied one by one",
  (groups) => {
    const bytes = afterConv(
      [1, 3, 4, 4],
      (b, x) =>
        b.emit(
          "DeformConv",
          [x, b.initializer("w2", waves([4, 6, 1, 1])), b.initializer("o", waves([1, 2, 4, 4]))],
          {
            offset_group: attr.int(groups),
          },
          {},
        ),
      19,
    );
    expect(() => lookAt(bytes)).toThrow(/do not make -?\d+ equal groups/);
  },
);

test("two bytes that ask for a message each are added up before they are read, texts before them or not", () => {
  const nodes = 2_000_000;
  const graph = new Uint8Array(2 * nodes);
  for (let i = 0; i < graph.length; i += 2) graph[i] = 0x0a; // a node of no bytes
  const length = [0, 7, 14, 21].map((shift) => ((graph.length >> shift) & 127) | (shift < 21 ? 128 : 0));
  const head = [0x08, 8, 0x12, 4, ...Buffer.from("name"), 0x42, 2, 0x10, 13, 0x3a, ...length];
  const before = process.memoryUsage().heapUsed;
  expect(() => readModel(Uint8Array.from([...head, ...graph]))).toThrow(expect.objectContaining({ code: "too-large" }));
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(300e6);
});

test("as many scales as neither one nor the channels are refused by the shapes", () => {
  const bytes = afterConv([1, 3, 4, 4], (b, x) =>
    b.emit("QuantizeLinear", [
      x,
      b.initializer("s", waves([4])),
      b.initializer("z", { elemType: "uint8", dims: [4], data: new Uint8Array(4) }),
    ]),
  );
  expect(() => lookAt(bytes)).toThrow(expect.objectContaining({ code: "channels-mismatch" }));
});
