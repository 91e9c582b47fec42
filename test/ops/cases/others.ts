import { attr } from "../../../toolkit/graph/graph.js";
import { floats, fromNumbers, ints, scalar } from "../../../toolkit/graph/tensor.js";
import type { Cases } from "../case.js";

const map = { live: [1, 6, 4, 3] };
const none = floats([]);
const nearest = { mode: attr.string("nearest") };
const linear = { mode: attr.string("linear"), coordinate_transformation_mode: attr.string("align_corners") };

export const resize: Cases = {
  Resize: [
    { name: "scales", inputs: [map, null, floats([1, 1, 2, 2.5])], attributes: nearest },
    { name: "sizes", inputs: [map, null, null, ints([1, 6, 7, 5])], attributes: linear },
    { name: "sizes, opset 11", opset: 11, inputs: [map, none, none, ints([1, 6, 8, 6])], attributes: linear },
    { name: "opset 10", opset: 10, inputs: [map, floats([1, 1, 0.6, 2])], attributes: nearest },
    {
      name: "axes, opset 18",
      opset: 18,
      inputs: [map, null, null, ints([5, 9])],
      attributes: { ...nearest, axes: attr.ints([2, 3]) },
    },
    {
      name: "not larger, opset 18",
      opset: 18,
      inputs: [map, null, null, ints([9, 9])],
      attributes: { ...nearest, axes: attr.ints([2, 3]), keep_aspect_ratio_policy: attr.string("not_larger") },
    },
  ],
  Upsample: [
    { name: "scales as input, opset 9", opset: 9, inputs: [map, floats([1, 1, 2, 3])], attributes: nearest },
    {
      name: "scales as attribute, opset 7",
      opset: 7,
      inputs: [map],
      attributes: { ...nearest, scales: attr.floats([1, 1, 2, 2]) },
    },
  ],
};

export const quantize: Cases = {
  QuantizeLinear: [
    {
      name: "per tensor",
      inputs: [map, scalar(0.02), fromNumbers("int8", [3], [])],
      uncut: "rounding follows the last bits of a sum",
    },
    {
      name: "per channel",
      opset: 13,
      inputs: [map, { parameter: [6] }, fromNumbers("uint8", [1, 2, 3, 4, 5, 6], [6])],
      range: [0.5, 1],
      uncut: "rounding follows the last bits of a sum",
    },
    { name: "default type", inputs: [map, scalar(0.02)], uncut: "rounding follows the last bits of a sum" },
  ],
  DequantizeLinear: [
    {
      name: "per tensor",
      inputs: [{ live: [1, 6, 4, 3], elemType: "int8", channels: null }, scalar(0.02), fromNumbers("int8", [3], [])],
      range: [-9, 9],
    },
    {
      name: "per channel",
      inputs: [{ live: [1, 6, 4, 3], elemType: "uint8", channels: null }, { parameter: [6] }],
      range: [0, 9],
    },
  ],
};

export const shapes: Cases = {
  Shape: [
    { name: "all", inputs: [map], frozen: true },
    {
      name: "part, opset 15",
      opset: 15,
      inputs: [map],
      attributes: { start: attr.int(1), end: attr.int(-1) },
      frozen: true,
    },
  ],
  Size: [{ name: "all", inputs: [map], frozen: true }],
  Constant: [
    { name: "tensor", inputs: [], attributes: { value: attr.tensor(floats([1, 2, 3, 4], [2, 2])) } },
    { name: "ints", inputs: [], attributes: { value_ints: attr.ints([4, 5]) } },
    { name: "float", inputs: [], attributes: { value_float: attr.float(0.5) } },
  ],
  ConstantOfShape: [
    { name: "zeros", inputs: [ints([2, 3])] },
    { name: "ones", inputs: [ints([2])], attributes: { value: attr.tensor(ints([1])) } },
  ],
  Range: [
    { name: "up", inputs: [ints([2], []), ints([11], []), ints([3], [])] },
    { name: "down", inputs: [scalar(3), scalar(0), scalar(-0.5)] },
  ],
  NonZero: [
    { name: "a few", inputs: [floats([0, 1, 0, 2, 3, 0], [2, 3])] },
    { name: "at run time", inputs: [{ live: [2, 3], channels: null }], dynamic: true },
  ],
};
