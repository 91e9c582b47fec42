import { attr } from "../../../toolkit/graph/graph.js";
import { ints } from "../../../toolkit/graph/tensor.js";
import type { Cases, OpCase } from "../case.js";

const uncut = (dims: readonly number[]) => ({ live: dims, channels: null });
const map = { live: [1, 6, 4, 3] };
const unary = (o: Partial<OpCase> = {}): OpCase[] => [{ name: "feature map", inputs: [map], ...o }];
const whole = (dims: readonly number[]) => ({ live: dims, elemType: "uint8" as const, channels: null });
const bits = (o: Partial<OpCase> = {}): OpCase[] => [
  { name: "broadcast", opset: 18, inputs: [whole([2, 3, 4]), whole([3, 1])], range: [0, 200], ...o },
];

export const trigonometry: Cases = {
  Acos: unary({ range: [-0.3, 0.3] }),
  Acosh: unary({ range: [1.5, 2], uncut: "a layer before it leaves the domain" }),
  Asin: unary({ range: [-0.3, 0.3] }),
  Asinh: unary(),
  Atanh: unary({ range: [-0.3, 0.3] }),
  Cosh: unary(),
  Sinh: unary(),
};

export const activations: Cases = {
  Shrink: unary({ attributes: { lambd: attr.float(0.3), bias: attr.float(0.1) }, uncut: "it jumps at lambd" }),
  Swish: unary({ opset: 24, attributes: { alpha: attr.float(0.7) } }),
  SwiGLU: [
    { name: "two maps", opset: 28, inputs: [map, map], specified: [{ elemType: "float32", dims: [1, 6, 4, 3] }] },
  ],
};

export const bitwise: Cases = {
  BitCast: [
    {
      name: "float32 to int32",
      opset: 26,
      inputs: [uncut([2, 3])],
      attributes: { to: attr.int(6) },
      specified: [{ elemType: "int32", dims: [2, 3] }],
    },
  ],
  BitShift: bits({ attributes: { direction: attr.string("RIGHT") }, range: [0, 7] }),
  BitwiseAnd: bits(),
  BitwiseOr: bits(),
  BitwiseXor: bits(),
  BitwiseNot: bits({ name: "bytes", inputs: [whole([2, 3])] }),
};

export const causal: Cases = {
  CumProd: [
    {
      name: "rows",
      opset: 26,
      inputs: [uncut([2, 3]), ints([1], [])],
      specified: [{ elemType: "float32", dims: [2, 3] }],
    },
  ],
  CausalConvWithState: [
    {
      name: "four taps",
      opset: 27,
      inputs: [uncut([2, 6, 10]), { parameter: [6, 1, 4] }],
      outputs: 2,
      specified: [
        { elemType: "float32", dims: [2, 6, 10] },
        { elemType: "float32", dims: [2, 6, 3] },
      ],
    },
  ],
};

export const matrices: Cases = {
  Det: [
    { name: "stack", inputs: [uncut([2, 3, 4, 4])] },
    { name: "one", inputs: [uncut([3, 3])] },
  ],
};
