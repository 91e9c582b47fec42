/** Operators that compute each output element from the input elements at the same (broadcast) place. */
import { ModelError } from "../graph/errors.js";
import { at, attrFloat, attrInt, type OpNode } from "../graph/graph.js";
import { type ElemType, fromNumbers, isNumeric, type Tensor, toNumbers } from "../graph/tensor.js";
import {
  atanGradient,
  celuGradient,
  cosGradient,
  cumSumGradient,
  mishGradient,
  seluGradient,
  sinGradient,
  softsignGradient,
  tanGradient,
  thresholdedReluGradient,
  triluGradient,
} from "./activationGradient.js";
import { isInteger, mapConstants, selectConstants, valuesOf } from "./arithmetic.js";
import { axisOf, broadcastDims, inputType } from "./dims.js";
import {
  absGradient,
  addGradient,
  castGradient,
  clipGradient,
  divGradient,
  eluGradient,
  erfGradient,
  expGradient,
  extremeGradient,
  geluGradient,
  hardSigmoidGradient,
  hardSwishGradient,
  identityGradient,
  leakyReluGradient,
  logGradient,
  meanGradient,
  mulGradient,
  negGradient,
  powGradient,
  preluGradient,
  reciprocalGradient,
  reluGradient,
  sigmoidGradient,
  softplusGradient,
  sqrtGradient,
  subGradient,
  sumGradient,
  tanhGradient,
  whereGradient,
} from "./elementwiseGradient.js";
import { elemTypeAttribute } from "./elemTypes.js";
import { frozenAtRunTime, passAxes, sameIdsAsFirst, unifyAll } from "./links.js";
import { mapsIntegers, pairsIntegers } from "./precision.js";
import type { OpRule, ShapeContext } from "./rule.js";
import { commutes, commutesWithShifts, sums } from "./scaling.js";

export const sameTypeAsFirst: OpRule["shape"] = (n, c) => [inputType(n, c, 0)];

/** One input, one output of the same type; channels pass. */
export const unary: OpRule = { shape: sameTypeAsFirst, channels: sameIdsAsFirst, elementwise: true };

/** `unary` that also works on constants. */
export const unaryOf = (f: (v: number) => number): OpRule => ({
  ...unary,
  evaluate: (_, [x]) => mapConstants([x], ([v]) => f(v)),
});

function broadcastShape(elemType?: ElemType, first = 0): OpRule["shape"] {
  return (n, c) => {
    const types = presentInputs(n).map((i) => inputType(n, c, i));
    return [
      {
        elemType: elemType ?? inputType(n, c, first).elemType,
        dims: broadcastDims(
          n,
          types.map((t) => t.dims),
        ),
      },
    ];
  };
}

const presentInputs = (n: OpNode): number[] => n.inputs.flatMap((name, i) => (name ? [i] : []));

/** Any number of broadcast inputs. */
export const broadcast: OpRule = { shape: broadcastShape(), channels: unifyAll, elementwise: true };

/** Broadcasting arithmetic that also works on constants; `f` sees one value per input. */
const arithmetic = (f: (v: readonly number[], elemType: ElemType) => number): OpRule => ({
  ...broadcast,
  evaluate: (_, inputs) => {
    const t = inputs[0]?.elemType ?? "float32";
    return mapConstants(inputs, (v) => f(v, t));
  },
});

/** Broadcasting test, true or false. */
const comparison = (f: (v: readonly number[]) => boolean): OpRule => ({
  shape: broadcastShape("bool"),
  channels: unifyAll,
  evaluate: (_, inputs) => mapConstants(inputs, (v) => (f(v) ? 1 : 0), "bool"),
});

const sum = (v: readonly number[]): number => v.reduce((a, b) => a + b, 0);

/** Clip limits, in whichever form the operator set has them; undefined when they are not constant. */
export function clipLimits(n: OpNode, min: Tensor | undefined, max: Tensor | undefined): [number, number] | undefined {
  if ((n.inputs[1] && !min) || (n.inputs[2] && !max)) return undefined;
  const low = min ? toNumbers(min)[0] : attrFloat(n, "min", Number.NEGATIVE_INFINITY);
  const high = max ? toNumbers(max)[0] : attrFloat(n, "max", Number.POSITIVE_INFINITY);
  return [low, high];
}

