/** CAST, QUANTIZE, DEQUANTIZE and SHAPE. */
import { attr } from "../../graph/graph.js";
import { type ElemType, fromNumbers } from "../../graph/tensor.js";
import type { Call, Converter } from "../context.js";

/** TensorProto.DataType of the types that both formats compute with. */
const codes: Partial<Record<ElemType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float64: 11,
  uint32: 12,
};

export function onnxType(c: Call, t: ElemType): number {
  const code = codes[t];
  if (code === undefined) throw c.unsupported(`it makes numbers of type ${t}`);
  return code;
}

const cast: Converter = (c) => {
  const v = c.input(0);
  const { elemType, quantization } = c.declared(0);
  const from = c.realType(v);
  if (quantization) throw c.unsupported("it makes quantised numbers");
  if (from === elemType) {
    c.pass(0, v);
    return;
  }
  onnxType(c, from);
  const layout = c.ownLayout(v);
  const y = c.emit(0, "Cast", [c.values.real(v, layout)], { to: attr.int(onnxType(c, elemType)) });
  c.define(0, y, layout, v.dims, elemType);
};

/** Constant weights stay the integers that they are, with their scales beside them. */
const dequantize: Converter = (c) => {
  const v = c.input(0);
  if (c.declared(0).elemType !== "float32") throw c.unsupported(`it makes ${c.declared(0).elemType}`);
  if (v.constant && v.quantization) c.set(0, { ...v, name: c.declared(0).name });
  else c.pass(0, v);
};

/** Also from one grid to another. */
const quantize: Converter = (c) => {
  if (c.values.integers && !c.declared(0).quantization) throw c.fail("damaged", "its output has no scale");
  c.pass(0, c.input(0));
};

/** Shapes are known, but for the batch, so that what is computed from them is too. */
const shape: Converter = (c) => {
  const { dims } = c.input(0);
  const { elemType } = c.declared(0);
  if (elemType !== "int32" && elemType !== "int64") throw c.unsupported(`it makes ${elemType}`);
  c.storeConstant(0, fromNumbers(elemType, dims, [dims.length]), { fromShape: true });
};

export const converters: Record<string, Converter> = {
  CAST: cast,
  DEQUANTIZE: dequantize,
  QUANTIZE: quantize,
  SHAPE: shape,
};
