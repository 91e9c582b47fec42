import { attr } from "../../../toolkit/graph/graph.js";
import { ints } from "../../../toolkit/graph/tensor.js";
import type { Cases } from "../case.js";

const uncut = (dims: readonly number[]) => ({ live: dims, channels: null });

export const attention: Cases = {
  Attention: [
    { name: "heads apart", opset: 23, inputs: [uncut([2, 3, 4, 8]), uncut([2, 3, 6, 8]), uncut([2, 3, 6, 5])] },
    {
      name: "heads packed, shared keys",
      opset: 23,
      inputs: [uncut([2, 4, 24]), uncut([2, 6, 8]), uncut([2, 6, 10])],
      attributes: { q_num_heads: attr.int(6), kv_num_heads: attr.int(2) },
    },
    {
      name: "values with channels",
      opset: 23,
      inputs: [uncut([1, 3, 4, 8]), uncut([1, 3, 6, 8]), { live: [1, 3, 6, 5], channels: 3 }],
    },
    {
      name: "all with channels, packed",
      opset: 23,
      inputs: [
        { live: [1, 4, 24], channels: 2 },
        { live: [1, 6, 8], channels: 2 },
        { live: [1, 6, 10], channels: 2 },
      ],
      attributes: { q_num_heads: attr.int(6), kv_num_heads: attr.int(2) },
    },
    {
      name: "queries with channels, keys without",
      opset: 23,
      inputs: [{ live: [1, 3, 4, 8], channels: 3 }, uncut([1, 3, 6, 8]), uncut([1, 3, 6, 5])],
      frozen: true,
    },
    {
      name: "with a past",
      opset: 23,
      inputs: [
        ...[uncut([2, 3, 4, 8]), uncut([2, 3, 6, 8]), uncut([2, 3, 6, 5]), null],
        ...[uncut([2, 3, 7, 8]), uncut([2, 3, 7, 5])],
      ],
      outputs: 4,
    },
  ],
  LinearAttention: [
    {
      name: "grouped heads",
      opset: 27,
      inputs: [uncut([2, 5, 24]), uncut([2, 5, 8]), uncut([2, 5, 6]), null, uncut([2, 5, 2]), uncut([2, 5, 2])],
      attributes: { q_num_heads: attr.int(6), kv_num_heads: attr.int(2) },
      outputs: 2,
      specified: [
        { elemType: "float32", dims: [2, 5, 18] },
        { elemType: "float32", dims: [2, 2, 4, 3] },
      ],
    },
  ],
  RotaryEmbedding: [
    {
      name: "by position",
      opset: 23,
      inputs: [{ live: [1, 2, 3, 8] }, { parameter: [9, 4] }, { parameter: [9, 4] }, ints([0, 1, 2], [1, 3])],
      frozen: true,
    },
  ],
};

export const einsum: Cases = {
  Einsum: [
    {
      name: "batched product",
      inputs: [uncut([2, 3, 4]), uncut([2, 4, 5])],
      attributes: { equation: attr.string("bij,bjk->bik") },
    },
    {
      name: "no output named",
      inputs: [uncut([3, 4]), uncut([4, 5])],
      attributes: { equation: attr.string("ij, jk") },
    },
    {
      name: "ellipsis",
      inputs: [uncut([2, 7, 3, 4]), uncut([1, 7, 4, 5])],
      attributes: { equation: attr.string("...ij,...jk->...ki") },
    },
    {
      name: "tokens by a weight",
      inputs: [{ live: [2, 3, 6], channels: 2 }, { parameter: [6, 2, 4] }],
      attributes: { equation: attr.string("btc,chd->bhtd") },
    },
    {
      name: "channels of two activations, summed",
      inputs: [{ live: [2, 6, 3] }, { live: [2, 6, 4] }],
      attributes: { equation: attr.string("bci,bcj->bij") },
    },
    {
      name: "summed over channels and rows",
      inputs: [{ live: [1, 6, 4, 3] }, { parameter: [5, 6, 4] }],
      attributes: { equation: attr.string("nchw,och->now") },
    },
    { name: "diagonal", inputs: [uncut([2, 4, 4])], attributes: { equation: attr.string("bii->bi") } },
  ],
};
