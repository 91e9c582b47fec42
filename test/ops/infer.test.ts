import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { isEdgefitError } from "../../toolkit/graph/errors.js";
import { attr, typeOf } from "../../toolkit/graph/graph.js";
import { floats, ints } from "../../toolkit/graph/tensor.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { randomFeeds, relativeError, runGraph } from "../support/graphs.js";

/** The fields of the error that `f` throws. */
function errorOf(f: () => unknown): { code: string; message: string; hint?: string; where?: string } {
  try {
    f();
  } catch (e) {
    if (isEdgefitError(e)) return { code: e.code, message: e.message, hint: e.hint, where: e.where };
    throw e;
  }
  throw new Error("nothing was thrown");
}

/** Conv, then x.view(x.size(0), -1) as exporters write it, then a matrix product. */
function viewNet(input: (string | number)[] = ["N", 3, 4, 4]): GraphBuilder {
  const b = new GraphBuilder();
  const x = b.input("x", input);
  const y = b.conv(x, b.initializer("w", floats(new Float32Array(15).fill(0.1), [5, 3, 1, 1])), "", {}, { out: "c" });
  const batch = b.emit("Gather", [b.emit("Shape", [y]), b.ints(0)], { axis: attr.int(0) });
  const shape = b.concat([b.emit("Unsqueeze", [batch, b.ints([0])]), b.ints([-1])], 0);
  const flat = b.emit("Reshape", [y, shape], {}, { out: "flat" });
  b.output(b.matmul(flat, b.initializer("v", floats(new Float32Array(160).fill(0.1), [80, 2])), { out: "y" }));
  return b;
}

