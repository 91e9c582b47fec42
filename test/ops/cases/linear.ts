import { attr } from "../../../toolkit/graph/graph.js";
import type { Cases } from "../case.js";

export const linear: Cases = {
  Gemm: [
    { name: "plain", inputs: [{ live: [3, 8] }, { parameter: [8, 5] }, { parameter: [5] }] },
    {
      name: "transposed weight, opset 7",
      opset: 7,
      inputs: [{ live: [3, 8] }, { parameter: [5, 8] }, { parameter: [5] }],
      attributes: { transB: attr.int(1), alpha: attr.float(0.5), beta: attr.float(2) },
    },
    { name: "without bias", inputs: [{ live: [3, 8] }, { parameter: [8, 5] }] },
    { name: "scalar bias", inputs: [{ live: [3, 8] }, { parameter: [8, 5] }, { parameter: [1] }] },
    {
      name: "bias made at run time",
      inputs: [{ live: [3, 8] }, { parameter: [8, 5] }, { live: [3, 5], channels: null }],
    },
    {
      name: "constant on the left",
      inputs: [{ parameter: [3, 8] }, { live: [5, 8] }, { parameter: [3, 1] }],
      attributes: { transB: attr.int(1) },
    },
    { name: "two activations", inputs: [{ live: [3, 8] }, { live: [5, 8] }], attributes: { transB: attr.int(1) } },
    {
      name: "transposed left",
      inputs: [{ live: [8, 3], channels: null }, { parameter: [8, 5] }],
      attributes: { transA: attr.int(1) },
    },
  ],
  MatMul: [
    { name: "matrix", inputs: [{ live: [3, 8] }, { parameter: [8, 5] }] },
    { name: "constant on the left", inputs: [{ parameter: [3, 6] }, { live: [2, 6, 4] }] },
    { name: "tokens", inputs: [{ live: [2, 3, 8], channels: 2 }, { parameter: [8, 5] }] },
    {
      name: "heads, summed",
      inputs: [
        { live: [1, 2, 3, 4], channels: 3 },
        { live: [1, 2, 4, 5], channels: null },
      ],
      frozen: true,
    },
    {
      name: "heads, passed on",
      inputs: [
        { live: [1, 2, 3, 4], channels: null },
        { live: [1, 2, 4, 5], channels: 3 },
      ],
    },
    {
      name: "channels as rows",
      inputs: [{ live: [1, 6, 4] }, { parameter: [4, 5] }],
      uncut: "its result has channels on two axes",
    },
    { name: "vector", inputs: [{ live: [3, 8] }, { parameter: [8] }], uncut: "its result has one axis" },
    {
      name: "broadcast batch",
      inputs: [
        { live: [2, 1, 3, 4], channels: null },
        { live: [5, 4, 2], channels: null },
      ],
    },
  ],
};
