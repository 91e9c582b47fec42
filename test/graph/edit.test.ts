import fc from "fast-check";
import { expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import {
  insertAfter,
  insertBefore,
  namer,
  redirect,
  removeDead,
  replaceNode,
  replaceUses,
  uniqueName,
} from "../../toolkit/graph/edit.js";
import type { Graph, OpNode } from "../../toolkit/graph/graph.js";
import { capturedBy } from "../../toolkit/graph/scope.js";
import { floats, type Tensor } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { maxDifference, netWithBranches, randomGraph, randomGraphFeeds } from "../support/models.js";

const op = (name: string, inputs: string[], outputs: string[], opType = "Relu"): OpNode => ({
  name,
  opType,
  domain: "",
  inputs,
  outputs,
  attributes: {},
});
const names = (g: Graph) => g.nodes.map((n) => n.name);

/** ONNX Runtime's values, with the graph taken as it is written. */
const valuesOf = (g: Graph, feeds: Record<string, Tensor>) =>
  withSession(g, { threads: 1, level: "disabled" }, (s) =>
    s.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => s.inputs.some((v) => v.name === name)))),
  );

/** x -> a -> y, with a dead tail, a dead constant that is listed as input, and annotations. */
function withDeadParts(): Graph {
  const g = emptyGraph("g");
  const b = new GraphBuilder(g);
  b.input("x", [2]);
  b.input("unused", [2]);
  b.initializer("dead_weight", floats([1, 2]));
  g.inputs.push({ name: "dead_weight", type: { elemType: "float32", dims: [2] } });
  g.nodes.push(op("a", ["x"], ["y"]), op("d1", ["y"], ["d"]), op("d2", ["d", "dead_weight"], ["e"], "Add"));
  for (const v of ["y", "d", "e"]) g.valueTypes.set(v, { elemType: "float32", dims: [2] });
  b.output("y");
  return g;
}

test("dead nodes, constants, their inputs and their types go; real inputs stay", () => {
  const before = withDeadParts();
  const g = removeDead(before);
  expect(names(g)).toEqual(["a"]);
  expect([...g.initializers.keys()]).toEqual([]);
  expect(g.inputs.map((v) => v.name)).toEqual(["x", "unused"]);
  expect([...g.valueTypes.keys()]).toEqual(["y"]);
  expect([before.nodes.length, before.inputs.length, before.initializers.size]).toEqual([3, 3, 1]);
});

test("what only a branch reads stays", () => {
  const g = removeDead(netWithBranches());
  expect(g.nodes.map((n) => n.opType)).toEqual(["Identity", "If"]);
  expect([...g.initializers.keys()]).toEqual(["scale"]);
});

test("replaceUses reaches into branches and leaves graph outputs alone", async () => {
  const before = netWithBranches();
  const g = replaceUses(before, "captured", "scale");
  checkGraph(g);
  expect(removeDead(g).nodes.map((n) => n.opType)).toEqual(["If"]);
  const branch = before.nodes[1].attributes.then_branch;
  expect(branch.type === "graph" && [...capturedBy(branch.value)].sort()).toEqual(["captured", "x"]);
  const feeds = { x: floats([1, 2, 3]), flag: { elemType: "bool", dims: [], data: Uint8Array.of(1) } as Tensor };
  expect((await valuesOf(removeDead(g), feeds)).y.data).toEqual(Float32Array.of(2, 6, 12));
  expect(replaceUses(before, "y", "x").outputs[0].name).toBe("y");
});

test("a name that a branch defines itself hides the outer one", () => {
  const inner = emptyGraph("inner");
  inner.nodes.push(op("i1", ["x"], ["h"]), op("i2", ["h"], ["o"]));
  inner.outputs.push({ name: "o", type: { elemType: "float32" } });
  const g = emptyGraph("outer");
  g.nodes.push({ ...op("if", ["h"], ["y"], "If"), attributes: { then_branch: { type: "graph", value: inner } } });
  const out = replaceUses(g, "h", "k");
  expect(out.nodes[0].inputs).toEqual(["k"]);
  expect(out.nodes[0].attributes.then_branch).toEqual({ type: "graph", value: inner });
  expect(() => replaceUses(g, "x", "h")).toThrow(/has a value "h" of its own/);
});

test("redirect follows chains and refuses circles", () => {
  const g = emptyGraph("g");
  g.nodes.push(op("n", ["a", "b", "c"], ["y"], "Sum"));
  expect(
    redirect(
      g,
      new Map([
        ["a", "b"],
        ["b", "z"],
      ]),
    ).nodes[0].inputs,
  ).toEqual(["z", "z", "c"]);
  expect(() =>
    redirect(
      g,
      new Map([
        ["a", "b"],
        ["b", "a"],
      ]),
    ),
  ).toThrow(/replaced by itself/);
});

test("names avoid values, nodes, outputs and what is inside branches", () => {
  const g = netWithBranches();
  expect(uniqueName(g, "fresh")).toBe("fresh");
  expect(uniqueName(g, "yes_out")).toBe("yes_out_1");
  const next = namer(g);
  expect([next("y"), next("y"), next("new"), next("new"), next("")]).toEqual(["y_1", "y_2", "new", "new_1", "_1"]);
});

test("nodes are inserted and replaced in place", () => {
  const g = emptyGraph("g");
  const [a, b] = [op("a", ["x"], ["h"]), op("b", ["h"], ["y"])];
  g.nodes.push(a, b);
  expect(names(insertBefore(g, b, [op("n", ["h"], ["k"])]))).toEqual(["a", "n", "b"]);
  expect(names(insertAfter(g, b, [op("n", ["y"], ["k"])]))).toEqual(["a", "b", "n"]);
  expect(names(replaceNode(g, a, []))).toEqual(["b"]);
  expect(names(g)).toEqual(["a", "b"]);
  expect(() => insertAfter(g, op("other", [], []), [])).toThrow(/Relu "other" is not a node of the graph/);
});

test("removeDead and tidy keep the outputs of random graphs, and never touch their argument", async () => {
  await fc.assert(
    fc.asyncProperty(randomGraph, async (g) => {
      const before = JSON.stringify([g.nodes, g.inputs, g.outputs, [...g.initializers.keys()]]);
      const [dead, tidied] = [removeDead(g), tidy(g)];
      checkGraph(dead, { names: "any" });
      checkGraph(tidied);
      expect(JSON.stringify([g.nodes, g.inputs, g.outputs, [...g.initializers.keys()]])).toBe(before);
      // Every node that is left has a path to an output.
      expect(removeDead(tidied).nodes).toEqual(tidied.nodes);
      expect(tidy(tidied)).toEqual(tidied);
      const expected = await valuesOf(g, randomGraphFeeds);
      expect(maxDifference(expected, await valuesOf(dead, randomGraphFeeds))).toBe(0);
      expect(maxDifference(expected, await valuesOf(tidied, randomGraphFeeds))).toBe(0);
    }),
    { numRuns: 60, seed: 7 },
  );
});
