/** Activation functions. */
import type { Ref } from "../../graph/builder.js";
import { attr } from "../../graph/graph.js";
import type { Call, Converter } from "../context.js";
import { option } from "../schema.js";
import { operand, unary } from "./elementwise.js";

const clip = (low: number, high: number): Converter =>
  unary((c, x) => c.emit(0, "Clip", [x, c.b.const(low), c.b.const(high)]));

const simple = (opType: string): Converter => unary((c, x) => c.emit(0, opType, [x]));

/** x * Phi(x), written out: the Gelu of ONNX came with operator set 20. (Hendrycks and Gimpel 2016, section 2.) */
function gelu(c: Call, x: Ref): Ref {
  const { b } = c;
  const inner = c.options?.bool(option.gelu.approximate)
    ? b.emit("Tanh", [
        b.mul(b.add(x, b.mul(b.mul(b.mul(x, x), x), b.const(0.044715))), b.const(Math.sqrt(2 / Math.PI))),
      ])
    : b.emit("Erf", [b.mul(x, b.const(Math.SQRT1_2))]);
  return c.emit(0, "Mul", [b.mul(x, b.const(0.5)), b.add(inner, b.const(1))]);
}

/** Slopes are broadcast against the input, one per channel as a rule. */
const prelu: Converter = (c) => {
  const [x, slope] = [c.input(0), c.input(1)];
  if (c.broadcast(x.dims, slope.dims).join() !== x.dims.join())
    throw c.fail("shape-mismatch", `slopes of shape [${slope.dims}] do not fit [${x.dims}]`);
  if (c.realType(slope) !== "float32") throw c.unsupported(`"${slope.name}" is ${slope.elemType}`);
  const layout = c.ownLayout(x);
  c.define(0, c.emit(0, "PRelu", [c.real(x, layout), operand(c, slope, layout)]), layout, x.dims);
};

/** Along the last axis of the file. */
const softmax =
  (opType: string): Converter =>
  (c) => {
    const v = c.input(0);
    if (v.dims.length === 0) throw c.unsupported("it works on a single number");
    const layout = c.ownLayout(v);
    const beta = opType === "Softmax" && c.options ? c.options.f32(option.softmax.beta) : 1;
    const x = c.real(v, layout);
    const scaled = beta === 1 ? x : c.emit(0, "Mul", [x, c.b.const(beta)], {}, true);
    const axis = attr.int(layout.indexOf(v.dims.length - 1));
    c.define(0, c.emit(0, opType, [scaled], { axis }), layout, v.dims);
  };

export const converters: Record<string, Converter> = {
  RELU: simple("Relu"),
  RELU6: clip(0, 6),
  RELU_N1_TO_1: clip(-1, 1),
  RELU_0_TO_1: clip(0, 1),
  LEAKY_RELU: unary((c, x) =>
    c.emit(0, "LeakyRelu", [x], { alpha: attr.float(c.options?.f32(option.leakyRelu.alpha) ?? 0) }),
  ),
  PRELU: prelu,
  HARD_SWISH: simple("HardSwish"),
  ELU: simple("Elu"),
  GELU: unary(gelu),
  LOGISTIC: simple("Sigmoid"),
  TANH: simple("Tanh"),
  SOFTMAX: softmax("Softmax"),
  LOG_SOFTMAX: softmax("LogSoftmax"),
};
