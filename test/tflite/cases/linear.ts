/** Matrix products and reductions. */
import { constant, int32s, random } from "../check.js";
import { fullyConnected, get, map, type Numbers, reduce, tabulate, transpose } from "../reference.js";
import { type Case, i8, RELU, rows, sum, x } from "./case.js";

export const reductions: Case[] = (
  [
    ["MEAN", (v: number[]) => sum(v) / v.length],
    ["SUM", sum],
    ["REDUCE_MAX", (v: number[]) => Math.max(...v)],
    ["REDUCE_MIN", (v: number[]) => Math.min(...v)],
    ["REDUCE_PROD", (v: number[]) => v.reduce((p, q) => p * q, 1)],
  ] as const
).flatMap(([type, f]) =>
  [[1, 2], [-1], [2]].flatMap((axes) =>
    [true, false].map(
      (keep): Case => ({
        title: `over axes ${axes}, ${keep ? "kept" : "removed"}`,
        type,
        inputs: [x, int32s("axes", axes)],
        options: { 0: i8(keep ? 1 : 0) },
        wanted: [
          reduce(
            x,
            axes.map((a) => (a + 4) % 4),
            keep,
            f,
          ),
        ],
      }),
    ),
  ),
);
for (const [type, f] of [
  ["ARG_MAX", (v: number[]) => v.indexOf(Math.max(...v))],
  ["ARG_MIN", (v: number[]) => v.indexOf(Math.min(...v))],
] as const)
  for (const out of ["INT32", "INT64"])
    reductions.push({
      title: `over channels, as ${out}`,
      type,
      inputs: [x, int32s("axis", 3)],
      out,
      wanted: [reduce(x, [3], false, f)],
    });

const dense = random([3, 8], 14);
const wide = random([5, 168], 15, -0.2, 0.2);
export const linear: Case[] = [
  {
    title: "of rows",
    type: "FULLY_CONNECTED",
    inputs: [rows, constant("w", dense), constant("b", random([3], 16))],
    wanted: [fullyConnected(rows, dense, random([3], 16))],
  },
  {
    title: "keeping dimensions",
    type: "FULLY_CONNECTED",
    inputs: [rows, constant("w", dense), constant("b", random([3], 16))],
    options: { 0: i8(RELU), 2: i8(1) },
    wanted: [{ ...map(fullyConnected(rows, dense, random([3], 16)), (v) => Math.max(v, 0)), dims: [1, 5, 3] }],
  },
  {
    title: "of an image, without bias",
    type: "FULLY_CONNECTED",
    inputs: [x, constant("w", wide)],
    wanted: [fullyConnected(x, wide)],
  },
  ...[0, 1].flatMap((adjointX) =>
    [0, 1].map((adjointY): Case => {
      const [p, q] = [random([2, 3, 4], 17), random([2, 4, 5], 18)];
      const turn = (v: Numbers, on: number) => (on ? transpose(v, [0, 2, 1]) : v);
      return {
        title: `adjoint ${adjointX} ${adjointY}`,
        type: "BATCH_MATMUL",
        inputs: [turn(p, adjointX), turn(q, adjointY)],
        options: { 0: i8(adjointX), 1: i8(adjointY) },
        wanted: [tabulate([2, 3, 5], (n, i, k) => sum([0, 1, 2, 3].map((j) => get(p, [n, i, j]) * get(q, [n, j, k]))))],
      };
    }),
  ),
];
