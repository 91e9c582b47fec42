/** Operators about shapes, and makers of constants: Shape, Size, Constant, ConstantOfShape, Range. */
import { ModelError } from "../graph/errors.js";
import { at, attrInt, type Dim, type OpNode, type ValueType } from "../graph/graph.js";
import {
  type ElemType,
  floats,
  fromNumbers,
  ints,
  scalar,
  sizeOf,
  type Tensor,
  toNumberArray,
  toNumbers,
} from "../graph/tensor.js";
import { asDim, inputDims, inputType, productOf, unknownDimension } from "./dims.js";
import { stridesOf } from "./layout.js";
import { passAxes } from "./links.js";
import type { OpRule } from "./rule.js";

const readsLengths = passAxes(() => false, "reads its length at run time (give dynamic dimensions a value)");

/** The part of the shape that `start` and `end` (opset 15) select. */
function shapePart(n: OpNode, dims: readonly Dim[]): readonly Dim[] {
  const end = n.attributes.end ? attrInt(n, "end", 0) : dims.length;
  return dims.slice(attrInt(n, "start", 0), end);
}

const Shape: OpRule = {
  shape: (n, c) => {
    const { dims } = inputType(n, c, 0);
    return [{ elemType: "int64", dims: [dims ? shapePart(n, dims).length : null] }];
  },
  fromTypes: (n, [x]) => x?.dims && [shapePart(n, x.dims)],
  channels: (n, c) => readsLengths({ ...n, outputs: [] }, c),
};

const Size: OpRule = {
  shape: () => [{ elemType: "int64", dims: [] }],
  fromTypes: (_, [x]) => x?.dims && [[asDim(productOf(x.dims))]],
  channels: (n, c) => readsLengths({ ...n, outputs: [] }, c),
};

/** The value that a Constant node holds, in any of its attribute forms. Throws ModelError for kinds without a tensor. */
export function constantValue(n: OpNode): Tensor {
  const { value, value_float, value_floats, value_int, value_ints, value_string, value_strings, sparse_value } =
    n.attributes;
  if (value?.type === "tensor") return value.value;
  if (value_float?.type === "float") return scalar(value_float.value);
  if (value_floats?.type === "floats") return floats([...value_floats.value]);
  if (value_int?.type === "int") return ints([value_int.value], []);
  if (value_ints?.type === "ints") return ints([...value_ints.value]);
  if (sparse_value?.type === "opaque" && sparse_value.dense) return sparse_value.dense;
  if (value_string?.type === "string") return { elemType: "string", dims: [], data: [value_string.value] };
  if (value_strings?.type === "strings") {
    return { elemType: "string", dims: [value_strings.value.length], data: [...value_strings.value] };
  }
  throw new ModelError("constant", `${at(n)} holds no dense tensor`, { where: at(n) });
}

const Constant: OpRule = {
  shape: (n) => {
    const { elemType, dims } = constantValue(n);
    return [{ elemType, dims }];
  },
  evaluate: (n) => [constantValue(n)],
};

/** float32 zero unless the `value` attribute says otherwise. */
const filler = (n: OpNode): Tensor => (n.attributes.value?.type === "tensor" ? n.attributes.value.value : scalar(0));

const ConstantOfShape: OpRule = {
  shape: (n, c) => {
    const dims = c.shapeValue(0);
    if (!dims) throw unknownDimension(n, `the shape "${n.inputs[0]}"`);
    return [{ elemType: filler(n).elemType, dims }];
  },
  evaluate: (n, [shape]) => {
    if (!shape) return undefined;
    const dims = toNumberArray(shape);
    const { elemType } = filler(n);
    const [v] = toNumbers(filler(n));
    return [fromNumbers(elemType, new Float64Array(sizeOf(dims)).fill(v), dims)];
  },
};

const rangeLength = (start: number, limit: number, delta: number): number =>
  Math.max(0, Math.ceil((limit - start) / delta));

const Range: OpRule = {
  shape: (n, c): ValueType[] => {
    const elemType: ElemType = inputType(n, c, 0).elemType;
    const [start, limit, delta] = [0, 1, 2].map((i) => {
      const t = c.constant(i);
      return t && toNumbers(t)[0];
    });
    if (start === undefined || limit === undefined || delta === undefined)
      throw unknownDimension(n, "its start, limit and step");
    return [{ elemType, dims: [rangeLength(start, limit, delta)] }];
  },
  evaluate: (_, inputs) => {
    if (inputs.some((t) => t === undefined)) return undefined;
    const [start, limit, delta] = inputs.map((t) => toNumbers(t as Tensor)[0]);
    const length = rangeLength(start, limit, delta);
    return [
      fromNumbers(
        (inputs[0] as Tensor).elemType,
        Array.from({ length }, (_, i) => start + i * delta),
        [length],
      ),
    ];
  },
};

const nonZero = (t: Tensor): number[] => Array.from(toNumbers(t)).flatMap((v, i) => (v !== 0 ? [i] : []));

/** Places of the non-zero elements, one row per axis; how many there are shows at run time where the input is not constant. */
const NonZero: OpRule = {
  shape: (n, c) => {
    const x = c.constant(0);
    return [{ elemType: "int64", dims: [inputDims(n, c, 0).length, x ? nonZero(x).length : null] }];
  },
  evaluate: (_, [x]) => {
    if (!x) return undefined;
    const places = nonZero(x);
    const rows = stridesOf(x.dims).map((step, k) => places.map((i) => Math.floor(i / step) % x.dims[k]));
    return [ints(rows.flat(), [rows.length, places.length])];
  },
  frozenBecause: "counts its elements",
};

export const rules = { Shape, Size, Constant, ConstantOfShape, Range, NonZero } satisfies Record<
  string,
  OpRule | OpRule[]
>;
