import { attr } from "../../../toolkit/graph/graph.js";
import { floats, fromNumbers, ints, scalar, type Tensor } from "../../../toolkit/graph/tensor.js";
import type { Cases } from "../case.js";

const uncut = (dims: readonly number[]) => ({ live: dims, channels: null });
const map = { live: [2, 6, 4, 3] };
const bools = (values: number[]): Tensor => fromNumbers("bool", values, [values.length]);
const reduction = (name: string) => ({ reduction: attr.string(name) });
const table = floats([0.5, -1, 2, 3, -4, 5, 6, 7, -8, 9, 10, 11], [3, 4]);
const rows = floats([1, 2, 3, 4, 5, 6, 7, 8], [2, 4]);

export const scatter: Cases = {
  ScatterND: [
    { name: "rows", inputs: [table, ints([2, -3], [2, 1]), rows] },
    { name: "elements", inputs: [table, ints([0, 1, 2, 3], [2, 2]), floats([8, 9])] },
    { name: "added, opset 16", inputs: [table, ints([2, 2], [2, 1]), rows], attributes: reduction("add") },
    { name: "largest, opset 18", opset: 18, inputs: [table, ints([2, 0], [2, 1]), rows], attributes: reduction("max") },
    { name: "channels", inputs: [map, ints([0], [1, 1]), uncut([1, 6, 4, 3])], frozen: true },
  ],
  ScatterElements: [
    { name: "axis 0", inputs: [table, ints([2, -3, 1, 0], [1, 4]), floats([1, 2, 3, 4], [1, 4])] },
    {
      name: "last axis, multiplied, opset 16",
      inputs: [table, ints([3, 3, 0, 1], [2, 2]), floats([2, 3, 4, 5], [2, 2])],
      attributes: { ...reduction("mul"), axis: attr.int(-1) },
    },
    {
      name: "smallest, opset 18",
      opset: 18,
      inputs: [table, ints([3, 3, 0, 1], [2, 2]), floats([2, -3, 4, 5], [2, 2])],
      attributes: { ...reduction("min"), axis: attr.int(1) },
    },
  ],
  Scatter: [{ name: "opset 10", opset: 10, inputs: [table, ints([2, 0, 1, 0], [1, 4]), floats([1, 2, 3, 4], [1, 4])] }],
  TensorScatter: [
    {
      name: "cache",
      opset: 24,
      inputs: [uncut([2, 3, 8, 4]), uncut([2, 3, 2, 4]), ints([1, 5])],
    },
  ],
};

export const gathering: Cases = {
  GatherElements: [
    { name: "axis 0", inputs: [table, ints([2, -3, 1, 0], [1, 4])] },
    { name: "last axis", inputs: [table, ints([3, 3, 0, 1, -1, 2], [3, 2])], attributes: { axis: attr.int(-1) } },
    { name: "channels", inputs: [map, ints([1], [1, 1, 1, 1])], frozen: true },
  ],
  GatherND: [
    { name: "elements", inputs: [table, ints([0, 1, 2, -1], [2, 2])] },
    { name: "rows", inputs: [table, ints([2, 0], [2, 1])] },
    {
      name: "in each batch",
      inputs: [floats([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2]), ints([1, 0], [2, 1])],
      attributes: { batch_dims: attr.int(1) },
    },
  ],
  Compress: [
    { name: "elements", inputs: [table, bools([0, 1, 0, 1, 1])] },
    { name: "rows", inputs: [table, bools([0, 1, 1])], attributes: { axis: attr.int(0) } },
    {
      name: "condition at run time",
      inputs: [uncut([3, 4]), { live: [3], elemType: "bool" }],
      attributes: { axis: attr.int(0) },
      dynamic: true,
    },
  ],
  ReverseSequence: [
    {
      name: "batch first",
      inputs: [uncut([4, 5, 3]), ints([5, 2, 3, 1])],
      attributes: { batch_axis: attr.int(0), time_axis: attr.int(1) },
    },
    { name: "channels last", inputs: [{ live: [4, 2, 6], channels: 2 }, ints([3, 4])] },
  ],
};

export const indexing: Cases = {
  OneHot: [
    { name: "last axis", inputs: [ints([0, 2, -1, 7], [2, 2]), scalar(4), floats([-1, 3])] },
    { name: "first axis", inputs: [ints([0, 2, 1]), ints([3]), ints([0, 1])], attributes: { axis: attr.int(0) } },
  ],
  EyeLike: [
    { name: "shifted", inputs: [uncut([3, 5])], attributes: { k: attr.int(1) } },
    { name: "another type", inputs: [uncut([4, 3])], attributes: { k: attr.int(-1), dtype: attr.int(7) } },
  ],
  Unique: [
    { name: "elements", inputs: [table], outputs: 4, dynamic: true },
    { name: "columns", inputs: [table], outputs: 4, dynamic: true, attributes: { axis: attr.int(1) } },
  ],
};
