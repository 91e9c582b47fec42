import { describe, expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, fromNumbers, ints, scalar, type Tensor, toNumberArray } from "../../toolkit/graph/tensor.js";
import { foldConstants } from "../../toolkit/ops/fold.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { evaluateGraph } from "../../toolkit/runtime/evaluate.js";
import { relativeError, runGraph } from "../support/graphs.js";

/** x + f(w), where `f` is emitted on a constant. */
function netWith(f: (b: GraphBuilder, w: string) => string, w: Tensor = floats([1, 2, 3, 4], [2, 2])): Graph {
  const b = new GraphBuilder(emptyGraph("net", 17));
  const made = f(b, b.initializer("w", w));
  b.output(b.add(b.input("x", [2, 2]), made, { out: "y" }));
  return inferShapes(b.graph);
}

const folded = (g: Graph): Promise<Graph> => foldConstants(g, evaluateGraph);
const ops = (g: Graph): string[] => g.nodes.map((n) => n.opType);

describe("constants", () => {
  test("what only the runtime can compute becomes an initializer, and the net gives the same", async () => {
    const g = netWith((b, w) => b.emit("Softmax", [b.emit("Einsum", [w, w], { equation: attr.string("ij,jk->ik") })]));
    expect(ops(g)).toEqual(["Einsum", "Softmax", "Add"]);
    const h = await folded(g);
    checkGraph(h);
    expect(ops(h)).toEqual(["Add"]);
    expect(h.initializers.has("w")).toBe(false);
    const feeds = { x: floats([5, 6, 7, 8], [2, 2]) };
    const [a, b] = [await runGraph(g, feeds), await runGraph(h, feeds)];
    expect(relativeError(b.y, a.y)).toBeLessThan(1e-6);
  });

  test("the runtime is not asked for what a rule computes", async () => {
    const g = netWith((b, w) => b.emit("Softmax", [b.emit("Shrink", [w])]));
    const asked: string[] = [];
    await foldConstants(g, async (h) => {
      asked.push(...ops(h));
      return evaluateGraph(h);
    });
    expect(asked).toEqual(["Softmax"]);
  });

  test("random numbers and unpacked weights stay nodes", async () => {
    expect(ops(await folded(netWith((b, w) => b.emit("RandomNormalLike", [w]))))).toContain("RandomNormalLike");
    const packed = fromNumbers("int8", [1, 2, 3, 4], [2, 2]);
    const g = netWith((b, w) => b.emit("DequantizeLinear", [w, b.initializer("scale", scalar(0.5))]), packed);
    expect(ops(await folded(g))).toContain("DequantizeLinear");
  });

  test("what the runtime refuses stays a node", async () => {
    const g = netWith((b, w) => b.emit("Softmax", [w]));
    expect(ops(await foldConstants(g, async () => undefined))).toEqual(["Softmax", "Add"]);
  });

  test("a constant that would fill the memory is not made", async () => {
    const b = new GraphBuilder(emptyGraph("net", 17));
    const huge = b.emit("ConstantOfShape", [b.initializer("shape", ints([1 << 20, 1 << 20]))]);
    b.output(b.emit("ReduceSum", [b.emit("Mul", [huge, b.input("x", [])])], {}, { out: "y" }));
    expect(ops(await folded(inferShapes(b.graph)))).toContain("ConstantOfShape");
  });

  test("an output of the net keeps its node", async () => {
    const b = new GraphBuilder(emptyGraph("net", 17));
    b.output(b.emit("Softmax", [b.initializer("w", floats([1, 2]))], {}, { out: "y" }));
    const h = await folded(inferShapes(b.graph));
    expect(ops(h)).toEqual(["Softmax"]);
    expect(toNumberArray((await runGraph(h, {})).y).reduce((s, v) => s + v)).toBeCloseTo(1);
  });
});
