/** Arithmetic on small constants, done at import: TFLite computes shapes by operators (SHAPE, STRIDED_SLICE, MUL, PACK, RESHAPE). */
import { type ElemType, fromNumbers, toNumberArray } from "../../graph/tensor.js";
import type { Call } from "../context.js";
import { option } from "../schema.js";
import { stridedRanges } from "./selection.js";

/** Numbers in the largest constant that is folded. */
const MOST = 1024;

type Fold = (c: Call, inputs: readonly number[][]) => number[] | undefined;

const pairwise =
  (f: (a: number, b: number) => number): Fold =>
  (_c, [a, b]) => {
    if (a.length === b.length) return a.map((v, i) => f(v, b[i]));
    if (b.length === 1) return a.map((v) => f(v, b[0]));
    return a.length === 1 ? b.map((v) => f(a[0], v)) : undefined;
  };

const join: Fold = (_c, inputs) => inputs.flat();

/** For vectors and scalars of whole numbers. */
const folds: Record<string, Fold> = {
  ADD: pairwise((a, b) => a + b),
  SUB: pairwise((a, b) => a - b),
  MUL: pairwise((a, b) => a * b),
  DIV: pairwise((a, b) => Math.trunc(a / b)),
  FLOOR_DIV: pairwise((a, b) => Math.floor(a / b)),
  MAXIMUM: pairwise(Math.max),
  MINIMUM: pairwise(Math.min),
  CONCATENATION: join,
  PACK: join,
  CAST: (_c, [a]) => a,
  REDUCE_PROD: (_c, [a]) => [a.reduce((p, v) => p * v, 1)],
  GATHER: (c, [a, at]) => (c.options?.i32(option.gather.batchDims) ? undefined : at.map((i) => a[i])),
  SLICE: (_c, [a, [begin], [size]]) => a.slice(begin, size === -1 ? undefined : begin + size),
  STRIDED_SLICE: (c, [a]) => {
    const [{ start, count, step }] = stridedRanges(c, [a.length]).ranges;
    return Array.from({ length: count }, (_, i) => a[start + i * step]);
  },
};

/** Operators whose result is a scalar where they say so, or where all inputs are. */
function isScalar(c: Call): boolean {
  const { type } = c.op;
  if (type === "CONCATENATION" || type === "PACK" || type === "SLICE") return false;
  if (type === "REDUCE_PROD") return c.options?.bool(option.reducer.keepDims) !== true;
  if (type === "STRIDED_SLICE") return ((c.options?.i32(option.stridedSlice.shrink) ?? 0) & 1) === 1;
  if (type === "GATHER") return c.input(1).dims.length === 0;
  return c.inputs().every((v) => v.dims.length === 0);
}

/** Computes the operator now if it works on small vectors of whole numbers, all of them known. Returns whether it did. */
export function fold(c: Call): boolean {
  const f = folds[c.op.type];
  if (!f || c.outputCount !== 1 || c.inputCount === 0 || c.op.inputs.some((i) => i < 0)) return false;
  const inputs = c.inputs();
  const whole = (t: ElemType): boolean => t === "int32" || t === "int64";
  const { elemType } = c.declared(0);
  const small = inputs.every(
    (v) => v.constant && whole(v.elemType) && !v.quantization && v.dims.length < 2 && v.constant.data.length <= MOST,
  );
  if (!small || !whole(elemType)) return false;
  const values = f(
    c,
    inputs.map((v) => toNumberArray(v.constant!)),
  );
  if (!values || values.length === 0 || values.length > MOST || !values.every(Number.isSafeInteger)) return false;
  const dims = isScalar(c) ? [] : [values.length];
  if (dims.length === 0 && values.length !== 1) return false;
  c.storeConstant(0, fromNumbers(elemType, values, dims), inputs.some((v) => v.fromShape) ? { fromShape: true } : {});
  return true;
}
