/**
 * How operators are written in the QOperator format, where an operator on integers takes scales and zero points as inputs
 * of its own. Sources: ONNX QLinearConv-10, QLinearMatMul-10; ONNX Runtime, docs/ContribOperators.md (com.microsoft).
 */
import type { Attribute, OpNode } from "../graph/graph.js";

/** An integer value with the names of its scale and zero point. */
export interface IntegerValue {
  values: string;
  scale: string;
  zeroPoint: string;
}

/** What a node on integers is made of. */
export interface IntegerParts {
  /** Activations in the order in which the node reads them. */
  x: readonly IntegerValue[];
  weight?: IntegerValue;
  /** Int32 at the scale of input times weight; "" without. */
  bias: string;
  /** Grid of the output; absent: the result is float. */
  y?: { scale: string; zeroPoint: string };
}

/** An operator of the QOperator format. */
export interface IntegerCall {
  opType: string;
  domain: "" | "com.microsoft";
  inputs: string[];
  attributes: Readonly<Record<string, Attribute>>;
}

/** The call that computes a node on integers; undefined where there is none of that form. */
export type IntegerKernel = (n: OpNode, p: IntegerParts) => IntegerCall | undefined;

const contrib = (opType: string, n: OpNode, inputs: string[]): IntegerCall => ({
  opType,
  domain: "com.microsoft",
  inputs,
  attributes: n.attributes,
});

const parts = (v: IntegerValue): string[] => [v.values, v.scale, v.zeroPoint];

/** `QLinear` + name: one activation. */
export const mapped: IntegerKernel = (n, { x, y }) =>
  y && contrib(`QLinear${n.opType}`, n, [...parts(x[0]), y.scale, y.zeroPoint]);

/** `QLinear` + name: two activations. */
export const paired: IntegerKernel = (n, { x, y }) =>
  y && contrib(`QLinear${n.opType}`, n, [...parts(x[0]), ...parts(x[1]), y.scale, y.zeroPoint]);

/** `QLinear` + name: any number of activations, the output's grid in front. */
export const joined: IntegerKernel = (n, { x, y }) =>
  y && contrib(`QLinear${n.opType}`, n, [y.scale, y.zeroPoint, ...x.flatMap(parts)]);

export const convolved: IntegerKernel = (n, { x, weight, bias, y }) =>
  weight &&
  y && {
    opType: "QLinearConv",
    domain: "",
    inputs: [...parts(x[0]), ...parts(weight), y.scale, y.zeroPoint, ...(bias ? [bias] : [])],
    attributes: n.attributes,
  };

export const gemmed: IntegerKernel = (n, { x, weight, bias, y }) => {
  if (!weight) return undefined;
  const inputs = [...parts(x[0]), ...parts(weight), bias, ...(y ? [y.scale, y.zeroPoint] : [])];
  const { beta: _, ...attributes } = n.attributes;
  return { ...contrib("QGemm", n, y || bias ? inputs : inputs.slice(0, -1)), attributes };
};

export const multiplied: IntegerKernel = (n, { x, weight, y }) => {
  if (!weight) return undefined;
  if (y) {
    return {
      opType: "QLinearMatMul",
      domain: "",
      inputs: [...parts(x[0]), ...parts(weight), y.scale, y.zeroPoint],
      attributes: {},
    };
  }
  const inputs = [x[0].values, weight.values, x[0].scale, weight.scale, x[0].zeroPoint, weight.zeroPoint];
  return contrib("MatMulIntegerToFloat", n, inputs);
};
