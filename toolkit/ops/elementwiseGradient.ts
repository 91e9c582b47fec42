/** Gradients of element-wise operators: activations, and arithmetic with broadcasting. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attrFloat, attrString, type OpNode } from "../graph/graph.js";
import { broadcastDims, keepWhere, scale, toFloat, unbroadcast } from "./algebra.js";
import type { GradientContext, OpRule } from "./rule.js";

export type GradientRule = NonNullable<OpRule["gradient"]>;

/** Everything a one-input derivative may look at. */
interface Unary {
  g: GraphBuilder;
  n: OpNode;
  /** The node's input, output and incoming gradient. */
  x: Ref;
  y: Ref;
  dy: Ref;
  c: GradientContext;
}

/** Rule of an operator with one differentiable input, from dx = f(x, y, dy). */
export const unary =
  (f: (u: Unary) => Ref): GradientRule =>
  (n, [dy], c) => [dy ? f({ g: c.g, n, x: n.inputs[0], y: n.outputs[0], dy, c }) : null];

const greater = (g: GraphBuilder, a: Ref, b: Ref): Ref => g.emit("Greater", [a, b]);
const less = (g: GraphBuilder, a: Ref, b: Ref): Ref => g.emit("Less", [a, b]);
const both = (g: GraphBuilder, a: Ref, b: Ref): Ref => g.emit("And", [a, b]);
/** 1 - a */
const complement = (g: GraphBuilder, a: Ref): Ref => g.sub(g.const(1), a);
const sigmoid = (g: GraphBuilder, a: Ref): Ref => g.emit("Sigmoid", [a]);

/** dy where low < x < high. */
const inside = (g: GraphBuilder, x: Ref, dy: Ref, low: number, high: number): Ref =>
  keepWhere(g, both(g, greater(g, x, g.const(low)), less(g, x, g.const(high))), dy);

export const identityGradient: GradientRule = (_n, [dy]) => [dy];

export const reluGradient = unary(({ g, y, dy }) => keepWhere(g, greater(g, y, g.const(0)), dy));

export const sigmoidGradient = unary(({ g, y, dy }) => g.mul(dy, g.mul(y, complement(g, y))));

export const tanhGradient = unary(({ g, y, dy }) => g.mul(dy, complement(g, g.mul(y, y))));

export const expGradient = unary(({ g, y, dy }) => g.mul(dy, y));

export const logGradient = unary(({ g, x, dy }) => g.div(dy, x));

export const sqrtGradient = unary(({ g, y, dy }) => g.div(scale(g, dy, 0.5), y));

export const reciprocalGradient = unary(({ g, y, dy }) => g.neg(g.mul(dy, g.mul(y, y))));

export const absGradient = unary(({ g, x, dy }) => g.mul(dy, g.emit("Sign", [x])));

export const negGradient = unary(({ g, dy }) => g.neg(dy));

export const erfGradient = unary(({ g, x, dy }) =>
  g.mul(scale(g, dy, 2 / Math.sqrt(Math.PI)), g.exp(g.neg(g.mul(x, x)))),
);

export const softplusGradient = unary(({ g, x, dy }) => g.mul(dy, sigmoid(g, x)));

export const leakyReluGradient = unary(({ g, n, x, dy }) =>
  g.emit("Where", [less(g, x, g.const(0)), scale(g, dy, attrFloat(n, "alpha", 0.01)), dy]),
);

// For x < 0, y = alpha (e^x - 1), so dy/dx = y + alpha.
export const eluGradient = unary(({ g, n, x, y, dy }) =>
  g.emit("Where", [less(g, x, g.const(0)), g.mul(dy, g.add(y, g.const(attrFloat(n, "alpha", 1)))), dy]),
);

export const hardSigmoidGradient = unary(({ g, n, y, dy }) =>
  inside(g, y, scale(g, dy, attrFloat(n, "alpha", 0.2)), 0, 1),
);

// x * clip(x / 6 + 1/2, 0, 1): 0 below -3, 1 above 3, x / 3 + 1/2 between.
export const hardSwishGradient = unary(({ g, x, dy }) => {
  const between = g.add(scale(g, x, 1 / 3), g.const(0.5));
  const slope = g.emit("Where", [less(g, x, g.const(3)), between, g.const(1)]);
  return keepWhere(g, greater(g, x, g.const(-3)), g.mul(dy, slope));
});

