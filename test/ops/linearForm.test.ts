/** The matrix view of a linear operator, against ONNX Runtime's own result of that operator. */
import { expect, test } from "vitest";
import { GraphBuilder } from "../../toolkit/graph/builder.js";
import { type Attribute, attr } from "../../toolkit/graph/graph.js";
import { floats, sizeOf } from "../../toolkit/graph/tensor.js";
import { ruleFor } from "../../toolkit/ops/index.js";
import { runGraph } from "../support/graphs.js";
import { gaussian } from "../support/random.js";

interface Case {
  name: string;
  op: string;
  x: number[];
  w: number[];
  attributes?: Record<string, Attribute>;
  thin?: number;
}

const cases: Case[] = [
  { name: "3x3, padded", op: "Conv", x: [2, 3, 8, 8], w: [4, 3, 3, 3], attributes: { pads: attr.ints([1, 1, 1, 1]) } },
  {
    name: "every third position",
    op: "Conv",
    x: [2, 3, 8, 8],
    w: [4, 3, 3, 3],
    attributes: { pads: attr.ints([1, 1, 1, 1]) },
    thin: 3,
  },
  {
    name: "stride 2, uneven pads, thinned",
    op: "Conv",
    x: [2, 3, 9, 8],
    w: [4, 3, 3, 3],
    attributes: { strides: attr.ints([2, 2]), pads: attr.ints([0, 1, 2, 1]) },
    thin: 2,
  },
  { name: "dilated 3x2", op: "Conv", x: [1, 2, 10, 9], w: [3, 2, 3, 2], attributes: { dilations: attr.ints([2, 3]) } },
  {
    name: "SAME_LOWER",
    op: "Conv",
    x: [1, 2, 7, 7],
    w: [3, 2, 2, 2],
    attributes: { auto_pad: attr.string("SAME_LOWER"), strides: attr.ints([2, 2]) },
  },
  {
    name: "pointwise, stride 2, thinned",
    op: "Conv",
    x: [3, 5, 9, 9],
    w: [4, 5, 1, 1],
    attributes: { strides: attr.ints([2, 2]) },
    thin: 2,
  },
  { name: "one dimension", op: "Conv", x: [2, 3, 12], w: [4, 3, 5], attributes: { pads: attr.ints([2, 2]) }, thin: 2 },
  { name: "Gemm, transposed weight", op: "Gemm", x: [5, 6], w: [3, 6], attributes: { transB: attr.int(1) } },
  { name: "Gemm", op: "Gemm", x: [5, 6], w: [6, 3] },
  { name: "MatMul on tokens", op: "MatMul", x: [2, 4, 6], w: [6, 3] },
  { name: "MatMul on every second token", op: "MatMul", x: [2, 7, 6], w: [6, 3], thin: 2 },
  { name: "MatMul, channels last, thinned", op: "MatMul", x: [2, 7, 5, 6], w: [6, 3], thin: 3 },
];

test.each(cases)(
  "$op, $name: weights times columns are the outputs",
  async ({ op, x, w, attributes = {}, thin = 1 }) => {
    const normal = gaussian(x.length * 100 + w.length);
    const values = (dims: number[]) => floats(Float32Array.from({ length: sizeOf(dims) }, normal), dims);
    const b = new GraphBuilder();
    const weight = values(w);
    const input = b.input("x", x);
    const y = b.emit(op, [input, b.initializer("w", weight)], attributes, { name: "node" });
    const node = b.graph.nodes[0];
    const rule = ruleFor(node, 17)!.linear!;
    expect(rule.applies(node, w)).toBe(true);
    const plain = await runGraph(
      { ...b.graph, outputs: [{ name: y, type: { elemType: "float32" } }] },
      { x: values(x) },
    );
    const yDims = plain[y].dims;
    const columns = rule.unfold(node, b, input, x, w, thin);
    const rows = rule.outputs(node, b, y, yDims, thin);
    for (const ref of [columns, rows]) b.output(ref);
    const out = await runGraph(b.graph, { x: values(x) });
    const matrix = rule.toMatrix(node, weight);
    const [outputs, positions] = out[rows].dims;
    const p = out[columns].dims[0];
    expect(outputs).toBe(w[rule.outputAxis(node)]);
    const perImage = sizeOf(rule.positions(yDims).map((d) => Math.ceil((d - (thin >> 1)) / thin)));
    expect(positions).toBe(perImage * x[0]);
    expect(out[columns].dims).toEqual([matrix.length / outputs, positions]);
    const [X, Y] = [out[columns].data, out[rows].data] as Float32Array[];
    for (let o = 0; o < outputs; o++) {
      for (let n = 0; n < positions; n++) {
        let sum = 0;
        for (let k = 0; k < p; k++) sum += matrix[o * p + k] * X[k * positions + n];
        expect(sum).toBeCloseTo(Y[o * positions + n], 4);
      }
    }
    expect([...(rule.fromMatrix(node, matrix, w).data as Float32Array)]).toEqual([...(weight.data as Float32Array)]);
  },
);

test("a grouped convolution and a scaled Gemm are not of this form", () => {
  const conv = {
    name: "c",
    opType: "Conv",
    domain: "",
    inputs: ["x", "w"],
    outputs: ["y"],
    attributes: { group: attr.int(2) },
  };
  expect(ruleFor(conv, 17)!.linear!.applies(conv, [4, 2, 3, 3])).toBe(false);
  const gemm = { ...conv, opType: "Gemm", attributes: { alpha: attr.float(0.5) } };
  expect(ruleFor(gemm, 17)!.linear!.applies(gemm, [4, 2])).toBe(false);
});
