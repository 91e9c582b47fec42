/** Attention over whole sequences, its linear form, and the rotary position encoding that goes with both. */
import { attrInt, type Dim, type OpNode, type ValueType } from "../graph/graph.js";
import { linkAttention, resizeAttention } from "./attentionLinks.js";
import { inputDims, inputType, mapDim, sumDims } from "./dims.js";
import type { OpRule, ShapeContext } from "./rule.js";

/** Axes of a query, key or value: [batch, heads, length, size of a head]. */
export interface Heads {
  batch: Dim;
  heads: Dim;
  length: Dim;
  size: Dim;
}

/** Reads dims of rank 4, or of rank 3 with the heads packed into the last axis. */
export function headsOf(dims: readonly Dim[], packed: number): Heads {
  if (dims.length === 4) return { batch: dims[0], heads: dims[1], length: dims[2], size: dims[3] };
  return { batch: dims[0], heads: packed, length: dims[1], size: mapDim(dims[2], (v) => v / packed) };
}

const times = (a: Dim, b: Dim): Dim => (typeof b === "number" ? mapDim(a, (v) => v * b) : null);

/** Query, key and value of an Attention node, with the lengths that a past adds. */
function attentionParts(n: OpNode, c: ShapeContext): { q: Heads; k: Heads; v: Heads; total: Dim } {
  const q = headsOf(inputDims(n, c, 0), attrInt(n, "q_num_heads", 1));
  const k = headsOf(inputDims(n, c, 1), attrInt(n, "kv_num_heads", 1));
  const v = headsOf(inputDims(n, c, 2), attrInt(n, "kv_num_heads", 1));
  const past = c.input(4)?.dims?.[2];
  return { q, k, v, total: past === undefined ? k.length : sumDims([past, k.length]) };
}

/** softmax(Q·Kᵀ·scale + mask)·V with grouped heads and a cache (ONNX Attention-23, -24). */
const Attention: OpRule = {
  shape: (n, c): ValueType[] => {
    const { elemType, dims } = inputType(n, c, 0);
    const { q, k, v, total } = attentionParts(n, c);
    const packed = dims?.length === 3;
    const valueType = inputType(n, c, 2).elemType;
    return [
      {
        elemType,
        dims: packed ? [q.batch, q.length, times(v.size, q.heads)] : [q.batch, q.heads, q.length, v.size],
      },
      { elemType, dims: [q.batch, k.heads, total, k.size] },
      { elemType: valueType, dims: [q.batch, v.heads, total, v.size] },
      { elemType, dims: [q.batch, q.heads, q.length, total] },
    ].slice(0, n.outputs.length);
  },
  channels: linkAttention,
  resize: resizeAttention,
  // Scores, then their sum over the values.
  macs: (n, [q, k, v]) => {
    const [a, b, d] = [
      headsOf(q, attrInt(n, "q_num_heads", 1)),
      headsOf(k, attrInt(n, "kv_num_heads", 1)),
      headsOf(v, attrInt(n, "kv_num_heads", 1)),
    ] as Record<keyof Heads, number>[];
    return a.batch * a.heads * a.length * b.length * (a.size + d.size);
  },
};

/** Linear attention with a recurrent state (ONNX LinearAttention-27); heads are always packed. */
const LinearAttention: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const query = inputDims(n, c, 0);
    const [queryHeads, heads] = [attrInt(n, "q_num_heads", 1), attrInt(n, "kv_num_heads", 1)];
    const k = headsOf(inputDims(n, c, 1), heads);
    const v = headsOf(inputDims(n, c, 2), heads);
    return [
      { elemType, dims: [query[0], query[1], times(v.size, queryHeads)] },
      { elemType: c.input(3)?.elemType ?? elemType, dims: [query[0], heads, k.size, v.size] },
    ].slice(0, n.outputs.length);
  },
  frozenBecause: "packs heads into one axis",
};

/** Rotates pairs of elements of each head by an angle that depends on the position (ONNX RotaryEmbedding-23). */
const RotaryEmbedding: OpRule = {
  shape: (n, c) => [inputType(n, c, 0)],
  frozenBecause: "rotates pairs of elements of a head together",
};

export const rules = { Attention, LinearAttention, RotaryEmbedding } satisfies Record<string, OpRule | OpRule[]>;
