/** CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV. */
import type { Ref } from "../../graph/builder.js";
import { type Attribute, attr } from "../../graph/graph.js";
import type { Call, Converter } from "../context.js";
import { channelsFirst } from "../layout.js";
import type { Quantization } from "../model.js";
import { option } from "../schema.js";
import type { Value } from "../values.js";
import { type Extent, extentOf, paddingOf, stridesOf } from "./window.js";

const image = channelsFirst(4);

interface Kernel {
  /** Height and width. */
  size: readonly [number, number];
  /** Layout of the weights that ONNX wants. */
  layout: readonly number[];
  outputs: number;
  group: number;
}

/** Weights [outputs, height, width, inputs / groups]. */
function fullKernel(c: Call, x: Value, w: Value): Kernel {
  const [outputs, height, width, depth] = c.rank(w, 4);
  const inputs = x.dims[3];
  const group = inputs / depth;
  if (!Number.isInteger(group) || outputs % group !== 0)
    throw c.fail("channels-mismatch", `weights of shape [${w.dims}] do not fit ${inputs} channels`);
  return { size: [height, width], layout: [0, 3, 1, 2], outputs, group };
}

/** Weights [1, height, width, inputs * multiplier]; the outputs of one input channel are neighbours, as in ONNX. */
function depthwiseKernel(c: Call, x: Value, w: Value): Kernel {
  const [one, height, width, outputs] = c.rank(w, 4);
  const group = x.dims[3];
  if (one !== 1 || outputs % group !== 0)
    throw c.fail("channels-mismatch", `weights of shape [${w.dims}] do not fit ${group} channels`);
  return { size: [height, width], layout: [3, 0, 1, 2], outputs, group };
}

const convolution =
  (fields: typeof option.conv | typeof option.depthwise, kernelOf: typeof fullKernel): Converter =>
  (c) => {
    const x = c.input(0);
    const w = c.input(1);
    const [n, ...spatial] = c.rank(x, 4).slice(0, 3);
    const kernel = kernelOf(c, x, w);
    const strides = stridesOf(c, fields);
    const dilations = [fields.dilationH, fields.dilationW].map((f) => c.options?.i32(f, 1) ?? 1);
    if (dilations.some((d) => d < 1)) throw c.fail("damaged", `its dilation is ${dilations}`);
    const padding = paddingOf(c, fields.padding);
    const extents = spatial.map((size, i) => extentOf(c, size, kernel.size[i], strides[i], dilations[i], padding));
    const activation = c.activation(fields.activation);
    // Zeros that a PAD before it has put around the image become padding of the convolution.
    const source = x.padded?.of ?? x;
    const before = x.padded?.pads ?? [0, 0, 0, 0];
    const pads = padsOf(extents).map((p, i) => p + before[i]);
    const attributes: Record<string, Attribute> = {};
    if (strides.some((s) => s !== 1)) attributes.strides = attr.ints(strides);
    if (pads.some((p) => p !== 0)) attributes.pads = attr.ints(pads);
    if (dilations.some((d) => d !== 1)) attributes.dilations = attr.ints(dilations);
    if (kernel.group !== 1) attributes.group = attr.int(kernel.group);
    const inputs = [c.real(source, image), c.real(w, kernel.layout), bias(c, 2, x, w, kernel.outputs)];
    const y = c.emit(0, "Conv", inputs, attributes, activation !== "NONE");
    c.define(0, c.activate(0, y, activation), image, [n, extents[0].out, extents[1].out, kernel.outputs]);
  };

const padsOf = ([h, w]: readonly Extent[]): number[] => [h.begin, w.begin, h.end, w.end];

/** A bias in ONNX form: integers on the grid of the accumulators (scale of x times scale of w) where those are integers. */
export function bias(c: Call, index: number, x: Value, w: Value, length: number): Ref | "" {
  if (!c.has(index)) return "";
  const v = c.input(index);
  if (v.dims.length !== 1 || v.dims[0] !== length)
    throw c.fail("channels-mismatch", `its bias has shape [${v.dims}], expected [${length}]`);
  if (v.elemType === "float32" || !v.constant) return c.real(v, [0]);
  const quantization = accumulatorGrid(x, w) ?? v.quantization;
  if (!quantization) throw c.unsupported(`its bias is ${v.elemType} without a scale`);
  if (v.elemType === "int32")
    return c.values.parameter(v.name, v.constant, { elemType: "int32", quantization }, quantization.axis);
  return c.values.float(v.name, v.constant, quantization);
}

function accumulatorGrid(x: Value, w: Value): Quantization | undefined {
  if (!x.quantization || !w.quantization) return undefined;
  const scales = w.quantization.scales.map((s) => Math.fround(s * x.quantization!.scales[0]));
  return { scales, zeroPoints: scales.map(() => 0), ...(scales.length > 1 ? { axis: 0 } : {}) };
}

/** Weights [outputs, height, width, inputs]; the output's size is an operand, and the padding that of the convolution backwards. */
const transposeConvolution: Converter = (c) => {
  const fields = option.transposeConv;
  const size = c.numbers(0, "output shape");
  const w = c.input(1);
  const x = c.input(2);
  const [n, ...spatial] = c.rank(x, 4).slice(0, 3);
  const [outputs, ...kernel] = c.rank(w, 4).slice(0, 3);
  if (w.dims[3] !== x.dims[3] || size.length !== 4 || size[3] !== outputs)
    throw c.fail("channels-mismatch", `weights [${w.dims}] do not fit input [${x.dims}] and output [${size}]`);
  const strides = stridesOf(c, fields);
  const padding = paddingOf(c, fields.padding);
  const extents = [0, 1].map((i) => {
    const back = extentOf(c, size[i + 1], kernel[i], strides[i], 1, padding);
    if (back.out !== spatial[i])
      throw c.fail("damaged", `an output of [${size}] does not come from an input of [${x.dims}]`);
    const end = (spatial[i] - 1) * strides[i] + kernel[i] - back.begin - size[i + 1];
    return { begin: back.begin, end: Math.max(end, 0), more: Math.max(-end, 0) };
  });
  const [h, wide] = extents;
  const pads = [h.begin, wide.begin, h.end, wide.end];
  const more = [h.more, wide.more];
  const activation = c.activation(fields.activation);
  const attributes: Record<string, Attribute> = { strides: attr.ints(strides) };
  if (pads.some((p) => p !== 0)) attributes.pads = attr.ints(pads);
  if (more.some((p) => p !== 0)) attributes.output_padding = attr.ints(more);
  const inputs = [c.real(x, image), c.real(w, [3, 0, 1, 2]), bias(c, 3, x, w, outputs)];
  const y = c.emit(0, "ConvTranspose", inputs, attributes, activation !== "NONE");
  c.define(0, c.activate(0, y, activation), image, [n, size[1], size[2], outputs]);
};

export const converters: Record<string, Converter> = {
  CONV_2D: convolution(option.conv, fullKernel),
  DEPTHWISE_CONV_2D: convolution(option.depthwise, depthwiseKernel),
  TRANSPOSE_CONV: transposeConvolution,
};
