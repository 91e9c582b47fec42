/** Parts of values and values put together: SLICE, STRIDED_SLICE, SPLIT, SPLIT_V, UNPACK, GATHER, CONCATENATION, PACK. */
import { attr } from "../../graph/graph.js";
import type { Call, Converter } from "../context.js";
import { asInFile } from "../layout.js";
import { option } from "../schema.js";
import { unsignedConstant, type Value } from "../values.js";
import { expanded, reshaped } from "./reshaping.js";

/** From `start` in steps of `step`, `count` elements. */
interface Range {
  start: number;
  count: number;
  step: number;
}

/** A part of a value, on its own grid; axes that are taken whole are left alone. */
function sliced(c: Call, v: Value, ranges: readonly Range[], name: string): Value {
  const whole = (r: Range, axis: number): boolean => r.start === 0 && r.step === 1 && r.count === v.dims[axis];
  const axes = ranges.map((_, axis) => axis).filter((axis) => !whole(ranges[axis], axis));
  if (axes.length === 0) return v;
  if (axes[0] === 0) c.fixBatch("it takes a part of the first axis");
  const layout = c.ownLayout(v);
  const end = ({ start, count, step }: Range): number => {
    const past = start + count * step;
    return past < 0 ? -(2 ** 31) : past;
  };
  const lists = [
    axes.map((a) => ranges[a].start),
    axes.map((a) => end(ranges[a])),
    axes.map((a) => layout.indexOf(a)),
    axes.map((a) => ranges[a].step),
  ];
  const inputs = [c.values.stored(v, layout), ...lists.map((l) => c.b.ints(l))];
  const ref = c.b.emit("Slice", inputs, {}, { name: `${name}/Slice`, out: name });
  return c.values.computed(
    name,
    ranges.map((r) => r.count),
    c.facts(v),
    [{ layout, ref }],
  );
}

const slice: Converter = (c) => {
  const v = c.input(0);
  const [begin, size] = [c.numbers(1, "begin"), c.numbers(2, "size")];
  if (begin.length !== v.dims.length || size.length !== v.dims.length)
    throw c.fail("shape-mismatch", `begin [${begin}] and size [${size}] do not fit shape [${v.dims}]`);
  const ranges = v.dims.map((d, axis) => {
    const start = begin[axis];
    const count = size[axis] === -1 ? d - start : size[axis];
    if (start < 0 || count < 1 || start + count > d)
      throw c.fail("shape-mismatch", `${start} to ${start + count} lies outside axis ${axis} of shape [${v.dims}]`);
    return { start, count, step: 1 };
  });
  c.pass(0, sliced(c, v, ranges, c.declared(0).name));
};

/** What STRIDED_SLICE takes of each axis, and the axes that it removes. (tf.strided_slice.) */
export function stridedRanges(c: Call, dims: readonly number[]): { ranges: Range[]; removed: boolean[] } {
  const f = option.stridedSlice;
  const mask = (field: number): number => c.options?.i32(field) ?? 0;
  if (mask(f.ellipsis) || mask(f.newAxis) || c.options?.bool(f.offset))
    throw c.unsupported("an ellipsis, a new axis or an offset in a strided slice is not supported");
  const [begin, end, strides] = [c.numbers(1, "begin"), c.numbers(2, "end"), c.numbers(3, "strides")];
  if (begin.length > dims.length || end.length !== begin.length || strides.length !== begin.length)
    throw c.fail(
      "shape-mismatch",
      `begin [${begin}], end [${end}] and strides [${strides}] do not fit shape [${dims}]`,
    );
  const removed: boolean[] = [];
  const ranges = dims.map((d, axis) => {
    if (axis >= begin.length) return { start: 0, count: d, step: 1 };
    const step = strides[axis];
    if (step === 0) throw c.fail("damaged", "a stride is 0");
    const bit = (field: number): boolean => ((mask(field) >> axis) & 1) === 1;
    const [low, high] = step > 0 ? [0, d] : [-1, d - 1];
    const clamp = (v: number): number => Math.min(Math.max(v < 0 ? v + d : v, low), high);
    if (bit(f.shrink)) {
      removed[axis] = true;
      const start = begin[axis] < 0 ? begin[axis] + d : begin[axis];
      if (start < 0 || start >= d) throw c.fail("shape-mismatch", `index ${begin[axis]} lies outside axis ${axis}`);
      return { start, count: 1, step: 1 };
    }
    const start = bit(f.begin) ? (step > 0 ? 0 : d - 1) : clamp(begin[axis]);
    const stop = bit(f.end) ? (step > 0 ? d : -1) : clamp(end[axis]);
    return { start, count: Math.max(Math.ceil((stop - start) / step), 0), step };
  });
  return { ranges, removed };
}

