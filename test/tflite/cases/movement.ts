/** Parts of values, values put together, and the same elements under other axes. */
import { constant, float, int32s, random } from "../check.js";
import { get, map, type Numbers, tabulate, transpose } from "../reference.js";
import { type Case, i8, i32, other, RELU, rows, sum, x } from "./case.js";

const part = (v: Numbers, from: readonly number[], dims: readonly number[], step = 1): Numbers =>
  tabulate(dims, (...at) =>
    get(
      v,
      at.map((i, k) => from[k] + i * (k === 2 ? step : 1)),
    ),
  );
const joined = (parts: readonly Numbers[], axis: number): Numbers => {
  const dims = parts[0].dims.map((d, k) => (k === axis ? sum(parts.map((p) => p.dims[k])) : d));
  return tabulate(dims, (...at) => {
    let [i, k] = [at[axis], 0];
    while (i >= parts[k].dims[axis]) i -= parts[k++].dims[axis];
    return get(
      parts[k],
      at.map((v, a) => (a === axis ? i : v)),
    );
  });
};
const reshape = (v: Numbers, dims: readonly number[]): Numbers => ({ ...v, dims });
const narrow = random([1, 7, 6, 3], 19);
export const selections: Case[] = [
  {
    title: "of all axes but the batch",
    type: "SLICE",
    inputs: [x, int32s("begin", [0, 1, 2, 1]), int32s("size", [1, 5, -1, 2])],
    wanted: [part(x, [0, 1, 2, 1], [1, 5, 4, 2])],
  },
  {
    title: "with masks and a step",
    type: "STRIDED_SLICE",
    inputs: [x, int32s("b", [0, 1, 5, 9]), int32s("e", [1, -1, -9, 3]), int32s("s", [1, 1, -2, 1])],
    options: { 0: i32(1 + 8), 1: i32(1) },
    wanted: [part(x, [0, 1, 5, 0], [1, 5, 3, 3], -2)],
  },
  {
    title: "that removes an axis",
    type: "STRIDED_SLICE",
    inputs: [x, int32s("b", [0, -2, 0]), int32s("e", [0, 0, 0]), int32s("s", [1, 1, 1])],
    options: { 0: i32(1 + 4), 1: i32(1 + 4), 4: i32(2) },
    wanted: [reshape(part(x, [0, 5, 0, 0], [1, 1, 6, 4]), [1, 6, 4])],
  },
  {
    title: "of channels in two",
    type: "SPLIT",
    inputs: [int32s("axis", 3), x],
    options: { 0: i32(2) },
    wanted: [part(x, [0, 0, 0, 0], [1, 7, 6, 2]), part(x, [0, 0, 0, 2], [1, 7, 6, 2])],
  },
  {
    title: "of rows in uneven parts",
    type: "SPLIT_V",
    inputs: [x, int32s("sizes", [2, -1, 1]), int32s("axis", 1)],
    options: { 0: i32(3) },
    wanted: [
      part(x, [0, 0, 0, 0], [1, 2, 6, 4]),
      part(x, [0, 2, 0, 0], [1, 4, 6, 4]),
      part(x, [0, 6, 0, 0], [1, 1, 6, 4]),
    ],
  },
  {
    title: "of channels",
    type: "UNPACK",
    inputs: [x],
    options: { 0: i32(4), 1: i32(-1) },
    wanted: [0, 1, 2, 3].map((c) => reshape(part(x, [0, 0, 0, c], [1, 7, 6, 1]), [1, 7, 6])),
  },
  {
    title: "as a new last axis",
    type: "PACK",
    inputs: [rows, map(rows, (v) => -v)],
    options: { 0: i32(2), 1: i32(-1) },
    wanted: [tabulate([1, 5, 8, 2], (n, i, k, s) => (s ? -1 : 1) * get(rows, [n, i, k]))],
  },
  {
    title: "of channels",
    type: "GATHER",
    inputs: [x, int32s("at", [2, 0, 3])],
    options: { 0: i32(3) },
    wanted: [tabulate([1, 7, 6, 3], (n, i, k, c) => get(x, [n, i, k, [2, 0, 3][c]]))],
  },
  {
    title: "by a table of rows",
    type: "GATHER",
    inputs: [x, { name: "at", type: "INT32", dims: [2, 2], data: [2, 0, 6, 6] }],
    options: { 0: i32(1) },
    wanted: [tabulate([1, 2, 2, 6, 4], (n, i, j, k, c) => get(x, [n, [2, 0, 6, 6][2 * i + j], k, c]))],
  },
  {
    title: "of channels, with a constant",
    type: "CONCATENATION",
    inputs: [x, constant("c", narrow), other],
    options: { 0: i32(3) },
    wanted: [joined([x, narrow, other], 3)],
  },
  {
    title: "of rows, with a fused RELU",
    type: "CONCATENATION",
    inputs: [x, other],
    options: { 0: i32(-3), 1: i8(RELU) },
    wanted: [map(joined([x, other], 1), (v) => Math.max(v, 0))],
  },
];

