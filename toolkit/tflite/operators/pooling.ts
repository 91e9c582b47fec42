/** AVERAGE_POOL_2D and MAX_POOL_2D. */
import { type Attribute, attr } from "../../graph/graph.js";
import type { Call, Converter } from "../context.js";
import { channelsFirst } from "../layout.js";
import { option } from "../schema.js";
import { extentOf, paddingOf, stridesOf } from "./window.js";

const image = channelsFirst(4);

interface Pool {
  attributes: Record<string, Attribute>;
  dims: readonly number[];
  /** The one window covers the image. */
  whole: boolean;
}

function poolOf(c: Call): Pool {
  const fields = option.pool;
  const [n, ...spatial] = c.rank(c.input(0), 4).slice(0, 3);
  const kernel = [fields.filterH, fields.filterW].map((f) => c.options?.i32(f) ?? 0);
  if (kernel.some((k) => k < 1)) throw c.fail("damaged", `its window is ${kernel}`);
  const strides = stridesOf(c, fields);
  const padding = paddingOf(c, fields.padding);
  const [h, w] = spatial.map((size, i) => extentOf(c, size, kernel[i], strides[i], 1, padding));
  const pads = [h.begin, w.begin, h.end, w.end];
  const attributes: Record<string, Attribute> = { kernel_shape: attr.ints(kernel) };
  if (strides.some((s) => s !== 1)) attributes.strides = attr.ints(strides);
  if (pads.some((p) => p !== 0)) attributes.pads = attr.ints(pads);
  const whole = h.out === 1 && w.out === 1 && kernel.every((k, i) => k === spatial[i]) && pads.every((p) => p === 0);
  return { attributes, dims: [n, h.out, w.out, c.input(0).dims[3]], whole };
}

/** Padding does not count, in TFLite always and in ONNX by default. */
const average: Converter = (c) => {
  const { attributes, dims, whole } = poolOf(c);
  const activation = c.activation(option.pool.activation);
  const x = [c.real(c.input(0), image)];
  const more = activation !== "NONE";
  const y = whole ? c.emit(0, "GlobalAveragePool", x, {}, more) : c.emit(0, "AveragePool", x, attributes, more);
  c.define(0, c.activate(0, y, activation), image, dims);
};

/** The greatest of stored integers is the greatest real number, so quantised values are compared as they are. */
const maximum: Converter = (c) => {
  const x = c.input(0);
  const { attributes, dims } = poolOf(c);
  const activation = c.activation(option.pool.activation);
  if (activation === "NONE" && c.keepsGrid(0, x) && x.quantization) {
    const { name } = c.declared(0);
    const y = c.b.emit("MaxPool", [c.values.stored(x, image)], attributes, { name: `${name}/MaxPool`, out: name });
    c.store(0, y, image, dims);
    return;
  }
  const y = c.emit(0, "MaxPool", [c.real(x, image)], attributes, activation !== "NONE");
  c.define(0, c.activate(0, y, activation), image, dims);
};

export const converters: Record<string, Converter> = { AVERAGE_POOL_2D: average, MAX_POOL_2D: maximum };
