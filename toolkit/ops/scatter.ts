/** Operators that write elements to places that other inputs name. */
import { attrInt, attrString, type OpNode } from "../graph/graph.js";
import { fromNumbers, isNumeric, sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { axisOf, positionOf } from "./dims.js";
import { sameTypeAsFirst } from "./elementwise.js";
import { stridesOf } from "./layout.js";
import type { OpRule } from "./rule.js";

const frozenBecause = "writes elements at places that are given by index";

type Combine = (old: number, update: number) => number;

const combinations: Readonly<Record<string, Combine>> = {
  none: (_, v) => v,
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  max: Math.max,
  min: Math.min,
};

/** The data with `updates` combined into the elements that `places` names, in order. */
function written(n: OpNode, data: Tensor, updates: Tensor, places: (i: number) => number): Tensor[] | undefined {
  const combine = combinations[attrString(n, "reduction", "none")];
  if (!combine || !isNumeric(data.elemType)) return undefined;
  const out = toNumbers(data).slice();
  const values = toNumbers(updates);
  for (let i = 0; i < values.length; i++) {
    const p = places(i);
    out[p] = combine(out[p], values[i]);
  }
  return [fromNumbers(data.elemType, out, data.dims)];
}

/** Whole slices at the index tuples of the last axis of `indices` (ONNX ScatterND-11 to -18). */
const ScatterND: OpRule = {
  shape: sameTypeAsFirst,
  evaluate: (n, [data, indices, updates]) => {
    if (!data || !indices || !updates) return undefined;
    const tuple = indices.dims[indices.dims.length - 1];
    const inner = sizeOf(data.dims.slice(tuple));
    const strides = stridesOf(data.dims);
    const index = toNumbers(indices);
    return written(n, data, updates, (i) => {
      const at = Math.floor(i / inner) * tuple;
      let start = i % inner;
      for (let k = 0; k < tuple; k++) start += positionOf(n, index[at + k], data.dims[k]) * strides[k];
      return start;
    });
  },
  frozenBecause,
};

/** One element per index, on one axis (ONNX ScatterElements-11 to -18, and Scatter-9). */
const ScatterElements: OpRule = {
  shape: sameTypeAsFirst,
  evaluate: (n, [data, indices, updates]) => {
    if (!data || !indices || !updates) return undefined;
    const axis = axisOf(n, attrInt(n, "axis", 0), data.dims.length);
    const [from, to] = [stridesOf(indices.dims), stridesOf(data.dims)];
    const index = toNumbers(indices);
    return written(n, data, updates, (i) => {
      let at = 0;
      for (let k = 0; k < to.length; k++) {
        const own = Math.floor(i / from[k]) % indices.dims[k];
        at += to[k] * (k === axis ? positionOf(n, index[i], data.dims[k]) : own);
      }
      return at;
    });
  },
  frozenBecause,
};

/** Rows of a cache, from a position per sample on (ONNX TensorScatter-24). */
const TensorScatter: OpRule = { shape: sameTypeAsFirst, frozenBecause };

export const rules = {
  ScatterND,
  ScatterElements,
  Scatter: { ...ScatterElements },
  TensorScatter,
} satisfies Record<string, OpRule | OpRule[]>;
