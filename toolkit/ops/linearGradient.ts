/** Gradients of matrix products and of the softmax family. */
import type { Ref } from "../graph/builder.js";
import { attr, attrFloat, attrInt } from "../graph/graph.js";
import { broadcastDims, matmulTransposed, positiveAxis, scale, unbroadcast } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";

/** MatMul with stacks of matrices that broadcast; vectors are read as one-row or one-column matrices. */
export const matmulGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null];
  const { g } = c;
  const [a, b] = n.inputs;
  const dimsA = c.dims(a);
  const dimsB = c.dims(b);
  const wideA = dimsA.length === 1 ? [1, dimsA[0]] : dimsA;
  const wideB = dimsB.length === 1 ? [dimsB[0], 1] : dimsB;
  const [m, k] = wideA.slice(-2);
  const columns = wideB[wideB.length - 1];
  const as = (x: Ref, from: readonly number[], to: readonly number[]): Ref =>
    from.length === to.length ? x : g.reshape(x, to);

  if (wideB.length === 2 && wideA.length > 2) {
    // One matrix on the right for a whole stack: the stack is one tall matrix.
    const rows = wideA.slice(0, -1).reduce((p, d) => p * d, 1);
    const flat = g.reshape(dy, [rows, columns]);
    return [
      c.needs(0) ? g.reshape(matmulTransposed(g, flat, as(b, dimsB, wideB), 2, false, true), dimsA) : null,
      c.needs(1) ? g.reshape(matmulTransposed(g, g.reshape(a, [rows, k]), flat, 2, true, false), dimsB) : null,
    ];
  }
  const stack = broadcastDims(wideA.slice(0, -2), wideB.slice(0, -2));
  const out = [...stack, m, columns];
  const grad = g.reshape(dy, out);
  const full = (x: Ref, dims: readonly number[], wide: readonly number[]): { ref: Ref; rank: number } => ({
    ref: as(x, dims, wide),
    rank: wide.length,
  });
  const lift = (x: { ref: Ref; rank: number }, wide: readonly number[]): Ref =>
    x.rank === out.length ? x.ref : g.reshape(x.ref, [...new Array<number>(out.length - x.rank).fill(1), ...wide]);
  const right = lift(full(b, dimsB, wideB), wideB);
  const left = lift(full(a, dimsA, wideA), wideA);
  const da = c.needs(0)
    ? unbroadcast(g, matmulTransposed(g, grad, right, out.length, false, true), [...stack, m, k], wideA)
    : null;
  const db = c.needs(1)
    ? unbroadcast(g, matmulTransposed(g, left, grad, out.length, true, false), [...stack, k, columns], wideB)
    : null;
  return [da && as(da, wideA, dimsA), db && as(db, wideB, dimsB)];
};

/** Gemm: alpha * A' B' + beta * C. */
export const gemmGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const { g } = c;
  const [a, b, bias] = n.inputs;
  const transA = attrInt(n, "transA", 0);
  const transB = attrInt(n, "transB", 0);
  const alpha = attr.float(attrFloat(n, "alpha", 1));
  const gemm = (x: Ref, tx: number, y: Ref, ty: number): Ref =>
    g.emit("Gemm", [x, y], { alpha, transA: attr.int(tx), transB: attr.int(ty) });
  return [
    c.needs(0) ? (transA ? gemm(b, transB, dy, 1) : gemm(dy, 0, b, 1 - transB)) : null,
    c.needs(1) ? (transB ? gemm(dy, 1, a, transA) : gemm(a, 1 - transA, dy, 0)) : null,
    bias && c.needs(2)
      ? scale(g, unbroadcast(g, dy, c.dims(n.outputs[0]), c.dims(bias)), attrFloat(n, "beta", 1))
      : null,
  ];
};

/** Softmax of opset 13 and later, along one axis: y * (dy - sum(dy * y)). */
export const softmaxGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const axis = positiveAxis(attrInt(n, "axis", -1), c.dims(n.inputs[0]).length);
  const y = n.outputs[0];
  return [g.mul(y, g.sub(dy, g.reduceSum(g.mul(dy, y), [axis])))];
};

/** LogSoftmax of opset 13 and later: dy - softmax(x) * sum(dy). */
export const logSoftmaxGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const axis = positiveAxis(attrInt(n, "axis", -1), c.dims(n.inputs[0]).length);
  return [g.sub(dy, g.mul(g.exp(n.outputs[0]), g.reduceSum(dy, [axis])))];
};