const Clip: OpRule = {
  scaling: { kind: "clamps" },
  gradient: clipGradient,
  quantize: {
    activations: [0],
    foldsIntoProducer: true,
    clamp: (n, constant) => clipLimits(n, constant(n.inputs[1] ?? ""), constant(n.inputs[2] ?? "")),
  },
  ...unary,
  shape: (n, c) => {
    for (const i of [1, 2]) {
      const dims = c.input(i)?.dims;
      if (dims?.some((d) => d !== 1))
        throw new ModelError(
          "shape-mismatch",
          `${at(n)} clips to a limit of dims [${dims.join(", ")}]; limits are scalars`,
          {
            where: at(n),
          },
        );
    }
    return [inputType(n, c, 0)];
  },
  evaluate: (n, [x, min, max]) => {
    const limits = clipLimits(n, min, max);
    return limits && mapConstants([x], ([v]) => Math.min(Math.max(v, limits[0]), limits[1]));
  },
};

/** Identity at inference; the optional mask output tells which elements were kept. */
const Dropout: OpRule = {
  scaling: commutesWithShifts,
  gradient: identityGradient,
  channels: sameIdsAsFirst,
  // In training mode it draws random numbers.
  folds: false,
  shape: (n, c) => {
    const x = inputType(n, c, 0);
    return [x, { elemType: c.opset < 10 ? x.elemType : "bool", dims: x.dims }].slice(0, n.outputs.length);
  },
};

const Identity: OpRule = {
  scaling: commutesWithShifts,
  gradient: identityGradient,
  ...unary,
  movesElements: true,
  evaluate: (_, [x]) => x && [x],
};

const Cast: OpRule = {
  gradient: castGradient,
  channels: sameIdsAsFirst,
  shape: (n, c) => [{ elemType: elemTypeAttribute(n, "to", "float32"), dims: inputType(n, c, 0).dims }],
  evaluate: (n, [x]) => {
    const to = elemTypeAttribute(n, "to", "float32");
    if (!x || !isNumeric(x.elemType) || !isNumeric(to)) return undefined;
    if (to === x.elemType) return [x];
    const v = toNumbers(x);
    // ONNX casts float to integer by truncation and anything to bool by "is not zero".
    if (to === "bool")
      return [
        fromNumbers(
          to,
          v.map((e) => (e ? 1 : 0)),
          x.dims,
        ),
      ];
    return valuesOf(to, v, x.dims);
  },
};

const CastLike: OpRule = {
  gradient: castGradient,
  channels: sameIdsAsFirst,
  shape: (n, c) => [{ elemType: inputType(n, c, 1).elemType, dims: inputType(n, c, 0).dims }],
};

const Where: OpRule = {
  gradient: whereGradient,
  shape: broadcastShape(undefined, 1),
  channels: unifyAll,
  evaluate: (_, [condition, a, b]) => condition && a && b && selectConstants(condition, a, b),
};

/** The slope is broadcast to the input only (unidirectional); [C,1,1] slopes are cut along with their channels. */
const PRelu: OpRule = {
  scaling: commutes,
  gradient: preluGradient,
  parameters: [{ input: 1, decay: false }],
  shape: sameTypeAsFirst,
  channels: unifyAll,
};

const Div = { ...arithmetic(([a, b], t) => (isInteger(t) ? Math.trunc(a / b) : a / b)), gradient: divGradient };

const Mod: OpRule = {
  ...broadcast,
  // With fmod=1 the sign follows the dividend, else the divisor.
  evaluate: (n, inputs) =>
    mapConstants(inputs, ([a, b]) => {
      const rest = a % b;
      return attrInt(n, "fmod", 0) || rest === 0 || rest < 0 === b < 0 ? rest : rest + b;
    }),
};

/** Sum over broadcast inputs of differing rank (opset >= 8); equal shapes before. */
const Sum = { ...arithmetic((v) => sum(v)), scaling: sums, gradient: sumGradient };

const boolUnary: OpRule = {
  channels: sameIdsAsFirst,
  shape: (n: OpNode, c: ShapeContext) => [{ elemType: "bool", dims: inputType(n, c, 0).dims }],
};

/** Keeps the lower or upper triangle of the last two axes; cutting either would move the diagonal. */
const Trilu: OpRule = {
  gradient: triluGradient,
  shape: sameTypeAsFirst,
  channels: (n, c) => {
    const rank = c.dims(n.inputs[0]).length;
    passAxes((axis) => axis < rank - 2, "keeps a triangle of it: a cut would move the diagonal")(n, c);
  },
};

/** A removed channel adds nothing to the sums behind it. */
const CumSum: OpRule = {
  gradient: cumSumGradient,
  shape: sameTypeAsFirst,
  channels: (n, c) => {
    const axis = c.constant(n.inputs[1]);
    const rank = c.dims(n.inputs[0]).length;
    if (!axis) return frozenAtRunTime(n, c);
    c.contract(0, axisOf(n, toNumbers(axis)[0], rank));
    sameIdsAsFirst(n, c);
  },
};

