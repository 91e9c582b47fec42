import { attr } from "../../../toolkit/graph/graph.js";
import { floats, fromNumbers, ints, scalar } from "../../../toolkit/graph/tensor.js";
import type { Cases } from "../case.js";

const uncut = (dims: readonly number[]) => ({ live: dims, channels: null });
const map = { live: [2, 6, 5, 7] };
const bytes = (dims: readonly number[]) => ({ live: dims, elemType: "uint8" as const });
const zero = fromNumbers("uint8", [3], []);
const window = { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) };
const triple = { hidden_size: attr.int(5) };

export const sampling: Cases = {
  GridSample: [
    { name: "bilinear", inputs: [map, uncut([2, 4, 3, 2])] },
    { name: "channels in the grid", inputs: [uncut([2, 6, 5, 7]), { live: [2, 4, 3, 2] }], frozen: true },
    {
      name: "volumes, opset 20",
      opset: 20,
      inputs: [uncut([1, 2, 3, 4, 5]), uncut([1, 2, 3, 2, 3])],
      attributes: { mode: attr.string("nearest") },
    },
  ],
  AffineGrid: [
    { name: "plane", opset: 20, inputs: [uncut([2, 2, 3]), ints([2, 3, 5, 6])] },
    { name: "volume", opset: 20, inputs: [uncut([2, 3, 4]), ints([2, 3, 4, 5, 6])] },
  ],
  DeformConv: [
    {
      name: "strides and pads",
      opset: 19,
      inputs: [map, { parameter: [8, 6, 3, 3] }, uncut([2, 18, 3, 4]), { parameter: [8] }, uncut([2, 9, 3, 4])],
      attributes: { strides: attr.ints([2, 2]), pads: attr.ints([1, 1, 1, 1]) },
    },
    {
      name: "two groups of channels, three of offsets",
      opset: 19,
      inputs: [{ live: [1, 12, 4, 4] }, { parameter: [4, 6, 1, 1] }, uncut([1, 6, 4, 4])],
      attributes: { group: attr.int(2), offset_group: attr.int(3) },
    },
  ],
  RoiAlign: [
    {
      name: "two regions",
      opset: 16,
      inputs: [map, floats([0, 0, 3, 3, 1, 1, 4, 4], [2, 4]), ints([0, 1])],
      attributes: { output_height: attr.int(3), output_width: attr.int(2), sampling_ratio: attr.int(2) },
    },
    { name: "defaults, opset 10", opset: 10, inputs: [map, floats([0, 0, 3, 3], [1, 4]), ints([0])] },
  ],
  MaxRoiPool: [
    {
      name: "two regions",
      inputs: [map, floats([0, 0, 0, 3, 3, 1, 1, 1, 4, 4], [2, 5])],
      attributes: { pooled_shape: attr.ints([3, 2]) },
    },
  ],
  NonMaxSuppression: [
    { name: "boxes", inputs: [uncut([1, 5, 4]), uncut([1, 2, 5]), ints([3]), floats([0.5])], dynamic: true },
  ],
  ImageDecoder: [
    {
      name: "grey",
      opset: 20,
      inputs: [bytes([100])],
      attributes: { pixel_format: attr.string("Grayscale") },
      specified: [{ elemType: "uint8", dims: [null, null, 1] }],
    },
    { name: "colour", opset: 20, inputs: [bytes([100])], specified: [{ elemType: "uint8", dims: [null, null, 3] }] },
  ],
};

export const placing: Cases = {
  MaxUnpool: [
    {
      name: "by its window",
      inputs: [uncut([1, 1, 2, 2]), ints([0, 3, 8, 10], [1, 1, 2, 2])],
      attributes: { ...window, pads: attr.ints([0, 0, 0, 0]) },
    },
    {
      name: "to a shape",
      inputs: [uncut([1, 1, 2, 2]), ints([0, 3, 11, 13], [1, 1, 2, 2]), ints([1, 1, 5, 5])],
      attributes: window,
    },
  ],
  Col2Im: [
    { name: "blocks", opset: 18, inputs: [uncut([2, 20, 5]), ints([5, 5]), ints([1, 5])] },
    {
      name: "strides",
      opset: 18,
      inputs: [uncut([1, 12, 4]), ints([4, 4]), ints([2, 2])],
      attributes: { strides: attr.ints([2, 2]) },
    },
  ],
  CenterCropPad: [
    { name: "every axis", opset: 18, inputs: [uncut([3, 8, 6]), ints([5, 4, 9])] },
    { name: "two axes", opset: 18, inputs: [map, ints([3, 9])], attributes: { axes: attr.ints([2, -1]) } },
    { name: "channels", opset: 18, inputs: [map, ints([4, 9])], attributes: { axes: attr.ints([1, 3]) }, frozen: true },
  ],
};

