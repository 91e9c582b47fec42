/** FULLY_CONNECTED and BATCH_MATMUL. */
import type { Ref } from "../../graph/builder.js";
import { attr } from "../../graph/graph.js";
import { sizeOf, type Tensor } from "../../graph/tensor.js";
import type { Call, Converter } from "../context.js";
import { asInFile, type Layout, permute, physical } from "../layout.js";
import { option } from "../schema.js";
import type { Value } from "../values.js";
import { bias } from "./convolution.js";
import { reshaped } from "./reshaping.js";

/** y = x w^T + b with weights [outputs, inputs]; x is taken as rows of `inputs` numbers, whatever its shape. */
const fullyConnected: Converter = (c) => {
  const fields = option.fullyConnected;
  const x = c.input(0);
  const w = c.input(1);
  const [outputs, inputs] = c.rank(w, 2);
  if (c.options?.i8(fields.weightsFormat)) throw c.unsupported("its weights are in a shuffled format");
  const rows = sizeOf(x.dims) / inputs;
  if (!Number.isInteger(rows))
    throw c.fail("channels-mismatch", `[${x.dims}] is not made of rows of ${inputs} numbers`);
  const activation = c.activation(fields.activation);
  const more = activation !== "NONE";
  const keep = c.options?.bool(fields.keepDims) === true && x.dims.length > 2;
  if (keep && x.dims.at(-1) !== inputs)
    throw c.fail("channels-mismatch", `[${x.dims}] does not end in ${inputs} numbers`);
  if (keep) {
    const plain = asInFile(x.dims.length);
    const product = c.emit(0, "MatMul", [c.real(x, plain), c.real(w, [1, 0])], {}, true);
    const b = bias(c, 2, x, w, outputs);
    const y = b ? c.emit(0, "Add", [product, b], {}, more) : product;
    c.define(0, c.activate(0, y, activation), plain, [...x.dims.slice(0, -1), outputs]);
    return;
  }
  const [matrix, weights] = operands(c, x, w, [rows, inputs]);
  const y = c.emit(0, "Gemm", [matrix, weights, bias(c, 2, x, w, outputs)], { transB: attr.int(1) }, more);
  c.define(0, c.activate(0, y, activation), asInFile(2), [rows, outputs]);
};

/** Instead of bringing a flattened image into the order of the file, the columns of constant weights follow the image's order. */
function operands(c: Call, x: Value, w: Value, dims: readonly [number, number]): [Ref, Ref] {
  const image = x.forms.length === 0 && x.flattened ? x.flattened : x;
  const [form] = image.forms;
  if (!form || !w.constant || image.dims.length < 3 || image.dims[0] !== dims[0] || form.layout[0] !== 0) {
    const flat = reshaped(c, x, dims);
    return [c.real(flat, asInFile(2)), c.real(w, asInFile(2))];
  }
  const { name } = c.declared(0);
  const stored = c.values.reshape(form.ref, physical(image.dims, form.layout), dims, `${name}/flat`);
  const facts = c.facts(image);
  const matrix = facts.quantization ? c.values.dequantize(stored, { ...facts, name: `${name}/flat` }) : stored;
  for (const v of [image, w]) if (c.realType(v) !== "float32") throw c.unsupported(`"${v.name}" is ${v.elemType}`);
  const columns = columnsInOrder(w.constant, image.dims.slice(1), form.layout);
  return [matrix, c.values.parameter(w.name, columns, w, w.quantization?.axis)];
}

/** Weights [outputs, inputs] with the inputs, an image in the order of the file, brought into the order of memory. */
function columnsInOrder(w: Tensor, image: readonly number[], layout: Layout): Tensor {
  const spread = { ...w, dims: [w.dims[0], ...image] };
  return { ...permute(spread, layout), dims: w.dims };
}

const batchMatMul: Converter = (c) => {
  const fields = option.batchMatMul;
  const sides = [fields.adjointX, fields.adjointY].map((f, i) => {
    const v = c.input(i);
    const rank = v.dims.length;
    if (rank < 2) throw c.unsupported(`"${v.name}" has shape [${v.dims}], expected a matrix`);
    const plain = asInFile(rank);
    // A value with its last two axes exchanged in memory is the transposed matrix.
    const adjoint = c.options?.bool(f) === true;
    const layout = adjoint ? [...plain.slice(0, -2), rank - 1, rank - 2] : plain;
    return { ref: c.real(v, layout), dims: physical(v.dims, layout) };
  });
  const [x, y] = sides;
  if (x.dims.at(-1) !== y.dims.at(-2))
    throw c.fail("channels-mismatch", `matrices [${x.dims}] and [${y.dims}] cannot be multiplied`);
  const outer = c.broadcast(x.dims.slice(0, -2), y.dims.slice(0, -2));
  const dims = [...outer, x.dims.at(-2)!, y.dims.at(-1)!];
  c.define(0, c.emit(0, "MatMul", [x.ref, y.ref]), asInFile(dims.length), dims);
};

export const converters: Record<string, Converter> = { FULLY_CONNECTED: fullyConnected, BATCH_MATMUL: batchMatMul };
