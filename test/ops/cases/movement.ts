import { attr } from "../../../toolkit/graph/graph.js";
import { fromNumbers, ints, scalar } from "../../../toolkit/graph/tensor.js";
import type { Cases } from "../case.js";

const map = { live: [1, 6, 4, 3] };
const END = 2 ** 31 - 1;

export const movement: Cases = {
  Transpose: [
    { name: "channels last", inputs: [map], attributes: { perm: attr.ints([0, 2, 3, 1]) } },
    { name: "reversed", inputs: [{ live: [2, 5, 3], channels: 2 }], uncut: "channels would stand on the batch axis" },
  ],
  Concat: [
    { name: "channels", inputs: [map, { live: [1, 4, 4, 3] }, map], attributes: { axis: attr.int(1) } },
    { name: "rows ties channels", opset: 7, inputs: [map, map], attributes: { axis: attr.int(2) } },
    {
      name: "with a part that cannot be cut",
      inputs: [map, { live: [1, 2, 4, 3], channels: null }],
      attributes: { axis: attr.int(-3) },
    },
  ],
  Split: [
    { name: "equal parts", inputs: [map], outputs: 2, attributes: { axis: attr.int(1) } },
    { name: "sizes as input", inputs: [map, ints([1, 2, 3])], outputs: 3, attributes: { axis: attr.int(1) } },
    {
      name: "sizes as attribute, opset 7",
      opset: 7,
      inputs: [map],
      outputs: 2,
      attributes: { axis: attr.int(1), split: attr.ints([4, 2]) },
    },
    { name: "equal parts, opset 11", opset: 11, inputs: [map], outputs: 3, attributes: { axis: attr.int(1) } },
    {
      name: "uneven parts by count",
      opset: 18,
      inputs: [{ live: [1, 7, 2, 2] }],
      outputs: 3,
      attributes: { axis: attr.int(1), num_outputs: attr.int(3) },
    },
    { name: "rows", inputs: [map], outputs: 2, attributes: { axis: attr.int(2) } },
  ],
  Slice: [
    { name: "some channels", inputs: [map, ints([1]), ints([5]), ints([1])] },
    { name: "from the end", inputs: [map, ints([-4]), ints([END]), ints([1])] },
    { name: "every second row", inputs: [map, ints([0, 0]), ints([END, END]), ints([2, 3]), ints([2, 2])] },
    { name: "every second channel", inputs: [map, ints([0]), ints([END]), ints([1]), ints([2])] },
    {
      name: "every second channel from the second on",
      inputs: [map, ints([1]), ints([END]), ints([1]), ints([2])],
    },
    { name: "every fourth of six channels", inputs: [map, ints([0]), ints([END]), ints([1]), ints([4])], frozen: true },
    { name: "channels backwards", inputs: [map, ints([-1]), ints([-END]), ints([1]), ints([-1])] },
    { name: "backwards rows", inputs: [map, ints([-1]), ints([-END]), ints([2]), ints([-1])] },
    {
      name: "attributes, opset 9",
      opset: 9,
      inputs: [map],
      attributes: { starts: attr.ints([0, 2]), ends: attr.ints([1, 6]), axes: attr.ints([0, 1]) },
    },
  ],
  Gather: [
    { name: "some channels", inputs: [map, ints([5, 0, 3, -2])], attributes: { axis: attr.int(1) } },
    {
      name: "one channel",
      inputs: [map, ints([2], [])],
      attributes: { axis: attr.int(1) },
      keeps: ['Gather "op" picks it by index'],
    },
    {
      name: "a table of channels",
      inputs: [map, { ...ints([0, 4, 2, -1, 3, 1]), dims: [2, 3] }],
      attributes: { axis: attr.int(1) },
    },
    { name: "one row", inputs: [map, ints([2], [])], attributes: { axis: attr.int(2) } },
    { name: "from a vector", inputs: [ints([4, 5, 6]), ints([1], [])] },
    {
      name: "embedding",
      inputs: [{ parameter: [5, 4] }, { live: [2, 3], elemType: "int64", channels: null }],
      range: [0, 0],
    },
  ],
  Pad: [
    { name: "rows", inputs: [map, ints([0, 0, 1, 0, 0, 0, 2, 1])] },
    { name: "channels", inputs: [map, ints([0, 2, 0, 0, 0, 3, 0, 0]), scalar(0.5)] },
    {
      name: "attribute, opset 7",
      opset: 7,
      inputs: [map],
      attributes: { pads: attr.ints([0, 1, 1, 0, 0, 1, 0, 0]), value: attr.float(0.25) },
    },
    { name: "reflect", inputs: [map, ints([0, 0, 2, 1, 0, 0, 1, 2])], attributes: { mode: attr.string("reflect") } },
    { name: "edge", inputs: [map, ints([0, 0, 2, 1, 0, 0, 1, 4])], attributes: { mode: attr.string("edge") } },
    {
      name: "edge of channels",
      inputs: [map, ints([0, 1, 0, 0, 0, 1, 0, 0])],
      attributes: { mode: attr.string("edge") },
      frozen: true,
    },
    { name: "axes, opset 18", opset: 18, inputs: [map, ints([1, 2]), scalar(0), ints([1])] },
  ],
  Expand: [
    { name: "rows", inputs: [{ live: [1, 6, 1, 1] }, ints([1, 6, 2, 3])] },
    { name: "new axis", inputs: [{ live: [1, 6] }, ints([2, 1, 6])] },
  ],
  Tile: [
    { name: "rows and channels", inputs: [map, ints([1, 2, 1, 3])] },
    { name: "whole numbers", inputs: [fromNumbers("int64", [1, 2], [2]), ints([2])] },
  ],
};

