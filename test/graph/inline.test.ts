import { AttributeProto_AttributeType as AttributeType } from "onnx-buf";
import { expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats, type Tensor } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { maxDifference } from "../support/models.js";
import { addModel, decode, type GraphInit, vector } from "../support/protos.js";

type Plain<T> = T extends readonly (infer E)[] ? Extract<E, { $typeName?: never }>[] : never;
type Functions = Plain<NonNullable<NonNullable<Parameters<typeof addModel>[1]>["functions"]>>;
type Nodes = Plain<NonNullable<GraphInit["node"]>>;

const x = floats([-1, 0.5, 2]);
const run = (m: Graph | Uint8Array, feeds: Record<string, Tensor> = { x }) =>
  withSession(m, { threads: 1, level: "disabled" }, (s) => s.run(feeds));

const call = (opType: string, input: string[], output: string[], attribute: Nodes[number]["attribute"] = []) => ({
  name: `call_${output[0]}`,
  opType,
  domain: "local",
  input,
  output,
  attribute,
});
const float = (name: string, f: number) => ({ name, type: AttributeType.FLOAT, f });
const imports = [
  { domain: "", version: 17n },
  { domain: "local", version: 1n },
];

/** leaky(x; slope = 0.25) = LeakyRelu(x, alpha: slope); twice(a) = leaky(leaky(a; 0.5)) + a */
const functions: Functions = [
  {
    domain: "local",
    name: "leaky",
    input: ["x"],
    output: ["y"],
    attributeProto: [float("slope", 0.25)],
    opsetImport: imports,
    node: [
      {
        name: "r",
        opType: "LeakyRelu",
        input: ["x"],
        output: ["y"],
        attribute: [{ name: "alpha", refAttrName: "slope", type: AttributeType.FLOAT }],
      },
    ],
  },
  {
    domain: "local",
    name: "twice",
    input: ["a"],
    output: ["sum", "inner"],
    attribute: ["first"],
    opsetImport: imports,
    node: [
      {
        ...call("leaky", ["a"], ["h"], [{ name: "slope", refAttrName: "first", type: AttributeType.FLOAT }]),
        name: "",
      },
      { ...call("leaky", ["h"], ["inner"]), name: "" },
      { opType: "Add", input: ["inner", "a"], output: ["sum"] },
    ],
  },
];

function model(node: Nodes, fs: Functions = functions, graph: GraphInit = {}): Uint8Array {
  return addModel({ node, initializer: [], ...graph }, { opsetImport: imports, functions: fs, irVersion: 9n });
}

test("nested functions with attribute references and defaults give what the runtime makes of them", async () => {
  const bytes = model([call("twice", ["x"], ["s", "unused"], [float("first", 0.5)]), call("twice", ["s"], ["", "y"])]);
  const g = tidy(readModel(bytes));
  checkGraph(g);
  expect(g.functions).toBeUndefined();
  expect(g.nodes.map((n) => [n.opType, n.domain])).toEqual([
    ["LeakyRelu", ""],
    ["LeakyRelu", ""],
    ["Add", ""],
    ["LeakyRelu", ""],
    ["LeakyRelu", ""],
  ]);
  expect(g.nodes.map((n) => n.attributes.alpha)).toEqual(
    [0.5, 0.25, undefined, 0.25, 0.25].map((value) => (value === undefined ? undefined : { type: "float", value })),
  );
  expect(g.nodes[0].name).toBe("call_s/leaky/r");
  expect(decode(writeModel(g)).functions).toEqual([]);
  expect(maxDifference(await run(g), await run(bytes))).toBe(0);
  expect(inferShapes(g).outputs[0].type.dims).toEqual([3]);
});

test("functions of a model that no pass looked at are written as they were", () => {
  const bytes = model([call("leaky", ["x"], ["y"])]);
  expect([...writeModel(readModel(bytes))]).toEqual([...bytes]);
});

