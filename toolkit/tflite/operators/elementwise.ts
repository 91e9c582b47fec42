/** Operators on one or two values, element by element. */
import type { Ref } from "../../graph/builder.js";
import type { Call, Converter } from "../context.js";
import { asInFile, type Layout, permute } from "../layout.js";
import { unsignedConstant, type Value } from "../values.js";
import { reshaped } from "./reshaping.js";

/** The value ready to be broadcast to `layout.length` axes that lie in that layout. */
export function operand(c: Call, given: Value, layout: Layout): Ref {
  const rank = layout.length;
  const v = c.values.integers ? unsignedConstant(given) : given;
  const missing = rank - v.dims.length;
  if (!v.constant) {
    const whole = missing > 0 && !layout.every((axis, i) => axis === i);
    const full = whole ? reshaped(c, v, [...Array(missing).fill(1), ...v.dims]) : v;
    return c.values.real(full, whole || missing === 0 ? layout : asInFile(v.dims.length));
  }
  if (v.fromShape) c.fixBatch("it computes with a shape");
  const dims = [...Array(missing).fill(1), ...v.dims];
  const moved = permute({ ...v.constant, dims }, layout);
  const leading = moved.dims.findIndex((d) => d !== 1);
  const cut = leading < 0 ? rank : leading;
  const t = { ...moved, dims: moved.dims.slice(cut) };
  const axis = v.quantization?.axis;
  const key = `${layout}:${cut}`;
  const known = given.operands?.get(key);
  if (known) return known;
  const ref = c.values.parameter(v.name, t, v, axis === undefined ? undefined : layout.indexOf(axis + missing) - cut);
  given.operands ??= new Map();
  given.operands.set(key, ref);
  return ref;
}

/** A binary operator with numpy's broadcasting, on float32, int32 or int64. */
const binary =
  (opType: string, activated = false): Converter =>
  (c) => {
    const inputs = [c.input(0), c.input(1)];
    const types = inputs.map((v) => c.realType(v));
    if (types[0] !== types[1] || !["float32", "int32", "int64"].includes(types[0]))
      throw c.unsupported(`its inputs are ${types.join(" and ")}`);
    const dims = c.broadcast(inputs[0].dims, inputs[1].dims);
    const layout = c.layoutOf(inputs, dims.length);
    const activation = activated ? c.arithmeticActivation : "NONE";
    const refs = inputs.map((v) => operand(c, v, layout));
    const y = c.emit(0, opType, refs, {}, activation !== "NONE");
    c.define(0, c.activate(0, y, activation), layout, dims, types[0]);
  };

/** Something done to the real numbers of one value, in whatever layout they lie. */
export const unary =
  (emit: (c: Call, x: Ref) => Ref): Converter =>
  (c) => {
    const v = c.input(0);
    const layout = c.ownLayout(v);
    c.define(0, emit(c, c.real(v, layout)), layout, v.dims);
  };

const simple = (opType: string): Converter => unary((c, x) => c.emit(0, opType, [x]));

export const converters: Record<string, Converter> = {
  ADD: binary("Add", true),
  SUB: binary("Sub", true),
  MUL: binary("Mul", true),
  DIV: binary("Div", true),
  MAXIMUM: binary("Max"),
  MINIMUM: binary("Min"),
  POW: binary("Pow"),
  SQUARED_DIFFERENCE: (c) => {
    const inputs = [c.input(0), c.input(1)];
    const dims = c.broadcast(inputs[0].dims, inputs[1].dims);
    const layout = c.layoutOf(inputs, dims.length);
    for (const v of inputs) if (c.realType(v) !== "float32") throw c.unsupported(`"${v.name}" is ${v.elemType}`);
    const [a, b] = inputs.map((v) => operand(c, v, layout));
    const d = c.emit(0, "Sub", [a, b], {}, true);
    c.define(0, c.emit(0, "Mul", [d, d]), layout, dims);
  },
  EXP: simple("Exp"),
  LOG: simple("Log"),
  SQRT: simple("Sqrt"),
  RSQRT: unary((c, x) => c.emit(0, "Reciprocal", [c.emit(0, "Sqrt", [x], {}, true)])),
  SQUARE: unary((c, x) => c.emit(0, "Mul", [x, x])),
  NEG: simple("Neg"),
  ABS: simple("Abs"),
  FLOOR: simple("Floor"),
  CEIL: simple("Ceil"),
  ROUND: simple("Round"),
  SIN: simple("Sin"),
  COS: simple("Cos"),
};
