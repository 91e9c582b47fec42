import { attr } from "../../../toolkit/graph/graph.js";
import { ints } from "../../../toolkit/graph/tensor.js";
import type { Cases, OpCase } from "../case.js";

const map = { live: [1, 6, 4, 3] };
const positive = [0.5, 2] as const;

/** Axes as an attribute before `since`, as an input from then on. */
const reduced = (since: number, o: Partial<OpCase> = {}): OpCase[] => [
  { name: "rows and columns", opset: since, inputs: [map, ints([2, 3])], ...o },
  {
    name: "axes as attribute",
    opset: Math.min(since - 1, 11),
    inputs: [map],
    attributes: { axes: attr.ints([-1, -2]), keepdims: attr.int(0) },
    ...o,
  },
  { name: "channels", opset: since, inputs: [map, ints([1])], ...o },
  { name: "everything", opset: since, inputs: [map], ...o },
  { name: "nothing", opset: since, inputs: [map], attributes: { noop_with_empty_axes: attr.int(1) }, ...o },
];

export const reduction: Cases = {
  ReduceSum: reduced(13),
  ReduceMean: [
    ...reduced(18),
    { name: "whole numbers", opset: 18, inputs: [ints([1, 2, -1, -2, 5, 6], [3, 2]), ints([1])] },
  ],
  ReduceMax: reduced(18),
  ReduceMin: reduced(18),
  ReduceProd: reduced(18),
  ReduceL1: reduced(18).slice(0, 4),
  ReduceL2: reduced(18).slice(0, 4),
  ReduceSumSquare: reduced(18).slice(0, 4),
  ReduceLogSum: reduced(18, { range: positive }).slice(0, 4),
  ReduceLogSumExp: reduced(18).slice(0, 4),
  ArgMax: [
    { name: "columns", inputs: [map], attributes: { axis: attr.int(3) } },
    {
      name: "channels",
      opset: 11,
      inputs: [map],
      attributes: { axis: attr.int(1), keepdims: attr.int(0) },
      frozen: true,
    },
  ],
  ArgMin: [{ name: "columns", inputs: [map], attributes: { axis: attr.int(-1), keepdims: attr.int(0) } }],
  TopK: [
    { name: "columns", inputs: [map, ints([2])], outputs: 2 },
    {
      name: "channels",
      opset: 11,
      inputs: [map, ints([2])],
      attributes: { axis: attr.int(1) },
      outputs: 2,
      frozen: true,
    },
    { name: "attribute, opset 7", opset: 7, inputs: [map], attributes: { k: attr.int(2) }, outputs: 2 },
  ],
};

export const softmax: Cases = Object.fromEntries(
  ["Softmax", "LogSoftmax", "Hardmax"].map((op) => [
    op,
    [
      { name: "last axis", inputs: [map], ...(op === "Hardmax" ? { uncut: "it jumps where two are equal" } : {}) },
      { name: "channels", inputs: [map], attributes: { axis: attr.int(1) } },
      { name: "flattened, opset 11", opset: 11, inputs: [map] },
      { name: "flattened columns, opset 11", opset: 11, inputs: [map], attributes: { axis: attr.int(2) } },
    ],
  ]),
);
