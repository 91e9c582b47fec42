/** Operators that write elements to places that other inputs name. */
import { ModelError } from "../graph/errors.js";
import { at, attrInt, attrString, type Dim, type OpNode } from "../graph/graph.js";
import { fromNumbers, isNumeric, sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { axisOf, checkElementIndices, inputType, positionOf } from "./dims.js";
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

const sameWhereKnown = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((d, k) => d === b[k] || typeof d !== "number" || typeof b[k] !== "number");

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
  shape: (n, c) => {
    const x = inputType(n, c, 0);
    const [indices, updates] = [inputType(n, c, 1).dims, inputType(n, c, 2).dims];
    const tuple = indices?.[indices.length - 1];
    if (!x.dims || !indices || !updates || typeof tuple !== "number") return [x];
    const wanted = [...indices.slice(0, -1), ...x.dims.slice(tuple)];
    if (tuple > x.dims.length || !sameWhereKnown(wanted, updates)) {
      const what = `updates of [${updates.join()}] at index tuples of ${tuple} do not fit into [${x.dims.join()}]`;
      throw new ModelError("shape-mismatch", `${at(n)}: ${what}`, { where: at(n) });
    }
    return [x];
  },
  evaluate: (n, [data, indices, updates]) => {
    if (!data || !indices || !updates) return undefined;
    const tuple = indices.dims[indices.dims.length - 1];
    const inner = sizeOf(data.dims.slice(tuple));
    const strides = stridesOf(data.dims);
    const index = toNumbers(indices);
    return written(n, data, updates, (i) => {
      const first = Math.floor(i / inner) * tuple;
      let start = i % inner;
      for (let k = 0; k < tuple; k++) start += positionOf(n, index[first + k], data.dims[k]) * strides[k];
      return start;
    });
  },
  frozenBecause,
};

/** One element per index, on one axis (ONNX ScatterElements-11 to -18, and Scatter-9). */
const ScatterElements: OpRule = {
  shape: (n, c) => {
    const x = inputType(n, c, 0);
    const [indices, updates] = [inputType(n, c, 1).dims, inputType(n, c, 2).dims];
    if (x.dims && indices) checkElementIndices(n, x.dims, indices, axisOf(n, attrInt(n, "axis", 0), x.dims.length));
    if (indices && updates && !sameWhereKnown(indices, updates)) {
      const what = `indices of [${indices.join()}] for updates of [${updates.join()}]`;
      throw new ModelError("shape-mismatch", `${at(n)}: ${what}`, { where: at(n) });
    }
    return [x];
  },
  evaluate: (n, [data, indices, updates]) => {
    if (!data || !indices || !updates) return undefined;
    const axis = axisOf(n, attrInt(n, "axis", 0), data.dims.length);
    const [from, to] = [stridesOf(indices.dims), stridesOf(data.dims)];
    const index = toNumbers(indices);
    return written(n, data, updates, (i) => {
      let place = 0;
      for (let k = 0; k < to.length; k++) {
        const own = Math.floor(i / from[k]) % indices.dims[k];
        place += to[k] * (k === axis ? positionOf(n, index[i], data.dims[k]) : own);
      }
      return place;
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
