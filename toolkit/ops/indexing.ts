/** Makers of indicator tensors and of lists of what occurs: OneHot, EyeLike, Unique. */
import { attrInt, type Dim } from "../graph/graph.js";
import { fromNumbers, isNumeric, sizeOf, toNumbers } from "../graph/tensor.js";
import { axisOf, inputDims, inputType } from "./dims.js";
import { elemTypeAttribute } from "./elemTypes.js";
import type { OpRule } from "./rule.js";

/** A new axis of `depth` with the second of two values at the index, the first elsewhere (ONNX OneHot-9, -11). */
const OneHot: OpRule = {
  shape: (n, c) => {
    const dims = inputDims(n, c, 0);
    const axis = axisOf(n, attrInt(n, "axis", -1), dims.length + 1);
    const depth = c.shapeValue(1)?.[0] ?? null;
    return [{ elemType: inputType(n, c, 2).elemType, dims: [...dims.slice(0, axis), depth, ...dims.slice(axis)] }];
  },
  evaluate: (n, [indices, depth, values]) => {
    if (!indices || !depth || !values || !isNumeric(values.elemType)) return undefined;
    const axis = axisOf(n, attrInt(n, "axis", -1), indices.dims.length + 1);
    const [length] = toNumbers(depth);
    const [off, on] = toNumbers(values);
    const dims = [...indices.dims.slice(0, axis), length, ...indices.dims.slice(axis)];
    const inner = sizeOf(indices.dims.slice(axis));
    const out = new Float64Array(sizeOf(dims)).fill(off);
    toNumbers(indices).forEach((v, i) => {
      const p = Math.trunc(v < 0 ? v + length : v);
      // An index outside the axis marks nothing.
      if (p >= 0 && p < length) out[(Math.floor(i / inner) * length + p) * inner + (i % inner)] = on;
    });
    return [fromNumbers(values.elemType, out, dims)];
  },
  frozenBecause: "reads indices from it",
};

/** Ones on a diagonal of a matrix of the input's shape (ONNX EyeLike-9). */
const EyeLike: OpRule = {
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    return [{ elemType: elemTypeAttribute(n, "dtype", elemType), dims }];
  },
  evaluate: (n, [x]) => {
    const elemType = x && elemTypeAttribute(n, "dtype", x.elemType);
    if (!elemType || !isNumeric(elemType)) return undefined;
    const out = new Float64Array(sizeOf(x.dims));
    const [rows, columns] = x.dims;
    for (let i = 0; i < rows; i++) {
      const j = i + attrInt(n, "k", 0);
      if (j >= 0 && j < columns) out[i * columns + j] = 1;
    }
    return [fromNumbers(elemType, out, x.dims)];
  },
  frozenBecause: "reads its length at run time",
};

/** What occurs, where first, as which entry, and how often; the count shows only at run time (ONNX Unique-11). */
const Unique: OpRule = {
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const axis = n.attributes.axis && dims ? axisOf(n, attrInt(n, "axis", 0), dims.length) : undefined;
    const flat: Dim = dims?.every((d) => typeof d === "number") ? sizeOf(dims as number[]) : null;
    const from: Dim = axis === undefined ? flat : (dims?.[axis] ?? null);
    const first = n.attributes.axis ? dims?.map((d, k) => (k === axis ? null : d)) : [null];
    const lists = [[null], [from], [null]].map((d) => ({ elemType: "int64" as const, dims: d }));
    return [{ elemType, dims: first }, ...lists].slice(0, n.outputs.length);
  },
  frozenBecause: "sorts its elements",
};

export const rules = { OneHot, EyeLike, Unique } satisfies Record<string, OpRule | OpRule[]>;
