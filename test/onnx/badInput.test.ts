import fc from "fast-check";
import { AttributeProto_AttributeType as AttributeType } from "onnx-buf";
import { expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { isEdgefitError } from "../../toolkit/graph/errors.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { netWithBranches, smallNet } from "../support/models.js";
import { addModel, type GraphInit, vector } from "../support/protos.js";

const ascii = (s: string) => Uint8Array.from(s, (c) => c.charCodeAt(0));
const relu = (name: string, from: string, to: string) => ({ name, opType: "Relu", input: [from], output: [to] });
const withGraph = (g: GraphInit) => addModel(g);

const noModels: [string, Uint8Array, RegExp][] = [
  ["an empty file", new Uint8Array(0), /empty \(0 bytes\)/],
  ["text", ascii("import torch\nprint('hello')\n"), /text file/],
  ["JSON", ascii('{"model": 1}'), /text file/],
  ["PNG", ascii("\x89PNG\r\n\x1a\n0000"), /PNG image/],
  ["JPEG", new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0, 16]), /JPEG image/],
  ["TensorFlow Lite", ascii("\x1c\0\0\0TFL3\0\0"), /TensorFlow Lite/],
  ["ORT format", ascii("\x1c\0\0\0ORTM\0\0"), /ORT format/],
  ["PyTorch zip", ascii("PK\x03\x04\0\0"), /ZIP archive/],
  ["gzip", new Uint8Array([0x1f, 0x8b, 8, 0]), /gzip/],
  ["HDF5", ascii("\x89HDF\r\n\x1a\n"), /HDF5/],
  [
    "a Git LFS pointer",
    ascii("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"),
    /Git LFS pointer/,
  ],
  ["zero bytes", new Uint8Array(100), /not an ONNX model/],
  ["a length of 4 GiB", new Uint8Array([0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]), /not an ONNX model/],
  ["no graph", addModelWithoutGraph(), /holds no graph/],
  ["an empty graph", withGraph({ node: [], input: [], output: [], initializer: [] }), /graph is empty/],
  ["no ir_version", addModel({}, { irVersion: 0n }), /ir_version is 0/],
  ["an absurd ir_version", addModel({}, { irVersion: 12345n }), /ir_version is 12345/],
  ["no operator set", addModel({}, { opsetImport: [] }), /opset_import is missing/],
  ["an absurd operator set", addModel({}, { opsetImport: [{ version: 2n ** 40n }] }), /operator set 1099511627776/],
  [
    "two operator sets of one domain",
    addModel({}, { opsetImport: [{ version: 9n }, { domain: "ai.onnx", version: 13n }] }),
    /operator sets 9 and 13/,
  ],
  [
    "a cycle",
    withGraph({ node: [relu("a", "q", "p"), relu("b", "p", "q"), relu("c", "q", "y")] }),
    /cycle: Relu "[ab]" -> Relu "[ab]" -> Relu "[ab]"$/,
  ],
  ["a node that feeds itself", withGraph({ node: [relu("self", "y", "y")] }), /cycle: Relu "self" -> Relu "self"/],
  [
    "a read of nothing",
    withGraph({ node: [relu("a", "nothing", "y")] }),
    /Relu "a" reads "nothing", which no node, input or constant makes/,
  ],
  [
    "an output of nothing",
    withGraph({ output: [{ name: "nothing", type: vector(3) }] }),
    /graph output "nothing" is made by no node/,
  ],
  [
    "two makers of a value",
    withGraph({ node: [relu("a", "x", "y"), relu("b", "x", "y")] }),
    /"y" is made twice, by Relu "a" and by Relu "b"/,
  ],
  [
    "a node that makes an input",
    withGraph({ node: [relu("a", "w", "x"), relu("b", "x", "y")] }),
    /Relu "a" makes value "x", which exists already/,
  ],
  [
    "two constants of a name",
    withGraph({
      initializer: [
        { name: "w", dataType: 1, floatData: [1] },
        { name: "w", dataType: 1, floatData: [1] },
      ],
    }),
    /two constants named "w"/,
  ],
  [
    "a constant without a name",
    withGraph({ initializer: [{ dataType: 1, floatData: [1] }] }),
    /constant without a name/,
  ],
  [
    "two inputs of a name",
    withGraph({
      input: [
        { name: "x", type: vector(3) },
        { name: "x", type: vector(3) },
      ],
    }),
    /two graph inputs are named "x"/,
  ],
  [
    "a node without an operator",
    withGraph({ node: [{ name: "n", input: ["x"], output: ["y"] }] }),
    /node "n" does not say which operator/,
  ],
  [
    "two attributes of a name",
    withGraph({
      node: [
        {
          ...relu("a", "x", "y"),
          attribute: [
            { name: "k", f: 1 },
            { name: "k", f: 2 },
          ],
        },
      ],
    }),
    /two attributes named "k"/,
  ],
  [
    "a tensor attribute without tensor",
    withGraph({ node: [{ ...relu("a", "x", "y"), attribute: [{ name: "k", type: AttributeType.TENSOR }] }] }),
    /should hold a tensor/,
  ],
  [
    "external data from memory",
    withGraph({
      initializer: [
        { name: "w", dims: [3n], dataType: 1, dataLocation: 1, externalData: [{ key: "location", value: "w.bin" }] },
      ],
    }),
    /stored in the file "w.bin"/,
  ],
  ["nesting without end", nested(400), /recursion depth/],
];

test.each(noModels)("%s: one clear sentence", (_, bytes, message) => {
  const error = errorOf(() => readModel(bytes, { where: "some/model.onnx" }));
  expect(error.message).toMatch(message);
  expect(error.message).not.toMatch(/\n/);
  expect(error).toMatchObject({ name: "ModelError", exit: 1, where: "some/model.onnx" });
});

