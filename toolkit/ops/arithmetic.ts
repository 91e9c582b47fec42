/** Element-wise arithmetic on small constants, for shape computations and parameters known beforehand. */
import { type ElemType, fromNumbers, sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { broadcastTo, move } from "./layout.js";

/** Common shape of constants; undefined when they do not fit. */
function commonDims(tensors: readonly Tensor[]): number[] | undefined {
  const rank = Math.max(0, ...tensors.map((t) => t.dims.length));
  const out = new Array<number>(rank).fill(1);
  for (const t of tensors) {
    for (let k = 0; k < t.dims.length; k++) {
      const at = k + rank - t.dims.length;
      if (t.dims[k] === out[at] || t.dims[k] === 1) continue;
      if (out[at] !== 1) return undefined;
      out[at] = t.dims[k];
    }
  }
  return out;
}

/**
 * `f` over broadcast constants. The result has the element type `elemType`, by default that of the first. Undefined for strings,
 * for shapes that do not fit, and where an integer would have no value.
 */
export function mapConstants(
  inputs: readonly (Tensor | undefined)[],
  f: (v: readonly number[]) => number,
  elemType?: ElemType,
): Tensor[] | undefined {
  const tensors = inputs.filter((t) => t !== undefined);
  if (tensors.length === 0 || tensors.length !== inputs.length || tensors.some((t) => Array.isArray(t.data)))
    return undefined;
  const dims = commonDims(tensors);
  if (!dims) return undefined;
  const columns = tensors.map((t) => {
    const values = toNumbers(t);
    const { from } = broadcastTo(t.dims, dims);
    return { values, from };
  });
  const out = new Float64Array(sizeOf(dims));
  const row = new Array<number>(columns.length);
  for (let i = 0; i < out.length; i++) {
    for (let k = 0; k < columns.length; k++) row[k] = columns[k].values[columns[k].from[i]];
    out[i] = f(row);
  }
  return valuesOf(elemType ?? tensors[0].elemType, out, dims);
}

/** Whether an element type counts in whole numbers. */
export const isInteger = (t: ElemType): boolean => /^u?int/.test(t);

/**
 * Results as a tensor of the given type: integers lose their fraction, as they do in the runtime. Undefined where an integer
 * would have no value: what comes then is up to the runtime.
 */
export function valuesOf(elemType: ElemType, values: Float64Array, dims: readonly number[]): Tensor[] | undefined {
  if (!isInteger(elemType)) return [fromNumbers(elemType, values, dims)];
  return values.some(Number.isNaN) ? undefined : [fromNumbers(elemType, values.map(Math.trunc), dims)];
}

/** Broadcast select, for element types that only have to be moved. */
export function selectConstants(condition: Tensor, a: Tensor, b: Tensor): Tensor[] | undefined {
  const dims = commonDims([condition, a, b]);
  if (!dims || Array.isArray(a.data)) return undefined;
  const yes = move(a, broadcastTo(a.dims, dims));
  const no = move(b, broadcastTo(b.dims, dims));
  const chosen = toNumbers(move(condition, broadcastTo(condition.dims, dims)));
  const y = toNumbers(yes);
  const z = toNumbers(no);
  return [
    fromNumbers(
      a.elemType,
      y.map((v, i) => (chosen[i] ? v : z[i])),
      dims,
    ),
  ];
}