const mirrored = (i: number, d: number, reflect: boolean): number =>
  i < 0 ? -i - (reflect ? 0 : 1) : i >= d ? 2 * d - 1 - i - (reflect ? 1 : 0) : i;
const pads = { name: "pads", type: "INT32", dims: [4, 2], data: [0, 0, 2, 1, 0, 3, 1, 0] };
export const reshapings: Case[] = [
  { title: "to a matrix", type: "RESHAPE", inputs: [x, int32s("s", [1, -1])], wanted: [reshape(x, [1, 168])] },
  {
    title: "by its options",
    type: "RESHAPE",
    inputs: [x],
    options: { 0: { i32s: [1, 42, 4] } },
    wanted: [reshape(x, [1, 42, 4])],
  },
  {
    title: "of pixels and channels",
    type: "RESHAPE",
    inputs: [x, int32s("s", [1, 84, 2])],
    wanted: [reshape(x, [1, 84, 2])],
  },
  {
    title: "of listed axes",
    type: "SQUEEZE",
    inputs: [random([1, 1, 5, 1], 20)],
    options: { 0: { i32s: [1, -1] } },
    wanted: [reshape(random([1, 1, 5, 1], 20), [1, 5])],
  },
  { title: "at the end", type: "EXPAND_DIMS", inputs: [rows, int32s("a", -1)], wanted: [reshape(rows, [1, 5, 8, 1])] },
  { title: "to nchw", type: "TRANSPOSE", inputs: [x, int32s("p", [0, 3, 1, 2])], wanted: [transpose(x, [0, 3, 1, 2])] },
  {
    title: "of all axes",
    type: "TRANSPOSE",
    inputs: [x, int32s("p", [3, 1, 0, 2])],
    wanted: [transpose(x, [3, 1, 0, 2])],
  },
  {
    title: "with zeros",
    type: "PAD",
    inputs: [x, pads],
    wanted: [tabulate([1, 10, 9, 5], (n, i, k, c) => get(x, [n, i - 2, k, c - 1]))],
  },
  {
    title: "with a number",
    type: "PADV2",
    inputs: [x, pads, float("v", [], [1.5])],
    wanted: [tabulate([1, 10, 9, 5], (n, i, k, c) => get(x, [n, i - 2, k, c - 1], 1.5))],
  },
  ...[true, false].map(
    (reflect): Case => ({
      title: reflect ? "REFLECT" : "SYMMETRIC",
      type: "MIRROR_PAD",
      inputs: [x, pads],
      options: { 0: i8(reflect ? 0 : 1) },
      wanted: [
        tabulate([1, 10, 9, 5], (n, i, k, c) =>
          get(x, [n, mirrored(i - 2, 7, reflect), mirrored(k, 6, reflect), mirrored(c - 1, 4, reflect)]),
        ),
      ],
    }),
  ),
];
