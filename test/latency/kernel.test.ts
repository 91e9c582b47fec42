import { describe, expect, it } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { evaluateDim, kernelsOf } from "../../toolkit/latency/index.js";
import { readModelFile } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { hasShared, sharedPath } from "../support/shared.js";
import { residualNet } from "./fakeDevice.js";

const kernels = (g: Graph) => {
  const groups = findGroups(g);
  return kernelsOf(g, (v) => groups.symbolicDims(v));
};

describe("kernelsOf", () => {
  it("groups what runtimes fuse, in execution order, every node once", () => {
    const g = residualNet();
    const found = kernels(g);
    expect(found.map((k) => k.ops.join("+"))).toEqual([
      "Conv+Relu",
      "Conv+Relu",
      "Conv+Add+Relu",
      "Conv+Relu",
      "Conv+Add+Relu",
      "GlobalAveragePool",
      "Flatten",
      "Gemm",
    ]);
    expect(found.flatMap((k) => k.nodes).toSorted()).toEqual(g.nodes.map((n) => n.name).toSorted());
    expect(found[2].inputs).toEqual(["b0.relu1", "stem.relu"]);
    expect(found[2].output).toBe("b0.relu2");
  });

  it("gives equal keys to equal code and puts the widths apart", () => {
    const [stem, first, second, third] = kernels(residualNet());
    expect(first.key).toBe(third.key);
    expect(first.key).not.toBe(second.key);
    expect(stem.key).toContain("[1,3,16,16]>[1,a,16,16]");
    expect(first.widths.map((w) => w.terms)).toEqual([
      [{ group: "stem", multiplicity: 1 }],
      [{ group: "b0.conv1", multiplicity: 1 }],
    ]);
    expect(
      first.widths.map((w) =>
        evaluateDim(
          w,
          new Map([
            ["stem", 12],
            ["b0.conv1", 20],
          ]),
        ),
      ),
    ).toEqual([12, 20]);
    const dims = (v: string) => (v === "stem.relu" ? [1, 12, 16, 16] : [1, 20, 16, 16]);
    expect(first.signature(dims)).toEqual({ key: first.key, widths: [12, 20] });
  });

  it("does not fuse across a value that others read or that the model returns", () => {
    const g = new GraphBuilder(emptyGraph("fork"));
    const w = g.initializer("w", floats(new Float32Array(8 * 3 * 9), [8, 3, 3, 3]));
    const y = g.conv(g.input("x", [1, 3, 8, 8]), w, "", {}, { out: "y", name: "conv" });
    g.output(g.relu(y, { out: "a" }));
    g.output(g.emit("Neg", [y], {}, { out: "b" }));
    expect(kernels(inferShapes(tidy(g.graph))).map((k) => k.ops)).toEqual([["Conv"], ["Relu"], ["Neg"]]);
  });

  it("looks through Identity, which runtimes remove", () => {
    const make = (through: boolean) => {
      const g = new GraphBuilder(emptyGraph("identity"));
      const x = g.input("x", [1, 8, 8, 8]);
      const w = g.initializer("w", floats(new Float32Array(8 * 8 * 9), [8, 8, 3, 3]));
      let y = g.conv(x, w, "", { pads: [1, 1, 1, 1] }, { name: "conv" });
      if (through) y = g.identity(y);
      g.output(g.relu(g.add(y, x)));
      return kernels(inferShapes(tidy(g.graph)));
    };
    expect(make(true)).toHaveLength(1);
    expect(make(true)[0].key).toBe(make(false)[0].key);
  });

  it("gives an Add of two convolutions to the first one", () => {
    const g = new GraphBuilder(emptyGraph("branches"));
    const x = g.input("x", [1, 4, 8, 8]);
    const branch = (name: string) =>
      g.conv(
        x,
        g.initializer(`${name}.w`, floats(new Float32Array(16), [4, 4, 1, 1])),
        "",
        {},
        { out: `${name}.y`, name },
      );
    const [a, b] = [branch("a"), branch("b")];
    g.output(g.relu(g.add(a, b, { out: "sum" }), { out: "z" }));
    expect(kernels(inferShapes(tidy(g.graph))).map((k) => [k.id, k.ops.length])).toEqual([
      ["b", 1],
      ["a", 3],
    ]);
  });

  it("tells strides, groups and kernel shapes apart", () => {
    const key = (strides: number[], group: number, k: number) => {
      const g = new GraphBuilder(emptyGraph("one"));
      const w = g.initializer("w", floats(new Float32Array((8 * 8 * k * k) / group), [8, 8 / group, k, k]));
      g.output(
        g.emit("Conv", [g.input("x", [1, 8, 8, 8]), w], { strides: attr.ints(strides), group: attr.int(group) }),
      );
      return kernels(inferShapes(tidy(g.graph)))[0].key;
    };
    const keys = [key([1, 1], 1, 3), key([2, 2], 1, 3), key([1, 1], 8, 3), key([1, 1], 1, 1)];
    expect(new Set(keys).size).toBe(4);
    expect(keys[0]).toContain("k3,3");
  });

  describe.skipIf(!hasShared)("on third-party models", () => {
    it.each([
      ["resnet20-cifar10", 14],
      ["resnet56-cifar10", 14],
    ])("%s: repeated blocks share keys", async (name, keys) => {
      const g = inferShapes(tidy(await readModelFile(sharedPath(`models/resnet-cifar10/${name}.onnx`))));
      const found = kernels(g);
      expect(found.flatMap((k) => k.nodes)).toHaveLength(g.nodes.length);
      expect(new Set(found.map((k) => k.key)).size).toBe(keys);
      expect(found.filter((k) => k.ops.join("+") === "Conv+BatchNormalization+Add+Relu")).toHaveLength(
        found.filter((k) => k.ops.includes("Add")).length,
      );
    });
  });
});
