/** Convolutions, pools and resampling. */
import { constant, int32s, random } from "../check.js";
import { conv2d, depthwise, get, map, pool, reduce, resize, tabulate, transposeConv } from "../reference.js";
import { b, type Case, i8, i32, RELU, RELU_N1, RELU6, sum, TANH, w, x } from "./case.js";

export const convolutions: Case[] = [];
for (const same of [true, false])
  for (const stride of [1, 2, 3])
    convolutions.push({
      title: `${same ? "SAME" : "VALID"}, stride ${stride}`,
      type: "CONV_2D",
      inputs: [x, constant("w", w), constant("b", b)],
      options: { 0: i8(same ? 0 : 1), 1: i32(stride), 2: i32(stride) },
      wanted: [conv2d(x, w, b, { strides: [stride, stride], same })],
    });
const dw1 = random([1, 3, 3, 4], 5);
const dw2 = random([1, 5, 3, 8], 6);
const grouped = random([6, 3, 3, 2], 7);
const wt = random([5, 3, 2, 4], 8);
convolutions.push(
  {
    title: "dilated, uneven strides, no bias, fused RELU6",
    type: "CONV_2D",
    inputs: [map(x, (v) => 4 * v), constant("w", w)],
    options: { 0: i8(0), 1: i32(1), 2: i32(1), 3: i8(RELU6), 4: i32(2), 5: i32(3) },
    wanted: [
      map(
        conv2d(
          map(x, (v) => 4 * v),
          w,
          undefined,
          { strides: [1, 1], dilations: [3, 2], same: true },
        ),
        (v) => Math.min(Math.max(v, 0), 6),
      ),
    ],
  },
  {
    title: "wider than high strides",
    type: "CONV_2D",
    inputs: [x, constant("w", w), constant("b", b)],
    options: { 0: i8(0), 1: i32(3), 2: i32(1), 3: i8(TANH) },
    wanted: [map(conv2d(x, w, b, { strides: [1, 3], same: true }), Math.tanh)],
  },
  {
    title: "in groups",
    type: "CONV_2D",
    inputs: [x, constant("w", grouped), constant("b", b)],
    options: { 0: i8(0), 1: i32(1), 2: i32(1) },
    wanted: [conv2d(x, grouped, b, { strides: [1, 1], same: true })],
  },
  {
    title: "one to one, fused RELU",
    type: "DEPTHWISE_CONV_2D",
    inputs: [x, constant("w", dw1)],
    options: { 0: i8(0), 1: i32(2), 2: i32(2), 3: i32(1), 4: i8(RELU) },
    wanted: [map(depthwise(x, dw1, undefined, { strides: [2, 2], same: true }), (v) => Math.max(v, 0))],
  },
  {
    title: "multiplier 2, VALID, dilated",
    type: "DEPTHWISE_CONV_2D",
    inputs: [x, constant("w", dw2), constant("b", random([8], 9))],
    options: { 0: i8(1), 1: i32(1), 2: i32(1), 3: i32(2), 5: i32(2), 6: i32(1) },
    wanted: [depthwise(x, dw2, random([8], 9), { strides: [1, 1], dilations: [1, 2], same: false })],
  },
  ...(
    [
      ["SAME", [1, 14, 12, 5], 2],
      ["SAME, odd size", [1, 13, 11, 5], 2],
      ["VALID", [1, 15, 12, 5], 2],
      ["VALID, with a rest", [1, 16, 13, 5], 2],
      ["SAME, kernel smaller than stride", [1, 28, 24, 5], 4],
    ] as const
  ).map(([title, out, stride]): Case => {
    const same = title.startsWith("SAME");
    return {
      title,
      type: "TRANSPOSE_CONV",
      inputs: [int32s("shape", out), constant("w", wt), x],
      options: { 0: i8(same ? 0 : 1), 1: i32(stride), 2: i32(stride) },
      wanted: [transposeConv(x, wt, out, [stride, stride], same)],
    };
  }),
);

export const pools: Case[] = (["average", "max"] as const).flatMap((kind) =>
  [true, false].map((same): Case => {
    const window = { kernel: [3, 2] as const, strides: [2, 1] as const, same };
    return {
      title: same ? "SAME" : "VALID",
      type: kind === "max" ? "MAX_POOL_2D" : "AVERAGE_POOL_2D",
      inputs: [x],
      options: { 0: i8(same ? 0 : 1), 1: i32(1), 2: i32(2), 3: i32(2), 4: i32(3), 5: i8(RELU_N1) },
      wanted: [map(pool(x, window, kind), (v) => Math.min(Math.max(v, -1), 1))],
    };
  }),
);
pools.push({
  title: "of the whole image",
  type: "AVERAGE_POOL_2D",
  inputs: [x],
  options: { 0: i8(1), 1: i32(1), 2: i32(1), 3: i32(6), 4: i32(7) },
  wanted: [reduce(x, [1, 2], true, (v) => sum(v) / v.length)],
});

export const resizes: Case[] = (["bilinear", "nearest"] as const).flatMap((mode) =>
  (
    [
      [14, 12],
      [20, 4],
      [3, 11],
    ] as const
  ).flatMap((size) =>
    [
      [0, 0],
      [1, 0],
      [0, 1],
    ].map(([corners, centers]): Case => {
      const first = mode === "bilinear" ? 2 : 0;
      return {
        title: `to ${size}, corners ${corners}, centres ${centers}`,
        type: mode === "bilinear" ? "RESIZE_BILINEAR" : "RESIZE_NEAREST_NEIGHBOR",
        inputs: [x, int32s("size", size)],
        options: { [first]: i8(corners), [first + 1]: i8(centers) },
        wanted: [resize(x, size, mode, corners === 1, centers === 1)],
      };
    }),
  ),
);
const square = random([1, 4, 6, 3], 21);
const deep = random([1, 2, 3, 12], 22);
resizes.push(
  {
    title: "in blocks of 2",
    type: "SPACE_TO_DEPTH",
    inputs: [square],
    options: { 0: i32(2) },
    wanted: [
      tabulate([1, 2, 3, 12], (n, i, k, c) =>
        get(square, [n, 2 * i + Math.floor(c / 6), 2 * k + (Math.floor(c / 3) % 2), c % 3]),
      ),
    ],
  },
  {
    title: "in blocks of 2",
    type: "DEPTH_TO_SPACE",
    inputs: [deep],
    options: { 0: i32(2) },
    wanted: [tabulate([1, 4, 6, 3], (n, i, k, c) => get(deep, [n, i >> 1, k >> 1, ((i % 2) * 2 + (k % 2)) * 3 + c]))],
  },
);
