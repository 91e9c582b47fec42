/** Arithmetic on quantised tensors: operators that carry their scales as inputs, and those that give plain int32. */
import { attrInts, type OpNode, type ValueType } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { inputDims, inputType, staticDims } from "./dims.js";
import { matMulDims } from "./linear.js";
import type { OpRule, ShapeContext } from "./rule.js";
import { windowOf, windowOutput } from "./window.js";

const frozenBecause = "computes on integers with scales of its own";

/** Output dims of a convolution whose weight is input `w`. */
function convDims(n: OpNode, c: ShapeContext, w: number): NonNullable<ValueType["dims"]> {
  const [x, weight] = [inputDims(n, c, 0), inputDims(n, c, w)];
  const kernel = attrInts(n, "kernel_shape") ?? staticDims(n, weight.slice(2), "the kernel size");
  return [x[0], weight[0], ...windowOutput(n, x.slice(2), windowOf(n, kernel))];
}

const convMacs =
  (weight: number): OpRule["macs"] =>
  (_, x, [y]) =>
    sizeOf(y) * sizeOf(x[weight].slice(1));

const matMulMacs: OpRule["macs"] = (_, [a], [y]) => sizeOf(y) * (a[a.length - 1] ?? 1);

/** x, scale, zero point, weight, scale, zero point, result's scale and zero point, bias (ONNX QLinearConv-10). */
const QLinearConv: OpRule = {
  shape: (n, c) => [{ elemType: inputType(n, c, 7).elemType, dims: convDims(n, c, 3) }],
  macs: convMacs(3),
  frozenBecause,
};

/** a, scale, zero point, b, scale, zero point, result's scale and zero point (ONNX QLinearMatMul-10, -21). */
const QLinearMatMul: OpRule = {
  shape: (n, c) => [
    { elemType: inputType(n, c, 7).elemType, dims: matMulDims(n, inputDims(n, c, 0), inputDims(n, c, 3)) },
  ],
  macs: matMulMacs,
  frozenBecause,
};

/** Convolution of integers (ONNX ConvInteger-10). */
const ConvInteger: OpRule = {
  shape: (n, c) => [{ elemType: "int32", dims: convDims(n, c, 1) }],
  macs: convMacs(1),
  frozenBecause,
};

/** Matrix product of integers (ONNX MatMulInteger-10). */
const MatMulInteger: OpRule = {
  shape: (n, c) => [{ elemType: "int32", dims: matMulDims(n, inputDims(n, c, 0), inputDims(n, c, 1)) }],
  macs: matMulMacs,
  frozenBecause,
};

/** Quantised values, with a scale and a zero point from the range of all of them (ONNX DynamicQuantizeLinear-11). */
const DynamicQuantizeLinear: OpRule = {
  shape: (n, c) => [
    { elemType: "uint8", dims: inputType(n, c, 0).dims },
    { elemType: "float32", dims: [] },
    { elemType: "uint8", dims: [] },
  ],
  frozenBecause: "quantises it by the range of all channels together",
};

export const rules = {
  QLinearConv,
  QLinearMatMul,
  ConvInteger,
  MatMulInteger,
  DynamicQuantizeLinear,
} satisfies Record<string, OpRule | OpRule[]>;
