/** Operators on one or two values, element by element, and softmax. */

import type { OptionSpec } from "../build.js";
import { constant, random } from "../check.js";
import { broadcast, map, softmax } from "../reference.js";
import { type Case, f32, i8, other, RELU, x } from "./case.js";

export const binaries: Case[] = (
  [
    ["ADD", (p: number, q: number) => p + q],
    ["SUB", (p: number, q: number) => p - q],
    ["MUL", (p: number, q: number) => p * q],
    ["DIV", (p: number, q: number) => p / q],
    ["MAXIMUM", Math.max],
    ["MINIMUM", Math.min],
    ["POW", (p: number, q: number) => p ** q],
    ["SQUARED_DIFFERENCE", (p: number, q: number) => (p - q) ** 2],
  ] as const
).flatMap(([type, f]): Case[] => {
  const [p, q] = [map(x, (v) => 1 + v / 2), map(other, (v) => 1.5 + v / 2)];
  const channels = random([4], 10, 0.5, 2);
  const rows = random([7, 1, 1], 11, 0.5, 2);
  return [
    { title: "of two images", type, inputs: [p, q], wanted: [broadcast(p, q, f)] },
    {
      title: "with a number per channel",
      type,
      inputs: [p, constant("c", channels)],
      wanted: [broadcast(p, channels, f)],
    },
    { title: "with a number per row, first", type, inputs: [constant("c", rows), p], wanted: [broadcast(rows, p, f)] },
  ];
});
binaries.push({
  title: "with a fused RELU",
  type: "ADD",
  inputs: [x, other],
  options: { 0: i8(RELU) },
  wanted: [broadcast(x, other, (p, q) => Math.max(p + q, 0))],
});

const erf = (v: number): number => {
  // Series of the error function; converges fast for the small numbers here.
  let term = v;
  let total = v;
  for (let n = 1; n < 60; n++) {
    term *= (-v * v) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
};
export const unaries: Case[] = (
  [
    ["RELU", (v: number) => Math.max(v, 0)],
    ["RELU6", (v: number) => Math.min(Math.max(v, 0), 6)],
    ["RELU_N1_TO_1", (v: number) => Math.min(Math.max(v, -1), 1)],
    ["RELU_0_TO_1", (v: number) => Math.min(Math.max(v, 0), 1)],
    ["LOGISTIC", (v: number) => 1 / (1 + Math.exp(-v))],
    ["TANH", Math.tanh],
    ["HARD_SWISH", (v: number) => (v * Math.min(Math.max(v + 3, 0), 6)) / 6],
    ["ELU", (v: number) => (v < 0 ? Math.expm1(v) : v)],
    ["LEAKY_RELU", (v: number) => (v < 0 ? 0.25 * v : v), { 0: f32(0.25) }],
    ["GELU", (v: number) => 0.5 * v * (1 + erf(v / Math.SQRT2))],
    ["GELU", (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))), { 0: i8(1) }],
    ["EXP", Math.exp],
    ["SQUARE", (v: number) => v * v],
    ["NEG", (v: number) => -v],
    ["ABS", Math.abs],
    ["FLOOR", Math.floor],
    ["CEIL", Math.ceil],
    ["ROUND", Math.round],
    ["SIN", Math.sin],
    ["COS", Math.cos],
  ] as [string, (v: number) => number, OptionSpec?][]
).map(([type, f, options]) => {
  const wide = map(x, (v) => 4 * v);
  const of = type === "GELU" ? map(x, (v) => 2 * v) : wide;
  return { title: "of an image", type, inputs: [of], options, wanted: [map(of, f)] };
});
const positive = map(x, (v) => v + 1.5);
for (const [type, f] of [
  ["SQRT", Math.sqrt],
  ["RSQRT", (v: number) => 1 / Math.sqrt(v)],
  ["LOG", Math.log],
] as const)
  unaries.push({ title: "of an image", type, inputs: [positive], wanted: [map(positive, f)] });
const slopes = random([1, 1, 4], 12);
unaries.push(
  {
    title: "with a slope per channel",
    type: "PRELU",
    inputs: [x, constant("slopes", slopes)],
    wanted: [broadcast(x, slopes, (v, s) => (v < 0 ? v * s : v))],
  },
  { title: "over channels", type: "SOFTMAX", inputs: [x], options: { 0: f32(1) }, wanted: [softmax(x)] },
  {
    title: "with beta",
    type: "SOFTMAX",
    inputs: [x],
    options: { 0: f32(2.5) },
    wanted: [softmax(map(x, (v) => 2.5 * v))],
  },
  { title: "over channels", type: "LOG_SOFTMAX", inputs: [x], wanted: [map(softmax(x), Math.log)] },
);

export const types: Case[] = [
  {
    title: "to int32",
    type: "CAST",
    inputs: [map(x, (v) => 5 * v)],
    out: "INT32",
    wanted: [map(x, (v) => Math.trunc(5 * v))],
  },
];
