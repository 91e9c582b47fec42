import { describe, expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, cloneGraph, type Graph, withAttributes } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { netWithBranches, smallNet } from "../support/models.js";

/** smallNet after a change to a clone. */
function changed(change: (g: Graph) => void): Graph {
  const g = cloneGraph(smallNet());
  change(g);
  return g;
}

describe("sound graphs pass", () => {
  test.each([smallNet(), netWithBranches()])("$name", (g) => expect(() => checkGraph(g)).not.toThrow());
});

const illegal: [string, Graph, string, RegExp][] = [
  ["a node that reads ahead", changed((g) => g.nodes.reverse()), "order", /reads "\S+", which a later node makes/],
  [
    "a read of nothing",
    changed((g) => (g.nodes[1] = { ...g.nodes[1], inputs: ["nothing"] })),
    "unknown-value",
    /Relu .* reads "nothing"/,
  ],
  [
    "an output of nothing",
    changed((g) => g.outputs.push({ name: "nothing", type: { elemType: "float32" } })),
    "unknown-value",
    /graph output "nothing"/,
  ],
  [
    "a value made twice",
    changed((g) => (g.nodes[1] = { ...g.nodes[1], outputs: ["conv"] })),
    "duplicate-value",
    /makes value "conv", which exists already/,
  ],
  [
    "a node that makes a constant's value",
    changed((g) => (g.nodes[0] = { ...g.nodes[0], outputs: ["fc.weight"] })),
    "duplicate-value",
    /"fc.weight"/,
  ],
  [
    "two nodes of a name",
    changed((g) => (g.nodes[1] = { ...g.nodes[1], name: g.nodes[0].name })),
    "node-name",
    /two nodes are named/,
  ],
  ["a node without a name", changed((g) => (g.nodes[1] = { ...g.nodes[1], name: "" })), "node-name", /has no name/],
  [
    "a node without an operator",
    changed((g) => (g.nodes[1] = { ...g.nodes[1], opType: "" })),
    "malformed",
    /which operator/,
  ],
  [
    "an input without a name",
    changed((g) => g.inputs.push({ name: "", type: { elemType: "float32" } })),
    "malformed",
    /input has no name/,
  ],
  [
    "an output without a name",
    changed((g) => g.outputs.push({ name: "", type: { elemType: "float32" } })),
    "malformed",
    /output has no name/,
  ],
  [
    "dims that do not fit the data",
    changed((g) => g.initializers.set("conv.bias", { ...floats([1, 2, 3]), dims: [4] })),
    "tensor-data",
    /constant "conv.bias" has dims \[4\] and 3 elements/,
  ],
  [
    "a fractional dim",
    changed((g) => g.initializers.set("conv.bias", { ...floats([1]), dims: [1.5] })),
    "tensor-data",
    /dims \[1.5\]/,
  ],
  [
    "data of another type",
    changed((g) => g.initializers.set("conv.bias", { elemType: "int64", dims: [4], data: new Float32Array(4) })),
    "tensor-data",
    /int64/,
  ],
  [
    "a broken tensor attribute",
    changed(
      (g) =>
        (g.nodes[0] = withAttributes(g.nodes[0], {
          t: attr.tensor({ elemType: "int8", dims: [2], data: new Int8Array(1) }),
        })),
    ),
    "tensor-data",
    /attribute "t" of Conv/,
  ],
];

test.each(illegal)("%s is named", (_, g, code, message) => {
  expect(() => checkGraph(g)).toThrow(message);
  expect(() => checkGraph(g)).toThrow(expect.objectContaining({ code }));
});

test("names are not asked for in files as they come", () => {
  const g = changed((c) => {
    c.nodes[0] = { ...c.nodes[0], name: "" };
    c.nodes[1] = { ...c.nodes[1], name: "" };
  });
  expect(() => checkGraph(g, { names: "any" })).not.toThrow();
});

test("a branch that reads nothing is named, and so is one that is broken inside", () => {
  const g = netWithBranches();
  const withBranch = (change: (sub: Graph) => void): Graph => {
    const node = g.nodes[1];
    const branch = node.attributes.then_branch;
    if (branch.type !== "graph") throw new Error("expected a graph");
    const sub = cloneGraph(branch.value);
    change(sub);
    return { ...g, nodes: [g.nodes[0], withAttributes(node, { then_branch: { type: "graph", value: sub } })] };
  };
  expect(() => checkGraph(withBranch((s) => (s.nodes[0] = { ...s.nodes[0], inputs: ["x", "gone"] })))).toThrow(
    /reads "gone"/,
  );
  expect(() => checkGraph(withBranch((s) => (s.nodes[0] = { ...s.nodes[0], opType: "" })))).toThrow(/which operator/);
  expect(() => checkGraph(withBranch((s) => (s.nodes[0] = { ...s.nodes[0], name: "" })))).not.toThrow();
});