describe("inferShapes", () => {
  test("a dynamic batch stays symbolic through shape arithmetic, which disappears", async () => {
    const g = inferShapes(viewNet().graph);
    checkGraph(g);
    expect(typeOf(g, "flat")?.dims).toEqual(["N", 80]);
    expect(g.outputs[0].type.dims).toEqual(["N", 2]);
    expect(g.nodes.map((n) => n.opType)).toEqual(["Conv", "Reshape", "MatMul"]);
    const feeds = randomFeeds(g, 1, [-1, 1], 3);
    const [a, b] = [await runGraph(g, feeds), await runGraph(viewNet().graph, feeds)];
    expect(relativeError(a.y, b.y)).toBe(0);
  });

  test("a value for the dynamic dimension makes everything static", () => {
    const g = inferShapes(viewNet().graph, { dims: { N: 2 } });
    expect(g.inputs[0].type.dims).toEqual([2, 3, 4, 4]);
    expect(g.outputs[0].type.dims).toEqual([2, 2]);
  });

  test("a dynamic dimension without a name is called after its place", () => {
    const b = viewNet();
    b.graph.inputs[0].type = { elemType: "float32", dims: [null, 3, 4, 4] };
    expect(inferShapes(b.graph).outputs[0].type.dims).toEqual(["x.0", 2]);
    expect(inferShapes(b.graph, { dims: { "x.0": 3 } }).outputs[0].type.dims).toEqual([3, 2]);
  });

  test("an input shape overrides names of dimensions, not numbers", () => {
    expect(inferShapes(viewNet().graph, { inputs: { x: [4, 3, 4, 4] } }).outputs[0].type.dims).toEqual([4, 2]);
    expect(errorOf(() => inferShapes(viewNet().graph, { inputs: { x: [4, 1, 4, 4] } }))).toMatchObject({
      code: "input-shape",
      message: 'input "x" is 3 long on axis 1, the given shape says 1',
    });
    expect(errorOf(() => inferShapes(viewNet().graph, { inputs: { z: [1] } })).hint).toBe("its inputs are: x");
  });

  test("a dynamic dimension that must be a number: the error names the flag", () => {
    const b = new GraphBuilder();
    const n = b.emit("Gather", [b.emit("Shape", [b.input("x", ["rows", 3])]), b.ints(0)], { axis: attr.int(0) });
    b.output(b.emit("Range", [b.ints(0), n, b.ints(1)], {}, { name: "count" }), { elemType: "int64" });
    expect(errorOf(() => inferShapes(b.graph))).toEqual({
      code: "dynamic-dimension",
      message: 'Range "count" needs its start, limit and step, which is dynamic',
      where: 'Range "count"',
      hint: "give the dynamic dimension a value: --dim rows=1",
    });
    expect(inferShapes(b.graph, { dims: { rows: 4 } }).outputs[0].type.dims).toEqual([4]);
  });

  test("a name that is no dynamic dimension is refused, and the right ones are listed", () => {
    expect(errorOf(() => inferShapes(viewNet().graph, { dims: { M: 1 } }))).toMatchObject({
      code: "dimension-name",
      where: "--dim M",
      hint: "its dynamic dimensions are: N",
    });
  });

  test("channels that do not fit: both numbers and the node", () => {
    const e = errorOf(() => inferShapes(viewNet(["N", 4, 4, 4]).graph));
    expect(e.code).toBe("channels-mismatch");
    expect(e.message).toMatch(/^Conv ".*": the weight expects 3 input channels, got 4$/);
  });

  test.each([
    [
      "Add",
      [
        [2, 3],
        [2, 4],
      ],
      {},
      "dimensions 3 and 4 cannot be broadcast together",
    ],
    [
      "MatMul",
      [
        [2, 3],
        [4, 5],
      ],
      {},
      "the left factor has 3 columns, the right one 4 rows",
    ],
    [
      "Concat",
      [
        [2, 3],
        [3, 3],
      ],
      { axis: attr.int(1) },
      "inputs differ on axis 0: 2 and 3",
    ],
    ["Transpose", [[2, 3]], { perm: attr.ints([0, 1]) }, undefined],
    ["Softmax", [[2, 3]], { axis: attr.int(2) }, undefined],
    ["MaxPool", [[1, 2, 3, 3]], { kernel_shape: attr.ints([5, 5]) }, "a window of 5 does not fit into 3"],
    ["DepthToSpace", [[1, 6, 2, 2]], { blocksize: attr.int(2) }, "channel count 6 is not a multiple of 4"],
    ["Flatten", [[2, 3, 4]], {}, undefined],
  ] as const)("%s: sizes that do not fit are named", (op, inputs, attributes, message) => {
    const b = new GraphBuilder();
    b.output(
      b.emit(
        op,
        inputs.map((dims, i) => b.input(`x${i}`, dims)),
        attributes,
      ),
    );
    if (message) expect(errorOf(() => inferShapes(b.graph)).message).toContain(message);
    else expect(inferShapes(b.graph).outputs[0].type.dims).toBeDefined();
  });

  test("a reshape that cannot be", () => {
    const b = new GraphBuilder();
    b.output(b.reshape(b.input("x", [2, 3]), [4, -1], { name: "r" }));
    expect(errorOf(() => inferShapes(b.graph)).message).toBe(
      'Reshape "r": a value of shape [2,3] cannot be reshaped to [4,-1]',
    );
  });

  test("constants are computed; a constant that is a graph output keeps its node", () => {
    const b = new GraphBuilder();
    const x = b.input("x", [2, 3]);
    const scale = b.mul(b.const([1, 2, 3]), b.const(2), { out: "scale" });
    b.output(b.mul(x, scale, { out: "y" }));
    b.output(b.emit("Neg", [b.initializer("k", ints([5]))], {}, { out: "minus" }), { elemType: "int64" });
    const g = inferShapes(b.graph);
    expect(g.nodes.map((n) => n.opType)).toEqual(["Mul", "Neg"]);
    expect(g.initializers.get("scale")).toEqual(floats([2, 4, 6]));
    expect(b.graph.nodes.length).toBe(3);
  });

  test("stale types of the file are replaced", () => {
    const b = viewNet(["N", 3, 4, 4]);
    b.graph.valueTypes.set("c", { elemType: "float32", dims: [9, 9, 9, 9] });
    b.graph.outputs[0].type = { elemType: "float32", dims: [7, 7] };
    const g = inferShapes(b.graph);
    expect(typeOf(g, "c")?.dims).toEqual(["N", 5, 4, 4]);
    expect(g.outputs[0].type.dims).toEqual(["N", 2]);
  });
});

test("costs: multiply-accumulates by the textbook, parameters once", () => {
  const b = new GraphBuilder();
  const x = b.input("x", ["N", 3, 8, 8]);
  const w = b.initializer("w", floats(new Float32Array(16 * 3 * 9), [16, 3, 3, 3]));
  const d = b.initializer("d", floats(new Float32Array(16 * 9), [16, 1, 3, 3]));
  const p = { pads: [1, 1, 1, 1] };
  const y = b.conv(
    b.conv(b.conv(x, w, "", p, { name: "full" }), d, "", { ...p, group: 16 }, { name: "deep" }),
    d,
    "",
    { ...p, group: 16 },
    { name: "again" },
  );
  b.output(y);
  const costs = costsOf(inferShapes(b.graph));
  expect(costs.nodes.map((n) => [n.node.name, n.macs, n.params])).toEqual([
    ["full", 64 * 16 * 27, 16 * 27],
    ["deep", 64 * 16 * 9, 16 * 9],
    ["again", 64 * 16 * 9, 0],
  ]);
  expect(costs.macs).toBe(64 * 16 * 45);
  expect(costs.params).toBe(16 * 36);
});
