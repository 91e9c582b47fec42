/** Gradients of the relatives of Conv: ConvTranspose, and the runtime's fused form. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, attrInt, attrInts, attrString, type OpNode } from "../graph/graph.js";
import { fitEnds, keepWhere, range, scale } from "./algebra.js";
import { biasGradient, type Convolution, convGradient, convWeightGradient } from "./convolutionGradient.js";
import type { GradientRule } from "./elementwiseGradient.js";
import { windowOf } from "./window.js";

/** Pads of a ConvTranspose, begins then ends, from the lengths that it was asked for where it names no pads. */
function transposedPads(n: OpNode, x: readonly number[], y: readonly number[], kernel: readonly number[]): number[] {
  const { strides, dilations, pads, autoPad } = windowOf(n, kernel);
  if (autoPad === "VALID") return pads.map(() => 0);
  if (!attrInts(n, "output_shape") && !autoPad.startsWith("SAME")) return [...pads];
  const longer = attrInts(n, "output_padding") ?? kernel.map(() => 0);
  const total = kernel.map((k, i) =>
    Math.max(0, strides[i] * (x[i + 2] - 1) + longer[i] + (k - 1) * dilations[i] + 1 - y[i + 2]),
  );
  const small = total.map((t) => Math.floor(t / 2));
  const large = total.map((t) => Math.ceil(t / 2));
  return autoPad === "SAME_UPPER" ? [...small, ...large] : [...large, ...small];
}

/** ConvTranspose is the input gradient of a Conv: its own input gradient is that Conv. */
export const convTransposeGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const { g } = c;
  const [x, w, b] = n.inputs;
  const [dimsX, dimsW, dimsY] = [c.dims(x), c.dims(w), c.dims(n.outputs[0])];
  const { kernel, strides, dilations } = windowOf(n, dimsW.slice(2));
  // The Conv whose input is this node's output; output_padding only lengthens that input.
  const v: Convolution = {
    x: dimsY,
    w: dimsW,
    y: dimsX,
    groups: attrInt(n, "group", 1),
    kernel,
    strides,
    dilations,
    pads: transposedPads(n, dimsX, dimsY, kernel),
  };
  const input = (): Ref => {
    const conv = g.conv(dy, w, "", { strides, pads: v.pads, dilations, group: v.groups });
    const made = range(kernel.length).map((i) => {
      const room = v.x[i + 2] + v.pads[i] + v.pads[i + kernel.length] - dilations[i] * (kernel[i] - 1) - 1;
      return Math.floor(room / strides[i]) + 1;
    });
    return fitEnds(g, conv, made, v.y.slice(2));
  };
  return [
    c.needs(0) ? input() : null,
    c.needs(1) ? convWeightGradient(g, x, dy, v) : null,
    b && c.needs(2) ? biasGradient(g, dy, dimsY.length) : null,
  ];
};

/** Gradient at the input of FusedConv's activation, from that at its output `y`. */
function beforeActivation(n: OpNode, g: GraphBuilder, y: Ref, dy: Ref): Ref {
  const kind = attrString(n, "activation", "");
  const given = n.attributes.activation_params;
  const parameters = given?.type === "floats" ? given.value : [];
  const above = (v: number): Ref => g.emit("Greater", [y, g.const(v)]);
  const below = (v: number): Ref => g.emit("Less", [y, g.const(v)]);
  switch (kind) {
    case "":
      return dy;
    case "Relu":
      return keepWhere(g, above(0), dy);
    case "Sigmoid":
      return g.mul(dy, g.mul(y, g.sub(g.const(1), y)));
    case "Tanh":
      return g.mul(dy, g.sub(g.const(1), g.mul(y, y)));
    case "LeakyRelu":
      return g.emit("Where", [below(0), scale(g, dy, parameters[0] ?? 0.01), dy]);
    case "Clip":
      return keepWhere(g, g.emit("And", [above(parameters[0]), below(parameters[1])]), dy);
    case "HardSigmoid":
      return keepWhere(g, g.emit("And", [above(0), below(1)]), scale(g, dy, parameters[0] ?? 0.2));
    default:
      throw new ModelError("gradient-missing", `${at(n)}: no gradient is known for its activation "${kind}"`, {
        where: at(n),
      });
  }
}

/** com.microsoft.FusedConv: Conv, an optional addition of input 3, an activation. */
export const fusedConvGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null, null];
  const inner = beforeActivation(n, c.g, n.outputs[0], dy);
  return [...convGradient(n, [inner], c), n.inputs[3] && c.needs(3) ? inner : null];
};
