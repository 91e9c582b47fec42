import { attr } from "../../../toolkit/graph/graph.js";
import type { Cases } from "../case.js";

const domain = "com.microsoft";
const rows = { live: [1, 4, 6], channels: 2 };

/** Operators of com.microsoft (those of ONNX's own domain that bear the same names have cases elsewhere). */
export const contrib: Cases = {
  BiasGelu: [{ name: "rows", domain, inputs: [rows, { parameter: [6] }] }],
  FastGelu: [
    { name: "with a bias", domain, inputs: [rows, { parameter: [6] }] },
    { name: "without", domain, inputs: [rows] },
  ],
  Gelu: [{ name: "rows", domain, inputs: [rows] }],
  QuickGelu: [{ name: "rows", domain, inputs: [rows], attributes: { alpha: attr.float(1.702) } }],
  FusedGemm: [
    {
      name: "with Relu",
      domain,
      inputs: [{ live: [3, 8] }, { parameter: [5, 8] }, { parameter: [5] }],
      attributes: { transB: attr.int(1), activation: attr.string("Relu") },
    },
  ],
  FusedMatMul: [
    {
      name: "scaled scores",
      domain,
      inputs: [
        { live: [1, 2, 3, 4], channels: 3 },
        { live: [1, 2, 5, 4], channels: 3 },
      ],
      attributes: { transB: attr.int(1), alpha: attr.float(0.5) },
    },
    {
      name: "tokens by a weight",
      domain,
      inputs: [{ live: [1, 6, 3] }, { parameter: [6, 5] }],
      attributes: { transA: attr.int(1) },
    },
    {
      name: "batches moved",
      domain,
      inputs: [
        { live: [3, 2, 6], channels: 2 },
        { live: [2, 6, 4], channels: null },
      ],
      attributes: { transBatchA: attr.int(1) },
      frozen: true,
    },
  ],
  SkipLayerNormalization: [
    { name: "scale and shift", domain, inputs: [rows, rows, { parameter: [6] }, { parameter: [6] }] },
    {
      name: "with a bias, and the sum as an output",
      domain,
      inputs: [rows, rows, { parameter: [6] }, { parameter: [6] }, { parameter: [6] }],
      attributes: { epsilon: attr.float(1e-5) },
      outputs: 4,
    },
  ],
};
