/** Gradients of activations and elementary functions beyond the everyday ones. */
import { attrFloat, attrInt } from "../graph/graph.js";
import { keepWhere, scale } from "./algebra.js";
import { type GradientRule, unary } from "./elementwiseGradient.js";

/** Selu: gamma x above 0, gamma alpha (e^x - 1) below (Klambauer et al. 2017). */
export const seluGradient = unary(({ g, n, x, y, dy }) => {
  const alpha = attrFloat(n, "alpha", 1.6732631921768188);
  const gamma = attrFloat(n, "gamma", 1.0507010221481323);
  const below = g.mul(dy, g.add(y, g.const(alpha * gamma)));
  return g.emit("Where", [g.emit("Less", [x, g.const(0)]), below, scale(g, dy, gamma)]);
});

/** Celu: max(0, x) + min(0, alpha (e^(x / alpha) - 1)); below 0 the slope is y / alpha + 1. */
export const celuGradient = unary(({ g, n, x, y, dy }) => {
  const below = g.mul(dy, g.add(scale(g, y, 1 / attrFloat(n, "alpha", 1)), g.const(1)));
  return g.emit("Where", [g.emit("Less", [x, g.const(0)]), below, dy]);
});

/** Mish: x tanh(softplus(x)). */
export const mishGradient = unary(({ g, x, dy }) => {
  const t = g.emit("Tanh", [g.emit("Softplus", [x])]);
  const inner = g.mul(g.mul(x, g.emit("Sigmoid", [x])), g.sub(g.const(1), g.mul(t, t)));
  return g.mul(dy, g.add(t, inner));
});

/** Softsign: x / (1 + |x|). */
export const softsignGradient = unary(({ g, x, dy }) => {
  const below = g.add(g.emit("Abs", [x]), g.const(1));
  return g.div(dy, g.mul(below, below));
});

/** ThresholdedRelu: x above alpha, else 0. */
export const thresholdedReluGradient = unary(({ g, n, x, dy }) =>
  keepWhere(g, g.emit("Greater", [x, g.const(attrFloat(n, "alpha", 1))]), dy),
);

export const sinGradient = unary(({ g, x, dy }) => g.mul(dy, g.emit("Cos", [x])));

export const cosGradient = unary(({ g, x, dy }) => g.neg(g.mul(dy, g.emit("Sin", [x]))));

export const tanGradient = unary(({ g, y, dy }) => g.mul(dy, g.add(g.mul(y, y), g.const(1))));

export const atanGradient = unary(({ g, x, dy }) => g.div(dy, g.add(g.mul(x, x), g.const(1))));

/** Trilu: the same triangle of the gradient. */
export const triluGradient: GradientRule = (n, [dy], c) => [
  dy && c.g.emit("Trilu", [dy, n.inputs[1] ?? ""], n.attributes),
  null,
];

/** CumSum: summed from the other end. */
export const cumSumGradient: GradientRule = (n, [dy], c) => {
  const reverse = { type: "int", value: 1 - attrInt(n, "reverse", 0) } as const;
  return [dy && c.g.emit("CumSum", [dy, n.inputs[1]], { ...n.attributes, reverse }), null];
};
