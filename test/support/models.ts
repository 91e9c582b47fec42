/** Small models that several tests build on, and the random graphs of property tests. */
import fc from "fast-check";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { attr, type Graph } from "../../toolkit/graph/graph.js";
import { floats, type Tensor } from "../../toolkit/graph/tensor.js";

/** Conv, Relu, Gemm-like tail on a [N, 3, 8, 8] input: weights, shape constants, attributes of several kinds. */
export function smallNet(): Graph {
  const b = new GraphBuilder();
  const x = b.input("image", ["N", 3, 8, 8]);
  const wave = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.7) / 3);
  const w = b.initializer("conv.weight", floats(wave(4 * 3 * 3 * 3), [4, 3, 3, 3]));
  const bias = b.initializer("conv.bias", floats([0.1, -0.2, 0.3, 0]));
  const c = b.relu(b.conv(x, w, bias, { pads: [1, 1, 1, 1], strides: [2, 2] }, { out: "conv" }));
  const flat = b.reshape(c, [0, -1]);
  const fc1 = b.initializer("fc.weight", floats(wave(64 * 5), [64, 5]));
  b.output(b.emit("Softmax", [b.matmul(flat, fc1)], { axis: attr.int(-1) }, { out: "prob" }), {
    elemType: "float32",
    dims: ["N", 5],
  });
  return b.graph;
}

/** x -> If(flag) { x * captured } else { x + captured } -> y, where `captured` comes through an Identity of a constant. */
export function netWithBranches(): Graph {
  const branch = (name: string, op: string): Graph => {
    const g = emptyGraph(name);
    const b = new GraphBuilder(g);
    b.output(b.emit(op, ["x", "captured"], {}, { out: `${name}_out` }), { elemType: "float32" });
    return g;
  };
  const b = new GraphBuilder();
  b.input("x", [3]);
  b.input("flag", [], "bool");
  b.initializer("scale", floats([2, 3, 4]));
  b.identity("scale", { out: "captured" });
  const y = b.emit(
    "If",
    ["flag"],
    {
      then_branch: { type: "graph", value: branch("yes", "Mul") },
      else_branch: { type: "graph", value: branch("no", "Add") },
    },
    { out: "y" },
  );
  b.output(y, { elemType: "float32", dims: [3] });
  return b.graph;
}

const unary = ["Relu", "Neg", "Tanh", "Identity", "Sigmoid"] as const;
const binary = ["Add", "Sub", "Mul", "Max"] as const;

/**
 * Random graphs on vectors of 4: element-wise nodes that read any earlier value, some constants as Constant nodes, some
 * listed as inputs too, some nodes without a name, any of the values as outputs, so that parts are usually dead.
 */
export const randomGraph: fc.Arbitrary<Graph> = fc
  .record({
    constants: fc.array(
      fc.record({
        values: fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 4, maxLength: 4 }),
        as: fc.constantFrom("initializer", "node", "input"),
      }),
      { maxLength: 4 },
    ),
    nodes: fc.array(
      fc.record({ op: fc.constantFrom(...unary, ...binary), a: fc.nat(), b: fc.nat(), named: fc.boolean() }),
      { minLength: 1, maxLength: 12 },
    ),
    outputs: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
  })
  .map(({ constants, nodes, outputs }) => {
    const b = new GraphBuilder();
    const values = [b.input("x", [4]), b.input("z", [4])];
    constants.forEach((c, i) => {
      const value = floats(c.values);
      if (c.as === "node") values.push(b.emit("Constant", [], { value: attr.tensor(value) }));
      else values.push(b.initializer(`c${i}`, value));
      if (c.as === "input") b.graph.inputs.push({ name: `c${i}`, type: { elemType: "float32", dims: [4] } });
    });
    const made = nodes.map((n) => {
      const inputs = (binary as readonly string[]).includes(n.op) ? [n.a, n.b] : [n.a];
      const out = b.emit(
        n.op,
        inputs.map((i) => values[i % values.length]),
      );
      if (!n.named) b.graph.nodes.push({ ...b.graph.nodes.pop()!, name: "" });
      values.push(out);
      return out;
    });
    for (const out of new Set(outputs.map((i) => made[i % made.length])))
      b.output(out, { elemType: "float32", dims: [4] });
    return b.graph;
  });

/** Inputs for `randomGraph`. */
export const randomGraphFeeds: Record<string, Tensor> = { x: floats([-1, 0.5, 2, -0.25]), z: floats([0.75, -2, 1, 3]) };

/** A deterministic, uneven float32 tensor. */
export function waves(dims: readonly number[], scale = 1): Tensor {
  const n = dims.reduce((a, d) => a * d, 1);
  return floats(
    Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.37) * scale),
    dims,
  );
}

/** Greatest absolute difference between two results, which must have the same names and lengths. */
export function maxDifference(a: Record<string, Tensor>, b: Record<string, Tensor>): number {
  if (Object.keys(a).sort().join() !== Object.keys(b).sort().join()) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (const [name, t] of Object.entries(a)) {
    const other = b[name];
    if (other.data.length !== t.data.length) return Number.POSITIVE_INFINITY;
    for (let i = 0; i < t.data.length; i++) {
      const d = Math.abs(Number(t.data[i]) - Number(other.data[i]));
      if (!(d <= worst)) worst = d;
    }
  }
  return worst;
}