const hardSigmoid = (n: OpNode, v: number): number =>
  Math.min(1, Math.max(0, attrFloat(n, "alpha", 0.2) * v + attrFloat(n, "beta", 0.5)));

export const rules = {
  Relu: {
    ...unaryOf((v) => Math.max(v, 0)),
    scaling: { kind: "commutes", shifts: () => true, rectifies: true },
    gradient: reluGradient,
    quantize: { activations: [0], foldsIntoProducer: true, clamp: () => [0, Number.POSITIVE_INFINITY] },
  },
  LeakyRelu: { ...unary, scaling: commutes, quantize: mapsIntegers, gradient: leakyReluGradient },
  ThresholdedRelu: { ...unary, gradient: thresholdedReluGradient },
  Elu: { ...unary, gradient: eluGradient },
  Selu: { ...unary, gradient: seluGradient },
  Celu: { ...unary, gradient: celuGradient },
  Sigmoid: { ...unary, quantize: mapsIntegers, gradient: sigmoidGradient },
  HardSigmoid: {
    ...unary,
    evaluate: (n, [x]) => mapConstants([x], ([v]) => hardSigmoid(n, v)),
    gradient: hardSigmoidGradient,
  },
  HardSwish: { ...unary, gradient: hardSwishGradient },
  Mish: { ...unary, gradient: mishGradient },
  Softplus: { ...unary, gradient: softplusGradient },
  Softsign: { ...unary, gradient: softsignGradient },
  Tanh: { ...unary, gradient: tanhGradient },
  Erf: { ...unary, gradient: erfGradient },
  Gelu: { ...unary, gradient: geluGradient },
  Exp: { ...unaryOf(Math.exp), gradient: expGradient },
  Log: { ...unaryOf(Math.log), gradient: logGradient },
  Sqrt: { ...unaryOf(Math.sqrt), gradient: sqrtGradient },
  Reciprocal: { ...unaryOf((v) => 1 / v), gradient: reciprocalGradient },
  Abs: { ...unaryOf(Math.abs), scaling: commutes, gradient: absGradient },
  Neg: { ...unaryOf((v) => -v), scaling: commutes, gradient: negGradient },
  Sign: unaryOf(Math.sign),
  Floor: unaryOf(Math.floor),
  Ceil: unaryOf(Math.ceil),
  Round: unaryOf((v) => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v))),
  Sin: { ...unary, gradient: sinGradient },
  Cos: { ...unary, gradient: cosGradient },
  Tan: { ...unary, gradient: tanGradient },
  Atan: { ...unary, gradient: atanGradient },
  Clip,
  Identity,
  Dropout,
  Cast,
  CastLike,
  PRelu,
  Add: {
    ...arithmetic(([a, b]) => a + b),
    sums: true,
    scaling: sums,
    quantize: pairsIntegers,
    gradient: addGradient,
    parameters: [
      { input: 0, decay: false, vectorOnly: true },
      { input: 1, decay: false, vectorOnly: true },
    ],
  },
  Sub: { ...arithmetic(([a, b]) => a - b), gradient: subGradient },
  Mul: {
    ...arithmetic(([a, b]) => a * b),
    scaling: { kind: "multiplies" },
    quantize: pairsIntegers,
    gradient: mulGradient,
    // A learned scale per channel, as "layer scale" is exported.
    parameters: [
      { input: 0, decay: false, vectorOnly: true },
      { input: 1, decay: false, vectorOnly: true },
    ],
  },
  Div,
  Mod,
  Pow: { ...arithmetic(([a, b]) => a ** b), gradient: powGradient },
  Min: { ...arithmetic((v) => Math.min(...v)), gradient: extremeGradient },
  Max: { ...arithmetic((v) => Math.max(...v)), gradient: extremeGradient },
  Sum,
  Mean: { ...arithmetic((v) => sum(v) / v.length), gradient: meanGradient },
  Where,
  Equal: comparison(([a, b]) => a === b),
  Greater: comparison(([a, b]) => a > b),
  GreaterOrEqual: comparison(([a, b]) => a >= b),
  Less: comparison(([a, b]) => a < b),
  LessOrEqual: comparison(([a, b]) => a <= b),
  And: comparison(([a, b]) => a !== 0 && b !== 0),
  Or: comparison(([a, b]) => a !== 0 || b !== 0),
  Xor: comparison(([a, b]) => (a !== 0) !== (b !== 0)),
  Not: { ...boolUnary, evaluate: (_, [x]) => mapConstants([x], ([v]) => (v ? 0 : 1), "bool") },
  IsNaN: { ...boolUnary },
  IsInf: { ...boolUnary },
  Trilu,
  CumSum,
} satisfies Record<string, OpRule | OpRule[]>;