const stridedSlice: Converter = (c) => {
  const v = c.input(0);
  const { ranges, removed } = stridedRanges(c, v.dims);
  if (ranges.some((r) => r.count < 1)) throw c.unsupported("it takes nothing");
  const { name } = c.declared(0);
  const part = sliced(c, v, ranges, name);
  c.pass(
    0,
    reshaped(
      c,
      part,
      part.dims.filter((_, axis) => !removed[axis]),
      name,
    ),
  );
};

/** The value in parts of the given sizes along an axis, each on the value's grid. */
function split(c: Call, v: Value, axis: number, sizes: readonly number[]): Value[] {
  if (sizes.some((s) => s < 1) || sizes.reduce((a, s) => a + s, 0) !== v.dims[axis])
    throw c.fail("shape-mismatch", `parts of [${sizes}] do not make up axis ${axis} of shape [${v.dims}]`);
  if (sizes.length !== c.outputCount)
    throw c.fail("damaged", `it makes ${sizes.length} parts and has ${c.outputCount} outputs`);
  if (sizes.length === 1) return [v];
  if (axis === 0) c.fixBatch("it splits the first axis");
  const layout = c.ownLayout(v);
  const { name } = c.declared(0);
  const refs = c.b.emitMany(
    "Split",
    [c.values.stored(v, layout), c.b.ints(sizes)],
    { axis: attr.int(layout.indexOf(axis)) },
    {
      name: `${name}/Split`,
      out: name,
      outputs: sizes.length,
    },
  );
  return refs.map((ref, i) => {
    const dims = v.dims.map((d, a) => (a === axis ? sizes[i] : d));
    return c.values.computed(c.declared(i).name, dims, c.facts(v), [{ layout, ref }]);
  });
}

const even = (c: Call, v: Value, axis: number): number[] => {
  const size = v.dims[axis] / c.outputCount;
  if (!Number.isInteger(size))
    throw c.fail("shape-mismatch", `axis ${axis} of shape [${v.dims}] does not fall into ${c.outputCount} parts`);
  return Array(c.outputCount).fill(size);
};

const splitEvenly: Converter = (c) => {
  const v = c.input(1);
  const axis = c.axis(c.numbers(0, "axis")[0] ?? 0, v.dims.length);
  for (const [i, part] of split(c, v, axis, even(c, v, axis)).entries()) c.pass(i, part);
};

const splitBySizes: Converter = (c) => {
  const v = c.input(0);
  const axis = c.axis(c.numbers(2, "axis")[0] ?? 0, v.dims.length);
  const given = c.numbers(1, "sizes");
  const rest = v.dims[axis] - given.reduce((a, s) => a + (s === -1 ? 0 : s), 0);
  const sizes = given.map((s) => (s === -1 ? rest : s));
  for (const [i, part] of split(c, v, axis, sizes).entries()) c.pass(i, part);
};

const unpack: Converter = (c) => {
  const v = c.input(0);
  const axis = c.axis(c.options?.i32(option.unpack.axis) ?? 0, v.dims.length);
  for (const [i, part] of split(c, v, axis, even(c, v, axis)).entries())
    c.pass(
      i,
      reshaped(
        c,
        part,
        part.dims.filter((_, a) => a !== axis),
        c.declared(i).name,
      ),
    );
};