export const recurrent: Cases = {
  RNN: [
    {
      name: "channels, from a first state",
      inputs: [
        { live: [4, 2, 6], channels: 2 },
        ...[{ parameter: [1, 5, 6] }, { parameter: [1, 5, 5] }, { parameter: [1, 10] }],
        null,
        { parameter: [1, 2, 5] },
      ],
      attributes: triple,
      outputs: 2,
    },
    {
      name: "forwards",
      inputs: [uncut([4, 2, 3]), { parameter: [1, 5, 3] }, { parameter: [1, 5, 5] }],
      attributes: triple,
      outputs: 2,
    },
  ],
  GRU: [
    {
      name: "channels, both ways",
      inputs: [
        { live: [4, 2, 6], channels: 2 },
        { parameter: [2, 15, 6] },
        { parameter: [2, 15, 5] },
        { parameter: [2, 30] },
      ],
      attributes: { ...triple, direction: attr.string("bidirectional") },
      outputs: 2,
    },
    {
      name: "both ways",
      inputs: [uncut([4, 2, 3]), { parameter: [2, 15, 3] }, { parameter: [2, 15, 5] }, { parameter: [2, 30] }],
      attributes: { ...triple, direction: attr.string("bidirectional") },
      outputs: 2,
    },
  ],
  LSTM: [
    {
      name: "channels, with peepholes",
      inputs: [
        { live: [4, 2, 6], channels: 2 },
        ...[{ parameter: [1, 20, 6] }, { parameter: [1, 20, 5] }, { parameter: [1, 40] }],
        ...[null, null, null],
        { parameter: [1, 15] },
      ],
      attributes: triple,
      outputs: 3,
    },
    {
      name: "three outputs",
      inputs: [uncut([4, 2, 3]), { parameter: [1, 20, 3] }, { parameter: [1, 20, 5] }],
      attributes: triple,
      outputs: 3,
    },
    {
      name: "batch first, opset 14",
      inputs: [uncut([2, 4, 3]), { parameter: [1, 20, 3] }, { parameter: [1, 20, 5] }],
      attributes: { ...triple, layout: attr.int(1) },
      outputs: 3,
      specified: [
        { elemType: "float32", dims: [2, 4, 1, 5] },
        { elemType: "float32", dims: [2, 1, 5] },
        { elemType: "float32", dims: [2, 1, 5] },
      ],
    },
  ],
};

export const integers: Cases = {
  QLinearConv: [
    {
      name: "strides",
      inputs: [
        ...[bytes([1, 4, 7, 7]), scalar(0.1), zero],
        ...[fromNumbers("int8", Array(72).fill(1), [2, 4, 3, 3]), scalar(0.1), fromNumbers("int8", [0], [])],
        ...[scalar(0.2), zero],
      ],
      attributes: { strides: attr.ints([2, 2]), pads: attr.ints([1, 1, 1, 1]) },
      range: [0, 9],
    },
  ],
  QLinearMatMul: [
    {
      name: "stack",
      inputs: [
        ...[bytes([2, 3, 4]), scalar(0.1), zero],
        ...[bytes([2, 4, 5]), scalar(0.1), zero, scalar(0.2), fromNumbers("uint8", [1], [])],
      ],
      range: [0, 9],
    },
  ],
  ConvInteger: [
    { name: "unpadded", inputs: [bytes([1, 1, 6, 6]), fromNumbers("uint8", Array(9).fill(2), [1, 1, 3, 3]), zero] },
  ],
  MatMulInteger: [{ name: "matrix", inputs: [bytes([3, 4]), bytes([4, 5]), zero], range: [0, 9] }],
  DynamicQuantizeLinear: [{ name: "map", inputs: [map], outputs: 3, frozen: true }],
};
