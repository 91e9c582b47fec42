import { expect, test } from "vitest";
import { attr } from "../../toolkit/graph/graph.js";
import { unshareVectors } from "../../toolkit/graph/unshare.js";
import { randomFeeds, runGraph } from "../support/graphs.js";
import { Layers } from "../support/layers.js";

test("layers that share a vector get one each, of the same values", async () => {
  const n = new Layers();
  const shared = n.parameter("shared", [4]);
  const norm = (x: string) =>
    n.b.emit("BatchNormalization", [x, shared, shared, n.parameter("m", [4]), n.parameter("v", [4], 1, 2)]);
  const g = n.done(n.conv("last", norm(norm(n.conv("a", n.b.input("x", [1, 3, 2, 2]), 3, 4))), 4, 2));
  const out = unshareVectors(g);
  const read = out.nodes.filter((e) => e.opType === "BatchNormalization").map((e) => e.inputs.slice(1, 3));
  expect(read[0]).toEqual(["shared", "shared"]);
  expect(new Set(read.flat()).size).toBe(2);
  const feeds = randomFeeds(g, 1);
  expect(await runGraph(out, feeds)).toEqual(await runGraph(g, feeds));
});

test("one layer applied twice keeps its one bias; matrices and shapes stay shared", () => {
  const n = new Layers();
  const [w, bias] = [n.parameter("w", [4, 3, 1, 1]), n.parameter("bias", [4])];
  const shape = n.b.ints([1, 4, 4]);
  const apply = (x: string) => n.b.emit("Reshape", [n.b.conv(n.b.input(x, [1, 3, 2, 2]), w, bias), shape]);
  const g = n.done(apply("x"), apply("y"), n.b.emit("Concat", [bias, bias], { axis: attr.int(0) }));
  const out = unshareVectors(g);
  const convs = out.nodes.filter((e) => e.opType === "Conv");
  expect(convs[0].inputs.slice(1)).toEqual(convs[1].inputs.slice(1));
  expect(out.initializers.size).toBe(g.initializers.size + 1);
  expect(out.nodes.find((e) => e.opType === "Concat")?.inputs[0]).not.toBe("bias");
});

test("a graph in which no vector is shared stays the same object", () => {
  const n = new Layers();
  const g = n.done(n.conv("a", n.b.input("x", [1, 3, 2, 2]), 3, 4));
  expect(unshareVectors(g)).toBe(g);
});
