/** MEAN, SUM and their like over axes, ARG_MAX and ARG_MIN. */
import { type Attribute, attr, opsetOf } from "../../graph/graph.js";
import type { Converter } from "../context.js";
import { channelsFirst, type Layout, physical, sameLayout } from "../layout.js";
import { option } from "../schema.js";
import { reshaped } from "./reshaping.js";
import { onnxType } from "./types.js";

/** Operator set from which on the axes are an input. */
const AXES_ARE_INPUT = 18;

const image = channelsFirst(4);

const reduction =
  (opType: string, axesAreInputSince = AXES_ARE_INPUT): Converter =>
  (c) => {
    const v = c.input(0);
    const rank = v.dims.length;
    const axes = [...new Set(c.numbers(1, "axes").map((a) => c.axis(a, rank)))].sort((a, b) => a - b);
    const keep = c.options?.bool(option.reducer.keepDims) === true;
    if (axes.includes(0)) c.fixBatch("it reduces the first axis");
    const layout = c.ownLayout(v);
    const one = v.dims.map((d, axis) => (axes.includes(axis) ? 1 : d));
    if (opType === "ReduceMean" && sameLayout(layout, image) && axes.join() === "1,2") {
      const ref = c.toGrid(0, c.emit(0, "GlobalAveragePool", [c.real(v, layout)], {}, !keep));
      const facts = c.declared(0);
      const pooled = c.values.computed(facts.name, one, facts, [{ layout, ref }]);
      c.pass(0, keep ? pooled : reshaped(c, pooled, [v.dims[0], v.dims[3]]));
      return;
    }
    const places = axes.map((axis) => layout.indexOf(axis)).sort((a, b) => a - b);
    const keepdims = attr.int(keep ? 1 : 0);
    const byInput = opsetOf(c.b.graph) >= axesAreInputSince;
    const x = c.real(v, layout);
    const y = byInput
      ? c.emit(0, opType, [x, c.b.ints(places)], { keepdims })
      : c.emit(0, opType, [x], { keepdims, axes: attr.ints(places) });
    const left = one.map((_, axis) => axis).filter((axis) => keep || !axes.includes(axis));
    const out: Layout = layout.filter((axis) => left.includes(axis)).map((axis) => left.indexOf(axis));
    c.define(0, y, out, physical(one, left));
  };

const argument =
  (opType: string): Converter =>
  (c) => {
    const v = c.input(0);
    const rank = v.dims.length;
    const axis = c.axis(c.numbers(1, "axis")[0] ?? 0, rank);
    if (axis === 0) c.fixBatch("it reduces the first axis");
    const layout = c.ownLayout(v);
    const { elemType } = c.declared(0);
    const attributes: Record<string, Attribute> = { axis: attr.int(layout.indexOf(axis)), keepdims: attr.int(0) };
    const more = elemType !== "int64";
    const index = c.emit(0, opType, [c.real(v, layout)], attributes, more);
    const y = more ? c.emit(0, "Cast", [index], { to: attr.int(onnxType(c, elemType)) }) : index;
    const left = v.dims.map((_, a) => a).filter((a) => a !== axis);
    const out = layout.filter((a) => a !== axis).map((a) => left.indexOf(a));
    c.define(0, y, out, physical(v.dims, left), elemType);
  };

export const converters: Record<string, Converter> = {
  MEAN: reduction("ReduceMean"),
  SUM: reduction("ReduceSum", 13),
  REDUCE_MAX: reduction("ReduceMax"),
  REDUCE_MIN: reduction("ReduceMin"),
  REDUCE_PROD: reduction("ReduceProd"),
  ARG_MAX: argument("ArgMax"),
  ARG_MIN: argument("ArgMin"),
};
