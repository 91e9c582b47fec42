/** Multiply-accumulates of operators, against the same work written in operators whose count is plain. */
import { expect, test } from "vitest";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { attr } from "../../toolkit/graph/graph.js";
import { floats, fromNumbers, scalar, sizeOf } from "../../toolkit/graph/tensor.js";
import { costsOf } from "../../toolkit/ops/costs.js";
import { inferShapes } from "../../toolkit/ops/infer.js";

function macsOf(build: (b: GraphBuilder) => Ref, opset = 23): number {
  const b = new GraphBuilder(emptyGraph("net", opset));
  b.output(build(b));
  return costsOf(inferShapes(b.graph)).macs;
}

const weight = (b: GraphBuilder, dims: readonly number[]): Ref =>
  b.initializer("w", floats(new Float32Array(sizeOf(dims)), dims));

test("Einsum counts as the matrix product that it writes", () => {
  const product = macsOf((b) => b.matmul(b.input("a", [2, 3, 4]), b.input("b", [2, 4, 5])));
  const equation = { equation: attr.string("bij,bjk->bik") };
  expect(macsOf((b) => b.emit("Einsum", [b.input("a", [2, 3, 4]), b.input("b", [2, 4, 5])], equation))).toBe(product);
});

test("Attention counts as its two matrix products, with heads apart or packed", () => {
  const products =
    macsOf((b) => b.matmul(b.input("q", [2, 3, 4, 8]), b.input("k", [2, 3, 8, 6]))) +
    macsOf((b) => b.matmul(b.input("p", [2, 3, 4, 6]), b.input("v", [2, 3, 6, 5])));
  const apart = [
    [2, 3, 4, 8],
    [2, 3, 6, 8],
    [2, 3, 6, 5],
  ];
  const packed = [
    [2, 4, 24],
    [2, 6, 24],
    [2, 6, 15],
  ];
  const heads = { q_num_heads: attr.int(3), kv_num_heads: attr.int(3) };
  expect(
    macsOf((b) =>
      b.emit(
        "Attention",
        apart.map((d) => b.input("x", d)),
      ),
    ),
  ).toBe(products);
  expect(
    macsOf((b) =>
      b.emit(
        "Attention",
        packed.map((d) => b.input("x", d)),
        heads,
      ),
    ),
  ).toBe(products);
});

test("a quantised convolution counts as the one in float", () => {
  const float = macsOf((b) => b.conv(b.input("x", [1, 4, 7, 7]), weight(b, [6, 4, 3, 3]), ""));
  const integer = macsOf((b) => {
    const [scale, zero] = [b.initializer("scale", scalar(1)), b.initializer("zero", fromNumbers("uint8", [0], []))];
    const w = b.initializer("w", fromNumbers("uint8", new Uint8Array(6 * 4 * 9), [6, 4, 3, 3]));
    return b.emit("QLinearConv", [b.input("x", [1, 4, 7, 7], "uint8"), scale, zero, w, scale, zero, scale, zero]);
  });
  expect(integer).toBe(float);
});

test("a recurrent layer counts the products of every step", () => {
  const step =
    macsOf((b) => b.matmul(b.input("x", [2, 3]), weight(b, [3, 20]))) +
    macsOf((b) => b.matmul(b.input("h", [2, 5]), weight(b, [5, 20])));
  const found = macsOf((b) =>
    b.emit("LSTM", [b.input("x", [4, 2, 3]), weight(b, [1, 20, 3]), weight(b, [1, 20, 5])], {
      hidden_size: attr.int(5),
    }),
  );
  expect(found).toBe(4 * step);
});
