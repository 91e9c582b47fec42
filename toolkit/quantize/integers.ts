/** The integer types that an activation can be stored in. */
import type { ElemType } from "../graph/tensor.js";

export type IntegerType = Extract<ElemType, "uint8" | "int8" | "uint16" | "int16">;

interface IntegerFacts {
  lowest: number;
  highest: number;
  /** Zero point of a symmetric grid. */
  middle: number;
}

/** Ends and middle of each type. */
export const integerTypes: Readonly<Record<IntegerType, IntegerFacts>> = {
  uint8: { lowest: 0, highest: 255, middle: 128 },
  int8: { lowest: -128, highest: 127, middle: 0 },
  uint16: { lowest: 0, highest: 65535, middle: 32768 },
  int16: { lowest: -32768, highest: 32767, middle: 0 },
};

/** Whether a type is wider than 8 bits: ONNX has Quantize for those since operator set 21 only. */
export const isWide = (type: IntegerType): boolean => integerTypes[type].highest > 255 || type === "int16";