export const reshaping: Cases = {
  Reshape: [
    { name: "flatten", inputs: [map, ints([1, -1])] },
    { name: "copy and rest", inputs: [map, ints([0, 0, -1])] },
    { name: "split channels", inputs: [map, ints([1, 2, 3, 4, 3])] },
    { name: "fixed numbers", opset: 7, inputs: [map, ints([1, 6, 12])] },
    { name: "merge with rows", inputs: [{ live: [1, 3, 4, 6], channels: 3 }, ints([1, -1, 6])] },
    {
      name: "keeps a zero",
      opset: 14,
      inputs: [{ live: [0, 3], channels: null }, ints([3, 0])],
      attributes: { allowzero: attr.int(1) },
    },
  ],
  Flatten: [
    { name: "default", inputs: [map] },
    {
      name: "axis 2",
      opset: 7,
      inputs: [map],
      attributes: { axis: attr.int(2) },
      uncut: "channels would stand on the batch axis",
    },
    { name: "negative axis", opset: 11, inputs: [map], attributes: { axis: attr.int(-3) } },
  ],
  Squeeze: [
    { name: "axes as input", inputs: [{ live: [1, 6, 1, 1] }, ints([2, 3])] },
    {
      name: "axes as attribute, opset 11",
      opset: 11,
      inputs: [{ live: [1, 6, 1, 1] }],
      attributes: { axes: attr.ints([-1, -2]) },
    },
    { name: "all of length 1", inputs: [{ live: [2, 6, 1, 1] }] },
  ],
  Unsqueeze: [
    { name: "axes as input", inputs: [{ live: [1, 6] }, ints([2, 3])] },
    {
      name: "axes as attribute, opset 7",
      opset: 7,
      inputs: [{ live: [1, 6] }],
      attributes: { axes: attr.ints([1, 3]) },
    },
    { name: "negative", inputs: [{ live: [1, 6] }, ints([-1])] },
  ],
  DepthToSpace: [
    { name: "DCR", inputs: [{ live: [1, 12, 2, 3] }], attributes: { blocksize: attr.int(2) } },
    {
      name: "CRD",
      inputs: [{ live: [1, 12, 2, 3] }],
      attributes: { blocksize: attr.int(2), mode: attr.string("CRD") },
    },
    {
      name: "more blocks than depth, opset 7",
      opset: 7,
      inputs: [{ live: [1, 18, 2, 3] }],
      attributes: { blocksize: attr.int(3) },
    },
  ],
  SpaceToDepth: [{ name: "2x2", inputs: [{ live: [1, 3, 4, 6] }], attributes: { blocksize: attr.int(2) } }],
};
