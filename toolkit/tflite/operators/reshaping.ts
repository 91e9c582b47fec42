/** RESHAPE, SQUEEZE, EXPAND_DIMS and TRANSPOSE: the same elements under other axes, at the price of few Transpose nodes or none. */
import { sizeOf } from "../../graph/tensor.js";
import type { Call, Converter } from "../context.js";
import { asInFile, channelsFirst, layoutBefore, permute, physical, reshapedLayout, sameLayout } from "../layout.js";
import { option } from "../schema.js";
import type { Value } from "../values.js";

/** The value with another shape, on its own grid. Done in memory as it lies wherever that gives the same elements. */
export function reshaped(c: Call, v: Value, dims: readonly number[], name = v.name): Value {
  if (dims.join() === v.dims.join()) return { ...v, name };
  if (sizeOf(dims) !== sizeOf(v.dims))
    throw c.fail("shape-mismatch", `shape [${v.dims}] has ${sizeOf(v.dims)} elements, shape [${dims}] ${sizeOf(dims)}`);
  if (v.constant) return reshapedConstant(c, v, dims, name);
  const batch = v.dims[0] === dims[0];
  if (!batch) c.fixBatch("it reshapes the first axis");
  for (const form of v.forms) {
    const layout = reshapedLayout(v.dims, form.layout, dims);
    if (!layout) continue;
    const ref = c.values.reshape(form.ref, physical(v.dims, form.layout), physical(dims, layout), name);
    return c.values.computed(name, dims, c.facts(v), [{ layout, ref }]);
  }
  if (batch && dims.length === 2 && v.forms.length > 0)
    return { ...c.values.computed(name, dims, c.facts(v), []), flattened: v };
  const image = channelsFirst(dims.length);
  const fromImage = v.forms.some((f) => !sameLayout(f.layout, asInFile(v.dims.length)));
  const before = fromImage ? layoutBefore(v.dims, dims, image) : undefined;
  const from = before ?? asInFile(v.dims.length);
  const layout = before ? image : asInFile(dims.length);
  const x = c.values.stored(v, from);
  const ref = c.values.reshape(x, physical(v.dims, from), physical(dims, layout), name);
  return c.values.computed(name, dims, c.facts(v), [{ layout, ref }]);
}

function reshapedConstant(c: Call, v: Value, dims: readonly number[], name: string): Value {
  if (v.quantization?.axis !== undefined) throw c.unsupported(`it reshapes "${v.name}", which has a scale per channel`);
  return { ...v, name, dims, constant: { ...v.constant!, dims }, forms: [], reals: [] };
}

const reshape: Converter = (c) => {
  const v = c.input(0);
  const wanted = c.has(1) ? c.numbers(1, "new shape") : (c.options?.i32s(option.reshape.newShape) ?? []);
  const open = wanted.indexOf(-1);
  const rest = wanted.filter((d) => d !== -1);
  const dims = [...wanted];
  if (open >= 0) dims[open] = sizeOf(v.dims) / sizeOf(rest);
  if (dims.some((d) => d < 1 || !Number.isInteger(d)))
    throw c.fail("shape-mismatch", `shape [${v.dims}] cannot become [${wanted}]`);
  c.pass(0, reshaped(c, v, dims));
};

const squeeze: Converter = (c) => {
  const v = c.input(0);
  const listed = (c.options?.i32s(option.squeeze.axes) ?? []).map((a) => c.axis(a, v.dims.length));
  const gone = (d: number, axis: number): boolean => (listed.length === 0 ? d === 1 : listed.includes(axis));
  if (listed.some((axis) => v.dims[axis] !== 1))
    throw c.fail("shape-mismatch", `axes ${listed} of shape [${v.dims}] are not all 1`);
  c.pass(
    0,
    reshaped(
      c,
      v,
      v.dims.filter((d, axis) => !gone(d, axis)),
    ),
  );
};

const expandDims: Converter = (c) => {
  const v = c.input(0);
  const [axis] = c.numbers(1, "axis");
  c.pass(0, expanded(c, v, c.axis(axis ?? 0, v.dims.length + 1)));
};

/** The value with an axis of size 1 before `axis`. */
export const expanded = (c: Call, v: Value, axis: number): Value =>
  reshaped(c, v, [...v.dims.slice(0, axis), 1, ...v.dims.slice(axis)]);

/** Nothing moves: the same memory is read under the new order of axes. */
const transpose: Converter = (c) => {
  const v = c.input(0);
  const rank = v.dims.length;
  const perm = c.numbers(1, "order of axes").map((a) => c.axis(a, rank));
  if (perm.length !== rank || new Set(perm).size !== rank)
    throw c.fail("damaged", `[${perm}] is no order of ${rank} axes`);
  if (rank > 0 && perm[0] !== 0) c.fixBatch("it moves the first axis");
  c.pass(0, transposed(c, v, perm));
};

function transposed(c: Call, v: Value, perm: readonly number[]): Value {
  const dims = physical(v.dims, perm);
  if (v.constant) {
    const axis = v.quantization?.axis;
    const quantization =
      v.quantization && axis !== undefined ? { ...v.quantization, axis: perm.indexOf(axis) } : v.quantization;
    const constant = permute(v.constant, perm);
    return { ...v, dims, constant, ...(quantization ? { quantization } : {}), forms: [], reals: [] };
  }
  if (v.forms.length === 0) c.values.stored(v, asInFile(v.dims.length));
  const forms = v.forms.map((f) => ({ ref: f.ref, layout: f.layout.map((axis) => perm.indexOf(axis)) }));
  const out = c.values.computed(v.name, dims, c.facts(v), forms);
  // What is already there under both orders costs nothing to anyone.
  for (const r of v.reals) {
    const layout = r.layout.map((axis) => perm.indexOf(axis));
    if (!out.reals.some((f) => sameLayout(f.layout, layout))) out.reals.push({ ref: r.ref, layout });
  }
  return out;
}

export const converters: Record<string, Converter> = {
  RESHAPE: reshape,
  SQUEEZE: squeeze,
  EXPAND_DIMS: expandDims,
  TRANSPOSE: transpose,
};
