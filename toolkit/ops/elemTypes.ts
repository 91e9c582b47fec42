/** Element types by their ONNX numbers (onnx.proto, TensorProto.DataType), as the `to` and `dtype` attributes give them. */
import { ModelError } from "../graph/errors.js";
import { at, attrInt, type OpNode } from "../graph/graph.js";
import type { ElemType } from "../graph/tensor.js";

const byNumber: Readonly<Record<number, ElemType>> = {
  1: "float32",
  2: "uint8",
  3: "int8",
  4: "uint16",
  5: "int16",
  6: "int32",
  7: "int64",
  8: "string",
  9: "bool",
  10: "float16",
  11: "float64",
  12: "uint32",
  13: "uint64",
  14: "complex64",
  15: "complex128",
  16: "bfloat16",
  17: "float8e4m3fn",
  18: "float8e4m3fnuz",
  19: "float8e5m2",
  20: "float8e5m2fnuz",
  21: "uint4",
  22: "int4",
  23: "float4e2m1",
  24: "float8e8m0",
  25: "uint2",
  26: "int2",
};

/** The element type that an integer attribute names. Throws ModelError for a number outside the list. */
export function elemTypeAttribute(n: OpNode, name: string, otherwise: ElemType): ElemType {
  if (!n.attributes[name]) return otherwise;
  const number = attrInt(n, name, 0);
  const t = byNumber[number];
  if (!t)
    throw new ModelError("elem-type", `${at(n)}: ${name}=${number} is no element type that edgefit knows`, {
      where: at(n),
    });
  return t;
}
