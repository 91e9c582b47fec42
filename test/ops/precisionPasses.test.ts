import { describe, expect, test } from "vitest";
import type { GraphBuilder, Ref } from "../../toolkit/graph/builder.js";
import { GraphBuilder as Builder, emptyGraph } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import { attr, type Graph, opsetOf } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { foldBatchNorm } from "../../toolkit/ops/foldBatchNorm.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { raiseOpset } from "../../toolkit/ops/raiseOpset.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { images, net, noise, outputOf } from "../quantize/support.js";
import { hasShared, sharedPath } from "../support/shared.js";

const maxDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((m, v, i) => Math.max(m, Math.abs(v - b[i])), 0);

function batchNorm(g: GraphBuilder, x: Ref, channels: number, seed: number): Ref {
  const vector = (k: number, low: number): Ref =>
    g.initializer(`bn${seed}_${k}`, floats((noise([channels], seed + k).data as Float32Array).map((v) => v + low)));
  return g.emit(
    "BatchNormalization",
    [x, vector(0, 1.5), vector(1, 0), vector(2, 0), vector(3, 1.5)],
    { epsilon: attr.float(1e-3) },
    { name: `bn${seed}` },
  );
}

describe("batch norm folding", () => {
  const producers: Record<string, { dims: number[]; channels: number; build: (g: GraphBuilder, x: Ref) => Ref }> = {
    "Conv without bias": {
      dims: [2, 4, 6, 6],
      channels: 6,
      build: (g, x) => g.conv(x, g.initializer("w", noise([6, 4, 3, 3])), ""),
    },
    "Conv with bias": {
      dims: [2, 4, 6, 6],
      channels: 6,
      build: (g, x) => g.conv(x, g.initializer("w", noise([6, 4, 3, 3])), g.initializer("b", noise([6], 2))),
    },
    "depthwise Conv": {
      dims: [2, 4, 6, 6],
      channels: 8,
      build: (g, x) => g.conv(x, g.initializer("w", noise([8, 1, 3, 3])), "", { group: 4 }),
    },
    "grouped ConvTranspose": {
      dims: [2, 4, 5, 5],
      channels: 6,
      build: (g, x) =>
        g.emit("ConvTranspose", [x, g.initializer("w", noise([4, 3, 2, 2]))], {
          group: attr.int(2),
          strides: attr.ints([2, 2]),
        }),
    },
    Gemm: {
      dims: [3, 4],
      channels: 5,
      build: (g, x) => g.emit("Gemm", [x, g.initializer("w", noise([4, 5])), g.initializer("b", noise([5], 2))]),
    },
    "transposed Gemm": {
      dims: [3, 4],
      channels: 5,
      build: (g, x) => g.emit("Gemm", [x, g.initializer("w", noise([5, 4]))], { transB: attr.int(1) }),
    },
  };

  test.each(Object.entries(producers))("into %s changes no output", async (_, { dims, channels, build }) => {
    const g = net(dims, (b, x) => batchNorm(b, build(b, x), channels, 10));
    const folded = foldBatchNorm(g);
    expect(folded.nodes.map((n) => n.opType)).toEqual([g.nodes[0].opType]);
    expect([...folded.initializers.keys()].some((k) => k.startsWith("bn"))).toBe(false);
    const x = images(dims, 5);
    expect(maxDifference(await outputOf(g, x, "disabled"), await outputOf(folded, x, "disabled"))).toBeLessThan(1e-5);
  });

  test("is left undone where the value is read twice or the weight is shared", async () => {
    const twice = net([1, 4, 6, 6], (b, x) => {
      const y = b.conv(x, b.initializer("w", noise([4, 4, 1, 1])), "");
      return b.add(y, batchNorm(b, y, 4, 10));
    });
    expect(foldBatchNorm(twice).nodes.map((n) => n.opType)).toEqual(["Conv", "BatchNormalization", "Add"]);
    const shared = net([1, 4, 6, 6], (b, x) => {
      const w = b.initializer("w", noise([4, 4, 1, 1]));
      return b.conv(batchNorm(b, b.conv(x, w, ""), 4, 10), w, "");
    });
    const folded = foldBatchNorm(shared);
    expect(folded.nodes.map((n) => n.opType)).toEqual(["Conv", "Conv"]);
    expect(folded.initializers.get("w")).toBe(shared.initializers.get("w"));
    const x = images([1, 4, 6, 6]);
    expect(maxDifference(await outputOf(shared, x, "disabled"), await outputOf(folded, x, "disabled"))).toBeLessThan(
      1e-5,
    );
  });
});

