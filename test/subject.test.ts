import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../toolkit/graph/builder.js";
import { attr, opsetOf, typeOf } from "../toolkit/graph/graph.js";
import { floats } from "../toolkit/graph/tensor.js";
import { writeModelFile } from "../toolkit/onnx/index.js";
import { findGroups } from "../toolkit/prune/groups.js";
import { readGraph } from "../toolkit/subject.js";

const place = (): string => join(mkdtempSync(join(tmpdir(), "edgefit-")), "model.onnx");

test("a weight that only the runtime can compute is a weight all the same", async () => {
  const b = new GraphBuilder();
  const w = b.initializer("w", floats(new Float32Array(4 * 3).map(Math.sin), [4, 3]));
  const hidden = b.emit("Einsum", [w], { equation: attr.string("ij->ji") });
  const next = b.initializer("v", floats(new Float32Array(4 * 2).fill(1), [4, 2]));
  b.output(b.matmul(b.relu(b.matmul(b.input("x", [1, 3]), hidden)), next, { out: "y" }));
  const path = place();
  await writeModelFile(path, b.graph);
  const g = await readGraph(path);
  expect(g.nodes.map((n) => n.opType)).toEqual(["MatMul", "Relu", "MatMul"]);
  expect(findGroups(g).prunable.map((e) => e.width)).toEqual([4]);
});

test("a model of an old operator set takes values for its dynamic dimensions", async () => {
  const b = new GraphBuilder(emptyGraph("old", 11));
  b.output(b.emit("Unsqueeze", [b.input("x", ["N", "length"])], { axes: attr.ints([1]) }, { out: "y" }));
  const path = place();
  await writeModelFile(path, b.graph);
  const g = await readGraph(path, { length: 7 });
  expect(opsetOf(g)).toBe(13);
  expect(typeOf(g, "y")?.dims).toEqual(["N", 1, 7]);
});
