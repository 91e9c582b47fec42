import fc from "fast-check";
import { expect, test } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { OpNode } from "../../toolkit/graph/graph.js";
import { sortTopologically, topologicalOrder } from "../../toolkit/graph/order.js";
import { readsOf } from "../../toolkit/graph/scope.js";
import { netWithBranches, randomGraph } from "../support/models.js";

const node = (name: string, inputs: string[], outputs: string[]): OpNode => ({
  name,
  opType: "Op",
  domain: "",
  inputs,
  outputs,
  attributes: {},
});

/** A permutation of 0..n-1 drawn by fast-check through sort keys. */
const shuffled = (nodes: readonly OpNode[], keys: readonly number[]): OpNode[] =>
  nodes
    .map((n, i) => ({ n, key: keys[i % keys.length] * 31 + ((i * 17) % 13) }))
    .sort((a, b) => a.key - b.key)
    .map((e) => e.n);

test("any shuffle of a graph comes back in a valid order with the same nodes", () => {
  fc.assert(
    fc.property(randomGraph, fc.array(fc.nat(1000), { minLength: 1, maxLength: 20 }), (g, keys) => {
      const sorted = topologicalOrder({ nodes: shuffled(g.nodes, keys) });
      expect(new Set(sorted)).toEqual(new Set(g.nodes));
      expect(sorted.length).toBe(g.nodes.length);
      checkGraph({ ...g, nodes: sorted }, { names: "any" });
    }),
    { numRuns: 200, seed: 3 },
  );
});

test("an order that is valid already is kept exactly", () => {
  fc.assert(
    fc.property(randomGraph, (g) => {
      expect(topologicalOrder(g)).toEqual(g.nodes);
      expect(sortTopologically(g)).toBe(g.nodes);
    }),
    { numRuns: 100, seed: 3 },
  );
});

test("what a branch captures counts as read", () => {
  const g = netWithBranches();
  expect(readsOf(g.nodes[1])).toEqual(expect.arrayContaining(["flag", "x", "captured"]));
  expect(topologicalOrder({ nodes: [...g.nodes].reverse() })).toEqual(g.nodes);
});

test("the nodes of a cycle are named in the order in which values flow", () => {
  const nodes = [
    node("in", ["x"], ["a"]),
    node("one", ["a", "c"], ["b"]),
    node("two", ["b"], ["c"]),
    node("out", ["c"], ["y"]),
  ];
  expect(() => topologicalOrder({ nodes })).toThrow(
    /^the graph has a cycle: Op "(one" -> Op "two" -> Op "one|two" -> Op "one" -> Op "two)"$/,
  );
});

test("a long cycle is shortened", () => {
  const nodes = Array.from({ length: 50 }, (_, i) => node(`n${i}`, [`v${i}`], [`v${(i + 1) % 50}`]));
  expect(() => topologicalOrder({ nodes })).toThrow(/… \(50 nodes\)/);
});

test("two makers of one value are named", () => {
  expect(() => topologicalOrder({ nodes: [node("a", [], ["v"]), node("b", [], ["v"])] })).toThrow(
    /"v" is made twice, by Op "a" and by Op "b"/,
  );
});
