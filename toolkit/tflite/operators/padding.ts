/** PAD, PADV2 and MIRROR_PAD. */
import { attr } from "../../graph/graph.js";
import { ints, type Tensor } from "../../graph/tensor.js";
import type { Call, Converter } from "../context.js";
import { option } from "../schema.js";
import { unsignedConstant, type Value } from "../values.js";

interface Padding {
  before: number[];
  after: number[];
  dims: number[];
}

function paddingOf(c: Call, v: Value): Padding {
  const rank = v.dims.length;
  const list = c.numbers(1, "paddings");
  if (list.length !== 2 * rank || list.some((p) => p < 0))
    throw c.fail("shape-mismatch", `paddings [${list}] do not fit shape [${v.dims}]`);
  const before = v.dims.map((_, axis) => list[2 * axis]);
  const after = v.dims.map((_, axis) => list[2 * axis + 1]);
  if (before[0] || after[0]) c.fixBatch("it pads the first axis");
  return { before, after, dims: v.dims.map((d, axis) => d + before[axis] + after[axis]) };
}

function padded(c: Call, v: Value, p: Padding, mode: "constant" | "reflect", fill?: Tensor): Value {
  const layout = c.ownLayout(v);
  const { name } = c.declared(0);
  const pads = [...layout.map((axis) => p.before[axis]), ...layout.map((axis) => p.after[axis])];
  const inputs = [c.values.stored(v, layout), c.b.ints(pads)];
  if (fill) inputs.push(c.values.initializer(`${name}/fill`, fill));
  const ref = c.b.emit("Pad", inputs, { mode: attr.string(mode) }, { name: `${name}/Pad`, out: name });
  return c.values.computed(name, p.dims, c.facts(v), [{ layout, ref }]);
}

/** Padding with what real 0 is, or with a given constant on the same grid. */
const pad: Converter = (c) => {
  const v = c.input(0);
  const p = paddingOf(c, v);
  if (v.quantization?.axis !== undefined) throw c.unsupported(`"${v.name}" has a scale per channel`);
  let fill = c.values.zero(v);
  if (c.has(2)) {
    const given = c.values.integers ? unsignedConstant(c.input(2)) : c.input(2);
    if (given.constant?.data.length !== 1) throw c.unsupported("its value is computed at run time");
    if (given.elemType !== v.elemType) throw c.fail("damaged", `it pads ${v.elemType} with ${given.elemType}`);
    fill = given.quantization && !c.values.integers ? c.values.plain(given, given.constant) : given.constant;
    fill = { ...fill, dims: [] };
  }
  const zero = Number(fill.data[0]) === Number(c.values.zero(v).data[0]);
  const out = padded(c, v, p, "constant", fill);
  const spatial = v.dims.length === 4 && [0, 3].every((axis) => p.before[axis] === 0 && p.after[axis] === 0);
  // A convolution that reads this can pad by itself.
  if (zero && spatial && !v.constant && c.keepsGrid(0, v))
    out.padded = { of: v, pads: [p.before[1], p.before[2], p.after[1], p.after[2]] };
  c.pass(0, out);
};

const REFLECT = 0;

/** REFLECT leaves the border out, SYMMETRIC repeats it, which ONNX can say only by indices. */
const mirrorPad: Converter = (c) => {
  const v = c.input(0);
  const p = paddingOf(c, v);
  const reflect = (c.options?.i8(option.mirrorPad.mode) ?? REFLECT) === REFLECT;
  const room = reflect ? -1 : 0;
  if (v.dims.some((d, axis) => Math.max(p.before[axis], p.after[axis]) > d + room))
    throw c.fail("shape-mismatch", `paddings [${p.before}] and [${p.after}] are wider than shape [${v.dims}]`);
  c.pass(0, reflect ? padded(c, v, p, "reflect") : symmetric(c, v, p));
};

function symmetric(c: Call, v: Value, p: Padding): Value {
  const layout = c.ownLayout(v);
  const { name } = c.declared(0);
  let ref = c.values.stored(v, layout);
  for (const [axis, d] of v.dims.entries()) {
    if (p.dims[axis] === d) continue;
    const at = Array.from({ length: p.dims[axis] }, (_, i) => {
      const k = i - p.before[axis];
      return k < 0 ? -1 - k : k >= d ? 2 * d - 1 - k : k;
    });
    const indices = c.values.initializer(`${name}/indices`, ints(at));
    ref = c.b.emit("Gather", [ref, indices], { axis: attr.int(layout.indexOf(axis)) }, { name: `${name}/Gather` });
  }
  return c.values.computed(name, p.dims, c.facts(v), [{ layout, ref }]);
}

export const converters: Record<string, Converter> = { PAD: pad, PADV2: pad, MIRROR_PAD: mirrorPad };
