import { attr } from "../../../toolkit/graph/graph.js";
import type { Cases, OpCase } from "../case.js";

const map = { live: [1, 6, 7, 8] };
const ints = attr.ints;
const windows: OpCase[] = [
  { name: "2x2", inputs: [map], attributes: { kernel_shape: ints([2, 2]), strides: ints([2, 2]) } },
  {
    name: "ceil mode",
    opset: 11,
    inputs: [map],
    attributes: { kernel_shape: ints([3, 3]), strides: ints([2, 2]), ceil_mode: attr.int(1) },
  },
  {
    name: "ceil mode with pads",
    opset: 11,
    inputs: [map],
    attributes: { kernel_shape: ints([2, 2]), strides: ints([3, 3]), pads: ints([1, 1, 1, 1]), ceil_mode: attr.int(1) },
  },
  {
    name: "SAME_UPPER",
    inputs: [map],
    attributes: { kernel_shape: ints([3, 3]), strides: ints([2, 2]), auto_pad: attr.string("SAME_UPPER") },
  },
  {
    name: "pads, opset 7",
    opset: 7,
    inputs: [map],
    attributes: { kernel_shape: ints([3, 3]), pads: ints([1, 0, 1, 0]) },
  },
];

export const pooling: Cases = {
  MaxPool: [
    ...windows,
    { name: "dilated", opset: 11, inputs: [map], attributes: { kernel_shape: ints([2, 2]), dilations: ints([2, 2]) } },
    { name: "with indices", inputs: [map], outputs: 2, attributes: { kernel_shape: ints([2, 2]) }, frozen: true },
  ],
  AveragePool: windows,
  LpPool: [windows[0], windows[4]],
  GlobalAveragePool: [
    { inputs: [map], name: "feature map" },
    { inputs: [{ live: [2, 4, 5] }], name: "one spatial axis", opset: 7 },
  ],
  GlobalMaxPool: [{ inputs: [map], name: "feature map" }],
  GlobalLpPool: [{ inputs: [map], name: "feature map" }],
};