describe("raising operator set 9 to 13", () => {
  const old = (dims: readonly (number | string)[], body: (g: Builder, x: Ref) => Ref): Graph => {
    const g = new Builder(emptyGraph("old", 9, 4));
    g.output(body(g, g.input("x", dims)));
    return g.graph;
  };
  const cases: Record<string, (g: Builder, x: Ref) => Ref> = {
    "Softmax over several axes": (g, x) => g.emit("Softmax", [x], { axis: attr.int(1) }),
    "Softmax over the last axis": (g, x) => g.emit("Softmax", [x], { axis: attr.int(3) }),
    "LogSoftmax of one long axis": (g, x) => g.emit("LogSoftmax", [g.emit("GlobalAveragePool", [x])]),
    "Squeeze and Unsqueeze": (g, x) =>
      g.emit("Squeeze", [g.emit("Unsqueeze", [x], { axes: attr.ints([1]) })], { axes: attr.ints([1]) }),
    ReduceSum: (g, x) => g.emit("ReduceSum", [x], { axes: attr.ints([2, 3]), keepdims: attr.int(0) }),
    "ReduceSum of everything": (g, x) => g.emit("ReduceSum", [x]),
    "Split and Slice": (g, x) => {
      const [a, b] = g.emitMany("Split", [x], { axis: attr.int(1), split: attr.ints([1, 3]) }, { outputs: 2 });
      return g.concat(
        [b, g.emit("Slice", [a], { starts: attr.ints([0]), ends: attr.ints([1]), axes: attr.ints([1]) })],
        1,
      );
    },
    "Clip with one limit": (g, x) => g.emit("Clip", [x], { max: attr.float(0.25) }),
    "Clip without limits": (g, x) => g.emit("Clip", [x]),
    "Pad with a value": (g, x) =>
      g.emit("Pad", [x], { pads: attr.ints([0, 0, 1, 0, 0, 0, 0, 2]), value: attr.float(0.5) }),
    "reflecting Pad": (g, x) =>
      g.emit("Pad", [x], { pads: attr.ints([0, 0, 1, 1, 0, 0, 1, 1]), mode: attr.string("reflect") }),
    Dropout: (g, x) => g.emit("Dropout", [x], { ratio: attr.float(0.3) }),
    "nearest Upsample": (g, x) => g.emit("Upsample", [x, g.const([1, 1, 2, 3])], { mode: attr.string("nearest") }),
    "linear Upsample": (g, x) => g.emit("Upsample", [x, g.const([1, 1, 2, 2])], { mode: attr.string("linear") }),
    TopK: (g, x) => g.emitMany("TopK", [x], { k: attr.int(2), axis: attr.int(3) }, { outputs: 2 })[0],
    Scatter: (g, x) =>
      g.emit(
        "Scatter",
        [
          x,
          g.graph.initializers.has("i")
            ? "i"
            : g.initializer("i", { elemType: "int64", dims: [1, 1, 1, 1], data: BigInt64Array.of(2n) }),
          g.const([9], [1, 1, 1, 1]),
        ],
        { axis: attr.int(3) },
      ),
  };

  test.each(Object.entries(cases))("%s keeps its values", async (_, build) => {
    const g = old([2, 4, 5, 6], build);
    const raised = raiseOpset(inferShapes(tidy(g), { unknown: (n) => n.outputs.map(() => ({ elemType: "float32" })) }));
    checkGraph(raised);
    expect(opsetOf(raised)).toBe(13);
    const x = images([2, 4, 5, 6], 3);
    expect(maxDifference(await outputOf(g, x, "disabled"), await outputOf(raised, x, "disabled"))).toBeLessThan(1e-6);
  });

  test("operator set 7 keeps its values: scales and spatial as attributes", async () => {
    const b = new Builder(emptyGraph("old", 7, 4));
    const vector = (k: number, low: number): Ref =>
      b.initializer(`v${k}`, floats((noise([4], k).data as Float32Array).map((v) => v + low)));
    const normalised = b.emit(
      "BatchNormalization",
      [b.input("x", [2, 4, 5, 6]), vector(1, 1), vector(2, 0), vector(3, 0), vector(4, 2)],
      {
        spatial: attr.int(1),
      },
    );
    b.output(b.emit("Upsample", [normalised], { mode: attr.string("nearest"), scales: attr.floats([1, 1, 2, 3]) }));
    const raised = raiseOpset(inferShapes(tidy(b.graph)));
    checkGraph(inferShapes(raised));
    const x = images([2, 4, 5, 6], 3);
    expect(maxDifference(await outputOf(b.graph, x, "disabled"), await outputOf(raised, x, "disabled"))).toBeLessThan(
      1e-6,
    );
  });

  test.each([
    ["grows", [1, 1, 2, 1.7]],
    ["shrinks", [1, 1, 0.6, 0.45]],
    ["grows one way and shrinks the other", [1, 1, 1.7, 0.6]],
  ])("a nearest Resize of operator set 10 that %s keeps its pixels", async (_, scales) => {
    const b = new Builder(emptyGraph("old", 10, 5));
    const x = b.input("x", [2, 4, 5, 6]);
    b.output(b.emit("Resize", [x, b.initializer("scales", floats(scales))], { mode: attr.string("nearest") }));
    const raised = raiseOpset(inferShapes(tidy(b.graph)));
    checkGraph(inferShapes(raised));
    const feed = images([2, 4, 5, 6], 3);
    expect(await outputOf(raised, feed, "disabled")).toEqual(await outputOf(b.graph, feed, "disabled"));
  });

  test("newer graphs are returned as they are, older ones than 7 refused", () => {
    const g = net([1, 2], (b, x) => b.relu(x));
    expect(raiseOpset(g)).toBe(g);
    const ancient = { ...g, opsets: new Map([["", 6]]) };
    expect(() => raiseOpset(ancient)).toThrow(expect.objectContaining({ code: "opset-old" }));
  });

  test.skipIf(!hasShared)("UltraFace (opset 9, weights as graph inputs) keeps its outputs", async () => {
    const g = await readModelFile(sharedPath("models/ultraface/ultraface-RFB-320.onnx"));
    const raised = foldBatchNorm(raiseOpset(inferShapes(tidy(g))));
    expect(raised.nodes.some((n) => n.opType === "BatchNormalization")).toBe(false);
    const x = { input: noise([1, 3, 240, 320], 4) };
    const [a, b] = await Promise.all([g, raised].map((m) => openSession(m, { level: "disabled" })));
    const [expected, actual] = [await a.run(x), await b.run(x)];
    for (const name of ["scores", "boxes"]) {
      expect(maxDifference(expected[name].data as Float32Array, actual[name].data as Float32Array)).toBeLessThan(1e-4);
    }
    await a.dispose();
    await b.dispose();
  });
});