/** Gelu of opset 20: x * Phi(x), or its tanh approximation. */
export const geluGradient = unary(({ g, n, x, dy }) => {
  if (attrString(n, "approximate", "none") === "tanh") {
    const k = Math.sqrt(2 / Math.PI);
    const square = g.mul(x, x);
    const t = g.emit("Tanh", [g.mul(scale(g, x, k), g.add(scale(g, square, 0.044715), g.const(1)))]);
    const inner = g.add(scale(g, square, 3 * 0.044715 * k), g.const(k));
    const left = scale(g, g.add(t, g.const(1)), 0.5);
    const right = scale(g, g.mul(g.mul(x, complement(g, g.mul(t, t))), inner), 0.5);
    return g.mul(dy, g.add(left, right));
  }
  const phi = scale(g, g.add(g.emit("Erf", [scale(g, x, Math.SQRT1_2)]), g.const(1)), 0.5);
  const density = scale(g, g.exp(scale(g, g.mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  return g.mul(dy, g.add(phi, g.mul(x, density)));
});

/** Cast between float types: the gradient is cast back. */
export const castGradient: GradientRule = (n, [dy], c) => [dy ? c.g.emit("CastLike", [dy, n.inputs[0]]) : null];

/** Clip: passed on strictly between the bounds (which get no gradient). Bounds are inputs since opset 11. */
export const clipGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const y = n.outputs[0];
  const bound = (i: number, attribute: string): Ref | undefined => {
    if (n.inputs[i]) return n.inputs[i];
    return n.attributes[attribute] ? g.const(attrFloat(n, attribute, 0)) : undefined;
  };
  const low = bound(1, "min");
  const high = bound(2, "max");
  const above = low && greater(g, y, low);
  const below = high && less(g, y, high);
  if (!above && !below) return [dy];
  return [keepWhere(g, above && below ? both(g, above, below) : (above ?? below)!, dy)];
};

export const preluGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null];
  const { g } = c;
  const [x, slope] = n.inputs;
  const negative = less(g, x, g.const(0));
  const dx = c.needs(0) ? g.emit("Where", [negative, g.mul(dy, slope), dy]) : null;
  const ds = c.needs(1) ? unbroadcast(g, g.mul(dy, g.emit("Min", [x, g.const(0)])), c.dims(x), c.dims(slope)) : null;
  return [dx, ds];
};

/** Rule of a two-input broadcasting operator, from the gradients before the broadcast is undone. */
const binary =
  (da: (g: GraphBuilder, n: OpNode, dy: Ref) => Ref, db: (g: GraphBuilder, n: OpNode, dy: Ref) => Ref): GradientRule =>
  (n, [dy], c) => {
    if (!dy) return [null, null];
    const [a, b] = n.inputs.map((name) => c.dims(name));
    const out = broadcastDims(a, b);
    return [
      c.needs(0) ? unbroadcast(c.g, da(c.g, n, dy), out, a) : null,
      c.needs(1) ? unbroadcast(c.g, db(c.g, n, dy), out, b) : null,
    ];
  };

const pass = (_g: GraphBuilder, _n: OpNode, dy: Ref): Ref => dy;

export const addGradient = binary(pass, pass);

export const subGradient = binary(pass, (g, _n, dy) => g.neg(dy));

export const mulGradient = binary(
  (g, n, dy) => g.mul(dy, n.inputs[1]),
  (g, n, dy) => g.mul(dy, n.inputs[0]),
);

export const divGradient = binary(
  (g, n, dy) => g.div(dy, n.inputs[1]),
  (g, n, dy) => g.neg(g.div(g.mul(dy, n.outputs[0]), n.inputs[1])),
);

/** x^e; the base must be positive where the exponent itself is trained. */
export const powGradient = binary(
  (g, n, dy) => g.mul(dy, g.mul(n.inputs[1], g.emit("Pow", [n.inputs[0], g.sub(n.inputs[1], g.const(1))]))),
  (g, n, dy) => g.mul(dy, g.mul(n.outputs[0], g.emit("Log", [n.inputs[0]]))),
);

/** Sum of any number of broadcasting inputs. */
export const sumGradient: GradientRule = (n, [dy], c) => {
  const dims = n.inputs.map((name) => c.dims(name));
  const out = dims.reduce(broadcastDims);
  return n.inputs.map((_, i) => (dy && c.needs(i) ? unbroadcast(c.g, dy, out, dims[i]) : null));
};

/** Mean of any number of broadcasting inputs. */
export const meanGradient: GradientRule = (n, [dy], c) =>
  sumGradient(n, [dy && scale(c.g, dy, 1 / n.inputs.length)], c);

/** Max and Min: the gradient goes to the first input that attains the extreme. */
export const extremeGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return n.inputs.map(() => null);
  const { g } = c;
  const dims = n.inputs.map((name) => c.dims(name));
  const out = dims.reduce(broadcastDims);
  let open: Ref | undefined; // 1 where no earlier input attained it
  return n.inputs.map((name, i) => {
    const attains = toFloat(g, g.emit("Equal", [name, n.outputs[0]]));
    const mine = open ? g.mul(attains, open) : attains;
    open = open ? g.sub(open, mine) : complement(g, mine);
    return c.needs(i) ? unbroadcast(g, g.mul(dy, mine), out, dims[i]) : null;
  });
};

/** Where: no gradient for the condition. */
export const whereGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const { g } = c;
  const dims = n.inputs.map((name) => c.dims(name));
  const out = dims.reduce(broadcastDims);
  const zero = g.const(0);
  return [
    null,
    c.needs(1) ? unbroadcast(g, g.emit("Where", [n.inputs[0], dy, zero]), out, dims[1]) : null,
    c.needs(2) ? unbroadcast(g, g.emit("Where", [n.inputs[0], zero, dy]), out, dims[2]) : null,
  ];
};
