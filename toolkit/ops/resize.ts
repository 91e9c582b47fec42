/** Image resampling: Resize (opset 10, 11-17, 18+) and its predecessor Upsample. */
import { attrInts, attrString, type Dim, type OpNode } from "../graph/graph.js";
import { floats, ints, sizeOf, type Tensor, toNumberArray } from "../graph/tensor.js";
import { axisOf, inputType, mapDim, unknownDimension } from "./dims.js";
import { freezeAxes } from "./links.js";
import { movesIntegers } from "./precision.js";
import { resizeGradient } from "./resizeGradient.js";
import type { OpRule, ShapeContext } from "./rule.js";

const listOf = (t: Tensor | undefined): number[] | undefined => (t && t.data.length > 0 ? toNumberArray(t) : undefined);

/** Axes that scales and sizes speak of: all of them before opset 18. */
const axesOf = (n: OpNode, rank: number): number[] =>
  attrInts(n, "axes")?.map((a) => axisOf(n, a, rank)) ?? Array.from({ length: rank }, (_, k) => k);

/** Where the scales are: input 1 in opset 9-10, input 2 later. */
const scalesInput = (n: OpNode): number => (n.inputs.length <= 2 ? 1 : 2);

function resizedDims(n: OpNode, c: ShapeContext): readonly Dim[] | undefined {
  const { dims } = inputType(n, c, 0);
  if (!dims) return undefined;
  const axes = axesOf(n, dims.length);
  const at = scalesInput(n);
  const attribute = n.attributes.scales;
  const scales =
    attribute?.type === "floats" ? [...attribute.value] : listOf(n.inputs[at] ? c.constant(at) : undefined);
  const out = [...dims];
  if (scales) {
    axes.forEach((axis, i) => {
      out[axis] = scales[i] === 1 ? dims[axis] : mapDim(dims[axis], (v) => Math.floor(v * scales[i]));
    });
    return out;
  }
  const sizes = n.inputs[3] ? c.shapeValue(3) : undefined;
  if (!sizes) throw unknownDimension(n, "its scales or sizes");
  const policy = attrString(n, "keep_aspect_ratio_policy", "stretch");
  if (policy === "stretch") {
    axes.forEach((axis, i) => {
      out[axis] = sizes[i];
    });
    return out;
  }
  const ratios = axes.map((axis, i) => {
    const [length, size] = [dims[axis], sizes[i]];
    if (typeof length !== "number" || typeof size !== "number")
      throw unknownDimension(n, "its input size, to keep the aspect ratio,");
    return size / length;
  });
  const ratio = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  for (const axis of axes) out[axis] = mapDim(dims[axis], (v) => Math.round(v * ratio));
  return out;
}

const Resize: OpRule = {
  scaling: {
    kind: "commutes",
    when: (n) => attrString(n, "coordinate_transformation_mode", "half_pixel") !== "tf_crop_and_resize",
  },
  // Interpolation computes new values and has no integer kernel with a grid of its own.
  quantize: { ...movesIntegers, when: (n) => attrString(n, "mode", "nearest") === "nearest" },
  gradient: resizeGradient,
  shape: (n, c) => [{ elemType: inputType(n, c, 0).elemType, dims: resizedDims(n, c) }],
  channels: (n, c) => {
    const [x] = n.inputs;
    const [before, after] = [c.dims(x), c.dims(n.outputs[0])];
    freezeAxes(n, c, x, (axis) => before[axis] !== after[axis], "resamples along it");
    c.ids(x).forEach((ids, axis) => {
      if (before[axis] === after[axis]) c.set(n.outputs[0], axis, ids);
    });
  },
  simplify: (n, c, constant) => {
    const x = c.input(0)?.dims;
    const sizes = n.inputs[3] && !c.constant(3) ? c.shapeValue(3) : undefined;
    if (!x || !sizes || attrString(n, "keep_aspect_ratio_policy", "stretch") !== "stretch") return n;
    const scales = axesOf(n, x.length).map((axis, i) => {
      const [length, size] = [x[axis], sizes[i]];
      if (length !== null && length === size) return 1;
      if (typeof length !== "number" || typeof size !== "number") return undefined;
      // Scales are float32: the quotient must lead back to exactly this size.
      const scale = Math.fround(size / length);
      return scale * length === size ? scale : undefined;
    });
    if (scales.includes(undefined)) return n;
    return { ...n, inputs: [n.inputs[0], n.inputs[1], constant(n.inputs[3], floats(scales as number[]))] };
  },
  resize: (n, c) => {
    const sizes = listOf(c.constant(n.inputs[3] ?? ""));
    const [before, after] = [c.dimsBefore(n.outputs[0]), c.dimsAfter(n.outputs[0])];
    if (!sizes || before.every((d, k) => d === after[k])) return n;
    const axes = axesOf(n, before.length);
    c.setConstant(3, ints(sizes.map((s, i) => (before[axes[i]] === after[axes[i]] ? s : after[axes[i]]))));
    return n;
  },
  macs: (_n, _x, [y]) => sizeOf(y),
};

export const rules = {
  Resize,
  Upsample: { ...Resize, gradient: undefined },
} satisfies Record<string, OpRule | OpRule[]>;
