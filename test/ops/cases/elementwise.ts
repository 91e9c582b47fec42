import { attr } from "../../../toolkit/graph/graph.js";
import { fromNumbers, ints, scalar } from "../../../toolkit/graph/tensor.js";
import type { Cases, OpCase } from "../case.js";

const map = { live: [1, 6, 4, 3] };
const positive = [0.1, 3] as const;
const unary = (o: Partial<OpCase> = {}): OpCase[] => [{ name: "feature map", inputs: [map], ...o }];
const compared = (o: Partial<OpCase> = {}): OpCase[] => [
  { name: "same shape", opset: 17, inputs: [map, map], ...o },
  { name: "broadcast parameter", opset: 17, inputs: [map, { parameter: [6, 1, 1] }], ...o },
];
const whole = [-4, 4] as const;
const bools = { live: [1, 6, 4, 3], elemType: "bool", channels: null } as const;

const broadcast = (o: Partial<OpCase> = {}): OpCase[] => [
  { name: "same shape", inputs: [map, map], ...o },
  { name: "scalar", inputs: [map, scalar(0.75)], ...o },
  { name: "per channel", inputs: [map, { parameter: [1, 6, 1, 1] }], ...o },
  { name: "per channel, short", inputs: [{ parameter: [6, 1, 1] }, map], ...o },
  { name: "gate", inputs: [map, { live: [1, 6, 1, 1] }], ...o },
  { name: "one map for all channels", inputs: [map, { live: [1, 1, 4, 3] }], ...o },
  { name: "rows", inputs: [{ live: [2, 5] }, { parameter: [5] }], ...o },
  {
    name: "with an input that cannot be cut",
    inputs: [map, { live: [1, 6, 4, 3], channels: null }],
    frozen: true,
    ...o,
  },
];

export const elementwise: Cases = {
  Relu: unary(),
  LeakyRelu: unary({ attributes: { alpha: attr.float(0.2) } }),
  ThresholdedRelu: unary({ attributes: { alpha: attr.float(0.2) } }),
  Elu: unary(),
  Selu: unary(),
  Celu: unary(),
  Sigmoid: unary(),
  HardSigmoid: unary({ range: whole }),
  HardSwish: unary({ range: whole }),
  Mish: unary({ opset: 18 }),
  Softplus: unary(),
  Softsign: unary(),
  Tanh: unary(),
  Erf: unary(),
  Gelu: unary({ opset: 20 }),
  Exp: unary(),
  Log: unary({ range: positive }),
  Sqrt: unary({ range: positive }),
  Reciprocal: unary({ range: positive }),
  Abs: unary(),
  Neg: unary(),
  Sign: unary(),
  Floor: unary({ range: whole, uncut: "it jumps at whole numbers" }),
  Ceil: unary({ range: whole, uncut: "it jumps at whole numbers" }),
  Round: unary({ range: whole, uncut: "it jumps at halves" }),
  Sin: unary(),
  Cos: unary(),
  Tan: unary({ range: [-0.3, 0.3] }),
  Atan: unary(),
  Clip: [
    { name: "limits as inputs", inputs: [map, scalar(-0.3), scalar(0.4)] },
    { name: "one limit", inputs: [map, null, scalar(0.4)] },
    {
      name: "limits as attributes, opset 7",
      opset: 7,
      inputs: [map],
      attributes: { min: attr.float(-0.3), max: attr.float(0.4) },
    },
  ],
  Identity: unary(),
  Dropout: [
    { name: "inference", inputs: [map] },
    { name: "opset 7", opset: 7, inputs: [map], attributes: { ratio: attr.float(0.3) } },
    { name: "with mask", inputs: [map], outputs: 2, uncut: "the mask is all true" },
  ],
  Cast: [
    { name: "to double", inputs: [map], attributes: { to: attr.int(11) } },
    {
      name: "to int64",
      inputs: [map],
      range: whole,
      attributes: { to: attr.int(7) },
      uncut: "it jumps at whole numbers",
    },
    { name: "to bool", inputs: [map], attributes: { to: attr.int(9) } },
  ],
  CastLike: [{ name: "to double", inputs: [map, fromNumbers("float64", [1], [])] }],
  PRelu: [
    { name: "per channel", inputs: [map, { parameter: [6, 1, 1] }] },
    { name: "one slope", inputs: [map, { parameter: [1] }] },
  ],
  Add: [
    ...broadcast(),
    { name: "opset 7", opset: 7, inputs: [map, map] },
    { name: "whole numbers", inputs: [{ live: [4], elemType: "int64" }, ints([3, 4, 5, 6])] },
  ],
  Sub: broadcast(),
  Mul: broadcast(),
  Div: [
    ...broadcast({ range: positive }),
    { name: "whole numbers truncate", inputs: [ints([7, -7, 9, -9]), ints([2, 2, -4, 4])] },
  ],
  Mod: [
    { name: "sign of the divisor", inputs: [ints([7, -7, 7, -7]), ints([3, 3, -3, -3])] },
    { name: "sign of the dividend", inputs: [map, scalar(0.4)], attributes: { fmod: attr.int(1) }, uncut: "it jumps" },
  ],
  Pow: broadcast({ range: positive }),
  Min: broadcast(),
  Max: broadcast(),
  Sum: [
    { name: "three", inputs: [map, map, { parameter: [6, 1, 1] }] },
    { name: "one", inputs: [map] },
  ],
  Mean: [{ name: "three", inputs: [map, map, { parameter: [6, 1, 1] }] }],
  Where: [
    { name: "per channel", inputs: [bools, map, { parameter: [6, 1, 1] }], frozen: true },
    { name: "constant condition", inputs: [fromNumbers("bool", [1, 0, 1], [3]), map, map] },
  ],
  Equal: [
    { name: "numbers", inputs: [ints([1, 2, 3]), ints([1, 0, 3])] },
    { name: "broadcast", inputs: [map, { parameter: [6, 1, 1] }] },
  ],
  Greater: compared(),
  GreaterOrEqual: compared(),
  Less: compared(),
  LessOrEqual: compared(),
  And: [{ name: "masks", inputs: [bools, bools] }],
  Or: [{ name: "masks", inputs: [bools, bools] }],
  Xor: [{ name: "masks", inputs: [bools, bools] }],
  Not: [{ name: "mask", inputs: [bools] }],
  IsNaN: unary(),
  IsInf: unary(),
  Trilu: [
    { name: "upper", inputs: [{ live: [1, 4, 5] }], frozen: true },
    { name: "upper, of each channel", inputs: [{ live: [1, 6, 4, 5] }] },
  ],
  CumSum: [
    { name: "along rows", inputs: [{ live: [1, 4, 5] }, ints([1], [])] },
    { name: "beside channels", inputs: [{ live: [1, 4, 5] }, ints([2], [])] },
  ],
};