test("a function inside a branch, with a branch that captures the function's own values, keeps every scope apart", async () => {
  const branch = (name: string, opType: string) => ({
    name,
    // The same inner names in both branches, and as outside.
    node: [{ opType, input: ["h", "x"], output: ["out"] }],
    output: [{ name: "out", type: vector(3) }],
  });
  const choose = {
    domain: "local",
    name: "choose",
    input: ["x", "flag"],
    output: ["y"],
    opsetImport: imports,
    node: [
      { opType: "Neg", input: ["x"], output: ["h"] },
      {
        opType: "If",
        input: ["flag"],
        output: ["y"],
        attribute: [
          { name: "then_branch", type: AttributeType.GRAPH, g: branch("then", "Mul") },
          { name: "else_branch", type: AttributeType.GRAPH, g: branch("else", "Sub") },
        ],
      },
    ],
  };
  const input = [
    { name: "x", type: vector(3) },
    { name: "flag", type: { value: { case: "tensorType" as const, value: { elemType: 9, shape: { dim: [] } } } } },
  ];
  const bytes = model([call("choose", ["x", "flag"], ["h"]), call("choose", ["h", "flag"], ["y"])], [choose], {
    input,
  });
  const g = tidy(readModel(bytes));
  checkGraph(g);
  for (const flag of [0, 1]) {
    const feeds = { x, flag: { elemType: "bool" as const, dims: [], data: Uint8Array.of(flag) } };
    expect(maxDifference(await run(g, feeds), await run(bytes, feeds))).toBe(0);
  }
});

test("nodes of a function that are out of order are put in order", () => {
  const shuffled = functions.map((f) => ({ ...f, node: [...(f.node as Nodes)].reverse() }));
  const g = tidy(readModel(model([call("twice", ["x"], ["y"])], shuffled)));
  checkGraph(g);
  expect(g.nodes.map((n) => n.opType)).toEqual(["LeakyRelu", "LeakyRelu", "Add"]);
});

test("an operator set that only a function needs is imported", () => {
  const f = {
    domain: "local",
    name: "gelu",
    input: ["x"],
    output: ["y"],
    opsetImport: [{ domain: "com.microsoft", version: 1n }],
    node: [{ opType: "Gelu", domain: "com.microsoft", input: ["x"], output: ["y"] }],
  };
  expect([...tidy(readModel(model([call("gelu", ["x"], ["y"])], [f]))).opsets]).toContainEqual(["com.microsoft", 1]);
});

const chain = (n: number, calls: number): Functions =>
  Array.from({ length: n }, (_, i) => ({
    domain: "local",
    name: `f${i}`,
    input: ["x"],
    output: ["v0"],
    opsetImport: imports,
    node: Array.from({ length: calls }, (_, k) =>
      i === n - 1
        ? { opType: "Neg", input: ["x"], output: [`v${k}`] }
        : { opType: `f${i + 1}`, domain: "local", input: ["x"], output: [`v${k}`] },
    ),
  }));

const unsound: [string, Functions, RegExp][] = [
  ["calls itself", [{ ...functions[0], node: [call("leaky", ["x"], ["y"])] }], /"leaky" calls itself/],
  [
    "reads what it does not make",
    [{ ...functions[0], node: [{ opType: "Neg", input: ["z"], output: ["y"] }] }],
    /Neg "y" in "leaky" reads "z", which nothing there makes/,
  ],
  ["does not make its output", [{ ...functions[0], output: ["q"] }], /does not make its output "q"/],
  [
    "makes its input",
    [{ ...functions[0], node: [{ opType: "Neg", input: ["x"], output: ["x"] }] }],
    /cycle|makes its own input "x"/,
  ],
  [
    "has fewer inputs than the call gives",
    [{ ...functions[0], input: [], node: [] }],
    /gives 1 inputs and takes 1 outputs of a local function that has 0 and 1/,
  ],
  ["is there twice", [functions[0], functions[0]], /two local functions "leaky"/],
  ["has no name", [{ ...functions[0], name: "" }], /local function without a name/],
  [
    "grows without end",
    [...chain(40, 2), { ...functions[0], node: [call("f0", ["x"], ["y"])] }],
    /more than 30000 nodes/,
  ],
  [
    "calls without end and does nothing",
    [
      ...chain(40, 2).map((f, i) => (i < 39 ? f : { ...f, output: ["x"], node: [] })),
      { ...functions[0], node: [call("f0", ["x"], ["y"])] },
    ],
    /more than 30000 nodes/,
  ],
  [
    "nests without end",
    [...chain(5000, 1), { ...functions[0], node: [call("f0", ["x"], ["y"])] }],
    /more than 100 deep/,
  ],
];