test("a file cut anywhere is refused, and the byte counts are named where a length shows the cut", () => {
  const whole = writeModel(smallNet());
  let named = 0;
  for (let length = 1; length < whole.length; length += 7) {
    const error = errorOf(() => readModel(whole.subarray(0, length)));
    if (/should be \d+ bytes long, but only \d+ of the file's \d+ bytes are left/.test(error.message)) named++;
  }
  expect(named).toBeGreaterThan(whole.length / 7 / 2);
});

test("millions of empty nodes, or of numbers, in a few megabytes are refused before they are decoded", () => {
  const varint = (n: number) => [0, 1, 2, 3].map((i) => ((n >>> (7 * i)) & 127) | (i < 3 ? 128 : 0));
  /** A model whose graph is `head` and then `length` bytes that repeat `pattern`. */
  const bloated = (head: number[], pattern: number[], length: number): Uint8Array => {
    const start = [0x08, 8, 0x42, 2, 0x10, 13, 0x3a, ...varint(head.length + length), ...head];
    const bytes = new Uint8Array(start.length + length);
    bytes.set(start);
    if (pattern.some((b) => b !== 0))
      for (let i = 0; i < length; i++) bytes[start.length + i] = pattern[i % pattern.length];
    return bytes;
  };
  const tooMany = /hold more fields than edgefit reads/;
  expect(() => readModel(bloated([], [0x0a, 0], 6_000_000))).toThrow(tooMany);
  // One initializer (field 5) with packed int64_data (field 7), or with dims (field 1), of one byte each.
  const packed = 40_000_000;
  for (const field of [0x3a, 0x0a])
    expect(() => readModel(bloated([0x2a, ...varint(packed + 5), field, ...varint(packed)], [0], packed))).toThrow(
      tooMany,
    );
});

test("a chain of 30,000 nodes needs no deep call stack", () => {
  const node = Array.from({ length: 30_000 }, (_, i) =>
    relu(`n${i}`, i === 0 ? "x" : `v${i}`, i === 29_999 ? "y" : `v${i + 1}`),
  ).reverse();
  const g = readModel(addModel({ node }));
  expect([g.nodes.length, g.nodes[0].name]).toEqual([30_000, "n0"]);
});

const seeds: [string, Uint8Array][] = [
  ["a small net", writeModel(smallNet())],
  ["a net with branches", writeModel(netWithBranches())],
  ["typed data", addModel({ initializer: [{ name: "w", dims: [3n], dataType: 1, floatData: [1, 2, 3] }] })],
];

test.each(seeds)("bytes of %s changed at random give a sound graph or a ModelError", (_, seed) => {
  const edit = fc.record({
    at: fc.nat(seed.length - 1),
    kind: fc.constantFrom("set", "flip", "delete", "insert", "copy"),
    byte: fc.nat(255),
    length: fc.integer({ min: 1, max: 12 }),
  });
  let read = 0;
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      const bytes = mutate(seed, edits);
      const g = graphOrModelError(() => readModel(bytes));
      if (!g) return;
      read++;
      checkGraph(g, { names: "any" });
      checkGraph(tidy(g));
      // A sound graph can be written, and what was written can be read.
      checkGraph(readModel(writeModel(g)), { names: "any" });
    }),
    { numRuns: 400, seed: 5 },
  );
  expect(read).toBeGreaterThan(20);
});

test("random bytes are never a model", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 0, maxLength: 200 }),
      (bytes) => graphOrModelError(() => readModel(bytes)) === undefined,
    ),
    { numRuns: 300, seed: 5 },
  );
});

function mutate(seed: Uint8Array, edits: { at: number; kind: string; byte: number; length: number }[]): Uint8Array {
  const bytes = [...seed];
  for (const e of edits) {
    const at = e.at % bytes.length;
    if (e.kind === "set") bytes[at] = e.byte;
    else if (e.kind === "flip") bytes[at] ^= 1 << (e.byte & 7);
    else if (e.kind === "delete") bytes.splice(at, Math.min(e.length, bytes.length - 1));
    else if (e.kind === "insert") bytes.splice(at, 0, ...Array(e.length).fill(e.byte));
    else bytes.splice(e.byte % bytes.length, 0, ...bytes.slice(at, at + e.length));
  }
  return Uint8Array.from(bytes);
}

function graphOrModelError(read: () => Graph): Graph | undefined {
  try {
    return read();
  } catch (e) {
    if (isEdgefitError(e) && e.name === "ModelError") return undefined;
    throw e;
  }
}

function errorOf(run: () => unknown): Error {
  try {
    run();
  } catch (e) {
    return e as Error;
  }
  throw new Error("nothing was thrown");
}

function addModelWithoutGraph(): Uint8Array {
  return new Uint8Array([0x08, 8, 0x42, 2, 0x10, 13]); // ir_version 8, opset_import { version 13 }
}

/** A graph attribute in a graph attribute in … */
function nested(depth: number): Uint8Array {
  const field = (no: number, payload: number[]): number[] => {
    const length: number[] = [];
    for (let n = payload.length; ; n >>>= 7) {
      length.push(n > 127 ? (n & 127) | 128 : n);
      if (n <= 127) break;
    }
    return [(no << 3) | 2, ...length, ...payload];
  };
  let graph: number[] = [];
  for (let i = 0; i < depth; i++) graph = field(1, field(5, field(6, graph))); // node { attribute { g { … } } }
  return Uint8Array.from([0x08, 8, ...field(7, graph), 0x42, 2, 0x10, 13]);
}
