import { expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { type Attribute, attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, ints, scalar, type Tensor } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { netWithBranches, smallNet } from "../support/models.js";

const constantForms: [string, Attribute, Tensor][] = [
  ["value", attr.tensor(floats([1, 2], [1, 2])), floats([1, 2], [1, 2])],
  ["value_float", attr.float(0.5), scalar(0.5)],
  ["value_floats", attr.floats([0.5, 1]), floats([0.5, 1])],
  ["value_int", attr.int(3), ints([3], [])],
  ["value_ints", attr.ints([3, -1]), ints([3, -1])],
  ["value_string", attr.string("a"), { elemType: "string", dims: [], data: ["a"] }],
  ["value_strings", { type: "strings", value: ["a", "b"] }, { elemType: "string", dims: [2], data: ["a", "b"] }],
];

test.each(constantForms)("Constant in its form %s becomes an initializer", (form, a, expected) => {
  const b = new GraphBuilder();
  const c = b.emit("Constant", [], { [form]: a }, { out: "c" });
  b.output(b.identity(b.emit("Shape", [c]), { out: "y" }), { elemType: "int64" });
  const g = tidy(b.graph);
  expect(g.initializers.get("c")).toEqual(expected);
  expect(g.nodes.map((n) => n.opType)).toEqual(["Shape", "Identity"]);
});

test("a Constant that is sparse, and one that is an output, stay nodes", () => {
  const b = new GraphBuilder();
  b.output(b.emit("Constant", [], { value_float: attr.float(1) }, { out: "c" }));
  b.output(b.relu(b.emit("Constant", [], { sparse_value: { type: "opaque", value: {} } }), { out: "y" }));
  expect(tidy(b.graph).nodes.map((n) => n.opType)).toEqual(["Constant", "Constant", "Relu"]);
});

test("constants leave the list of inputs; what must be fed stays", () => {
  const g = smallNet();
  for (const [name, t] of g.initializers) g.inputs.push({ name, type: { elemType: t.elemType, dims: t.dims } });
  expect(tidy(g).inputs.map((v) => v.name)).toEqual(["image"]);
});

test("a chain of Identity nodes on a constant is folded, on another value it stays", () => {
  const b = new GraphBuilder();
  const x = b.input("x", [2]);
  const w = b.identity(b.identity(b.initializer("w", floats([1, 2]))));
  b.output(b.add(b.identity(x), w, { out: "y" }));
  const g = tidy(b.graph);
  expect(g.nodes.map((n) => n.opType)).toEqual(["Identity", "Add"]);
  expect(g.nodes[1].inputs[1]).toBe("w");
});

test("an Identity of a constant that is a graph output keeps its name", () => {
  const b = new GraphBuilder();
  const out = b.identity(b.initializer("w", floats([1, 2])), { out: "y" });
  b.output(out);
  const g = tidy(b.graph);
  checkGraph(g);
  expect(g.nodes.map((n) => n.opType)).toEqual(["Identity"]);
});

test("unnamed and equally named nodes get names; the others keep theirs", () => {
  const g: Graph = emptyGraph("g");
  const node = (name: string, from: string, to: string) => ({
    name,
    opType: "Relu",
    domain: "",
    inputs: [from],
    outputs: [to],
    attributes: {},
  });
  g.inputs.push({ name: "x", type: { elemType: "float32" } });
  g.nodes.push(
    node("", "x", "a"),
    node("same", "a", "b"),
    node("same", "b", "c"),
    node("", "c", "d"),
    node("same_1", "d", "y"),
  );
  g.outputs.push({ name: "y", type: { elemType: "float32" } });
  expect(tidy(g).nodes.map((n) => n.name)).toEqual(["a/Relu", "same", "same_2", "d/Relu", "same_1"]);
});

test.each([1, 0])("branches keep what they capture (flag %i)", async (flag) => {
  const g = tidy(netWithBranches());
  checkGraph(g);
  expect(g.nodes.map((n) => n.opType)).toEqual(["If"]);
  const { y } = await withSession(g, { threads: 1 }, (s) =>
    s.run({ x: floats([1, 2, 3]), flag: { elemType: "bool", dims: [], data: Uint8Array.of(flag) } }),
  );
  expect(y.data).toEqual(flag ? Float32Array.of(2, 6, 12) : Float32Array.of(3, 5, 7));
});