test.each(unsound)("a function that %s is refused", (_, fs, message) => {
  const read = () => tidy(readModel(model([call("leaky", ["x"], ["y"])], fs)));
  expect(read).toThrow(message);
  expect(read).toThrow(expect.objectContaining({ name: "ModelError" }));
});

/** x -> If(condition) { Identity of captured } else { a constant, a nested If and captured names } -> y */
function branching(condition: (b: GraphBuilder) => string): Graph {
  const yes = new GraphBuilder(emptyGraph("yes"));
  yes.output(yes.identity("h", { out: "same" }), { elemType: "float32", dims: [3] });
  const inner = (name: string, op: string): Graph => {
    const b = new GraphBuilder(emptyGraph(name));
    b.output(b.emit(op, ["local", "h"], {}, { out: "deep" }), { elemType: "float32", dims: [3] });
    return b.graph;
  };
  const no = new GraphBuilder(emptyGraph("no"));
  no.initializer("three", floats([3, 3, 3]));
  no.emit(
    "Constant",
    [],
    { value: { type: "tensor", value: { elemType: "bool", dims: [], data: Uint8Array.of(1) } } },
    { out: "always" },
  );
  no.mul("h", "three", { out: "local" });
  no.output(
    no.emit(
      "If",
      ["always"],
      {
        then_branch: { type: "graph", value: inner("a", "Sub") },
        else_branch: { type: "graph", value: inner("b", "Add") },
      },
      { out: "chosen" },
    ),
    { elemType: "float32", dims: [3] },
  );
  const b = new GraphBuilder();
  b.input("x", [3]);
  b.neg("x", { out: "h" });
  // A name that the branch uses too.
  b.initializer("deep_1", floats([0, 0, 0]));
  const y = b.emit(
    "If",
    [condition(b)],
    { then_branch: { type: "graph", value: yes.graph }, else_branch: { type: "graph", value: no.graph } },
    { out: "z" },
  );
  b.output(b.add(y, b.add("x", "deep_1"), { out: "y" }), { elemType: "float32", dims: [3] });
  return b.graph;
}

const bool = (v: number): Tensor => ({ elemType: "bool", dims: [], data: Uint8Array.of(v) });
const conditions: [string, (v: number) => (b: GraphBuilder) => string][] = [
  ["an initializer", (v) => (b) => b.initializer("flag", bool(v))],
  ["a Constant node", (v) => (b) => b.emit("Constant", [], { value: { type: "tensor", value: bool(v) } })],
  ["computed from a shape", (v) => (b) => b.emit("Equal", [b.emit("Shape", ["x"]), b.ints([v ? 3 : 4])])],
  ["behind Identity and Not", (v) => (b) => b.emit("Not", [b.identity(b.initializer("flag", bool(1 - v)))])],
];

test.each(conditions.flatMap(([name, c]) => [1, 0].map((v) => [name, v, c] as const)))(
  "an If whose condition is %s (%i) gives way to its branch",
  async (_, v, c) => {
    const g = branching(c(v));
    const folded = inferShapes(tidy(g));
    checkGraph(folded);
    expect(folded.nodes.filter((n) => n.opType === "If")).toEqual([]);
    expect(folded.outputs[0].type.dims).toEqual([3]);
    expect(maxDifference(await run(folded), await run(g))).toBe(0);
  },
);

test("an If whose condition is fed stays, and its inner constant branch too", () => {
  const g = branching((b) => b.input("flag", [], "bool"));
  expect(inferShapes(tidy(g)).nodes.map((n) => n.opType)).toContain("If");
  checkGraph(inferShapes(tidy(g)));
});

test("a condition of several booleans is not taken for one", () => {
  const g = branching((b) => b.initializer("flags", { elemType: "bool", dims: [2], data: Uint8Array.of(1, 0) }));
  expect(tidy(g).nodes.map((n) => n.opType)).toContain("If");
});