const gather: Converter = (c) => {
  const [v, indices] = [c.input(0), c.input(1)];
  const rank = v.dims.length;
  if (c.options?.i32(option.gather.batchDims)) throw c.unsupported("it gathers per batch");
  const axis = c.axis(c.options?.i32(option.gather.axis) ?? 0, rank);
  if (axis === 0) c.fixBatch("it gathers along the first axis");
  if (indices.elemType !== "int32" && indices.elemType !== "int64")
    throw c.unsupported(`its indices are ${indices.elemType}`);
  // One list of indices leaves the axes where they are; others need the order of the file.
  const layout = indices.dims.length === 1 ? c.ownLayout(v) : asInFile(rank);
  const at = c.values.stored(indices, asInFile(indices.dims.length));
  const { name } = c.declared(0);
  const inputs = [c.values.stored(v, layout), at];
  const ref = c.b.emit(
    "Gather",
    inputs,
    { axis: attr.int(layout.indexOf(axis)) },
    { name: `${name}/Gather`, out: name },
  );
  const dims = [...v.dims.slice(0, axis), ...indices.dims, ...v.dims.slice(axis + 1)];
  const out = indices.dims.length === 1 ? layout : asInFile(dims.length);
  c.pass(0, c.values.computed(name, dims, c.facts(v), [{ layout: out, ref }]));
};

/** Values side by side along an axis: stored integers where all stand on the output's grid, else real numbers. */
function concatenated(c: Call, values: readonly Value[], axis: number): void {
  const [first] = values;
  const rank = first.dims.length;
  for (const v of values) {
    const fits = v.dims.length === rank && v.dims.every((d, a) => a === axis || d === first.dims[a]);
    if (!fits) throw c.fail("shape-mismatch", `shapes [${first.dims}] and [${v.dims}] do not fit along axis ${axis}`);
  }
  const size = values.reduce((n, v) => n + v.dims[axis], 0);
  const dims = first.dims.map((d, a) => (a === axis ? size : d));
  if (axis === 0 && values.length > 1) c.fixBatch("it joins values along the first axis");
  const layout = c.layoutOf(values, rank);
  const activation = c.op.type === "CONCATENATION" ? c.activation(option.concatenation.activation) : "NONE";
  const attributes = { axis: attr.int(layout.indexOf(axis)) };
  if (activation === "NONE" && c.keepsGrid(0, ...values)) {
    const { name } = c.declared(0);
    const refs = values.map((v) => c.values.stored(v, layout));
    c.store(0, c.b.emit("Concat", refs, attributes, { name: `${name}/Concat`, out: name }), layout, dims);
    return;
  }
  const refs = values.map((v) => c.real(v, layout));
  c.define(0, c.activate(0, c.emit(0, "Concat", refs, attributes, activation !== "NONE"), activation), layout, dims);
}

const concatenation: Converter = (c) => {
  const values = c.inputs().map((v) => (c.values.integers ? unsignedConstant(v) : v));
  if (values.length === 0) throw c.fail("damaged", "it has no inputs");
  concatenated(c, values, c.axis(c.options?.i32(option.concatenation.axis) ?? 0, values[0].dims.length));
};

const pack: Converter = (c) => {
  const values = c.inputs();
  if (values.length === 0) throw c.fail("damaged", "it has no inputs");
  const axis = c.axis(c.options?.i32(option.pack.axis) ?? 0, values[0].dims.length + 1);
  concatenated(
    c,
    values.map((v) => expanded(c, v, axis)),
    axis,
  );
};

export const converters: Record<string, Converter> = {
  SLICE: slice,
  STRIDED_SLICE: stridedSlice,
  SPLIT: splitEvenly,
  SPLIT_V: splitBySizes,
  UNPACK: unpack,
  GATHER: gather,
  CONCATENATION: concatenation,
  PACK: pack,
};
