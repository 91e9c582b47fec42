/** Gradients of normalisation. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attr, attrFloat, attrInt, attrInts, type OpNode } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { positiveAxis, range, scale, unbroadcast } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";
import type { GradientContext } from "./rule.js";

/** 1 / sqrt(variance + epsilon), per channel. */
export const inverseDeviation = (g: GraphBuilder, variance: Ref, epsilon: number): Ref =>
  g.div(g.const(1), g.sqrt(g.add(variance, g.const(epsilon))));

/** a * x + b with per-channel a and b in one pass over x: a BatchNormalization whose statistics are trivial. */
export function affine(g: GraphBuilder, x: Ref, a: Ref, b: Ref, channels: number): Ref {
  const zero = g.const(new Float32Array(channels));
  const one = g.const(new Float32Array(channels).fill(1));
  return g.emit("BatchNormalization", [x, a, b, zero, one], { epsilon: { type: "float", value: 0 } });
}

/** Mean and variance of the batch that a BatchNormalization with `training_mode` normalised by, from its running outputs. */
function batchStatistics(n: OpNode, c: GradientContext): { mean: Ref; variance: Ref } {
  const { g } = c;
  const momentum = attrFloat(n, "momentum", 0.9);
  const ofBatch = (running: Ref, updated: Ref): Ref =>
    momentum === 0 ? updated : scale(g, g.sub(updated, scale(g, running, momentum)), 1 / (1 - momentum));
  return { mean: ofBatch(n.inputs[3], n.outputs[1]), variance: ofBatch(n.inputs[4], n.outputs[2]) };
}

/**
 * BatchNormalization. With given statistics it is affine per channel. With the batch's own (`training_mode`, all three
 * outputs present; Ioffe and Szegedy 2015), written so that only two sums and one affine pass over the tensors remain:
 * dx = a dy + b x + c, where a = scale / sd, b = -a * mean(dy x^) / sd, c = -a * mean(dy) - b * mean.
 */
export const batchNormalizationGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return n.inputs.map(() => null);
  const { g } = c;
  const [x, gamma, , runningMean, runningVariance] = n.inputs;
  const dims = c.dims(x);
  const channels = dims[1];
  const epsilon = attrFloat(n, "epsilon", 1e-5);
  const training = attrInt(n, "training_mode", 0) === 1;
  const { mean, variance } = training ? batchStatistics(n, c) : { mean: runningMean, variance: runningVariance };
  const inverse = inverseDeviation(g, variance, epsilon);
  const axes = range(dims.length).filter((i) => i !== 1);
  const a = g.mul(gamma, inverse);
  const perChannel = dims.map((d, i) => (i === 1 ? d : 1));
  const broadcast = (v: Ref): Ref => g.reshape(v, perChannel);

  const sumsNeeded = training || c.needs(1) || c.needs(2) || c.needs(3) || c.needs(4);
  if (!sumsNeeded) return [g.mul(dy, broadcast(a)), null, null, null, null];
  const sumDy = g.reduceSum(dy, axes, false);
  const sumDyX = g.reduceSum(g.mul(dy, x), axes, false);
  // sum(dy * x^), with x^ = (x - mean) / sd
  const sumDyNormalised = g.mul(g.sub(sumDyX, g.mul(mean, sumDy)), inverse);
  const scaleGradient = c.needs(1) ? sumDyNormalised : null;
  const biasGradient = c.needs(2) ? sumDy : null;
  if (!training) {
    return [
      c.needs(0) ? g.mul(dy, broadcast(a)) : null,
      scaleGradient,
      biasGradient,
      c.needs(3) ? g.neg(g.mul(a, sumDy)) : null,
      c.needs(4) ? scale(g, g.mul(g.mul(sumDyNormalised, a), inverse), -0.5) : null,
    ];
  }
  if (!c.needs(0)) return [null, scaleGradient, biasGradient, null, null];
  const share = 1 / (sizeOf(dims) / channels);
  const b = scale(g, g.mul(g.mul(a, sumDyNormalised), inverse), -share);
  const constant = g.neg(g.add(scale(g, g.mul(a, sumDy), share), g.mul(b, mean)));
  const dx = g.add(g.mul(dy, broadcast(a)), affine(g, x, b, constant, channels));
  return [dx, scaleGradient, biasGradient, null, null];
};

/** A normalisation of x over some axes, as its gradient wants it. */
interface Standardised {
  x: Ref;
  dims: readonly number[];
  axes: readonly number[];
  epsilon: number;
  /** Whether the mean is taken off first (not in RMS normalisation). */
  centred: boolean;
}

/** x^ = (x - mean) / sqrt(variance + epsilon), and 1 / sqrt(…), computed again for the backward pass. */
function standardise(g: GraphBuilder, s: Standardised): { value: Ref; inverse: Ref } {
  const centred = s.centred ? g.sub(s.x, g.reduceMean(s.x, s.axes)) : s.x;
  const variance = g.reduceMean(g.mul(centred, centred), s.axes);
  const inverse = inverseDeviation(g, variance, s.epsilon);
  return { value: g.mul(centred, inverse), inverse };
}

/** dx = (d - mean(d) - x^ mean(d x^)) / sd for the gradient d of x^, without mean(d) where nothing was taken off. */
function throughStandardised(g: GraphBuilder, s: Standardised, value: Ref, inverse: Ref, d: Ref): Ref {
  const along = g.mul(value, g.reduceMean(g.mul(d, value), s.axes));
  const rest = s.centred ? g.sub(d, g.reduceMean(d, s.axes)) : d;
  return g.mul(g.sub(rest, along), inverse);
}

/** Rule of a normalisation with an optional scale and shift; `shape` gives the dims under which they broadcast to x. */
function normalisationGradient(
  of: (n: OpNode, c: GradientContext) => { standardised: Standardised; shape: (name: string) => readonly number[] },
): GradientRule {
  return (n, [dy], c) => {
    if (!dy) return n.inputs.map(() => null);
    const { g } = c;
    const [, gamma, beta] = n.inputs;
    const { standardised: s, shape } = of(n, c);
    const { value, inverse } = standardise(g, s);
    const wide = (name: string): Ref => g.reshape(name, shape(name));
    const narrow = (grad: Ref, name: string): Ref => g.reshape(unbroadcast(g, grad, s.dims, shape(name)), c.dims(name));
    return [
      c.needs(0) ? throughStandardised(g, s, value, inverse, gamma ? g.mul(dy, wide(gamma)) : dy) : null,
      gamma && c.needs(1) ? narrow(g.mul(dy, value), gamma) : null,
      beta && c.needs(2) ? narrow(dy, beta) : null,
    ];
  };
}

/** LayerNormalization and RMSNormalization: all axes from `axis` on. */
const lastAxesGradient = (centred: boolean): GradientRule =>
  normalisationGradient((n, c) => {
    const [x] = n.inputs;
    const dims = c.dims(x);
    const first = positiveAxis(attrInt(n, "axis", -1), dims.length);
    const axes = range(dims.length).slice(first);
    return {
      standardised: { x, dims, axes, epsilon: attrFloat(n, "epsilon", 1e-5), centred },
      shape: (name) => c.dims(name),
    };
  });

export const layerNormalizationGradient = lastAxesGradient(true);
export const rmsNormalizationGradient = lastAxesGradient(false);

/** InstanceNormalization: every channel of every image for itself. */
export const instanceNormalizationGradient = normalisationGradient((n, c) => {
  const [x] = n.inputs;
  const dims = c.dims(x);
  return {
    standardised: { x, dims, axes: range(dims.length).slice(2), epsilon: attrFloat(n, "epsilon", 1e-5), centred: true },
    shape: () => dims.map((d, i) => (i === 1 ? d : 1)),
  };
});

/** MeanVarianceNormalization: no parameters; the operator's own epsilon stands outside of the root and is 1e-9. */
export const meanVarianceNormalizationGradient = normalisationGradient((n, c) => {
  const [x] = n.inputs;
  const dims = c.dims(x);
  const axes = (attrInts(n, "axes") ?? [0, 2, 3]).map((a) => positiveAxis(a, dims.length));
  return { standardised: { x, dims, axes, epsilon: 1e-18, centred: true }, shape: (name) => c.dims(name) };
});

/** GroupNormalization: channels in groups. Scale and shift are per group in opset 18, per channel from 21 on. */
export const groupNormalizationGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null, null];
  const { g } = c;
  const [x, gamma, beta] = n.inputs;
  const dims = c.dims(x);
  const groups = attrInt(n, "num_groups", 1);
  const grouped = [dims[0], groups, dims[1] / groups, ...dims.slice(2)];
  const shape = (name: string): number[] => {
    const perGroup = c.dims(name)[0] === groups;
    return [1, groups, perGroup ? 1 : dims[1] / groups, ...dims.slice(2).map(() => 1)];
  };
  const axes = range(grouped.length).slice(2);
  const s = { x: g.reshape(x, grouped), dims: grouped, axes, epsilon: attrFloat(n, "epsilon", 1e-5), centred: true };
  const { value, inverse } = standardise(g, s);
  const d = g.reshape(dy, grouped);
  const narrow = (grad: Ref, name: string): Ref => g.reshape(unbroadcast(g, grad, grouped, shape(name)), c.dims(name));
  return [
    c.needs(0)
      ? g.reshape(throughStandardised(g, s, value, inverse, g.mul(d, g.reshape(gamma, shape(gamma)))), dims)
      : null,
    c.needs(1) ? narrow(g.mul(d, value), gamma) : null,
    c.needs(2) ? narrow(d, beta) : null,
  ];
};

/** LpNormalization, y = x / |x|_p: what lies along y is taken off. */
export const lpNormalizationGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const [x] = n.inputs;
  const [y] = n.outputs;
  const axis = positiveAxis(attrInt(n, "axis", -1), c.dims(x).length);
  const absolute = attrInt(n, "p", 2) === 1;
  const norm = absolute ? g.reduceSum(g.emit("Abs", [x]), [axis]) : g.sqrt(g.reduceSum(g.mul(x, x), [axis]));
  const along = g.mul(absolute ? g.emit("Sign", [x]) : y, g.reduceSum(g.mul(dy, y), [axis]));
  return [g.div(g.sub(dy, along), g.emit("Max", [norm, g.const(1e-30)]))];
};

/** LRN (Krizhevsky et al. 2012): y = x d^-beta with d = bias + alpha / size * (sum of squares of neighbouring channels). */
export const lrnGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const [x] = n.inputs;
  const dims = c.dims(x);
  const size = attrInt(n, "size", 1);
  const [alpha, beta, bias] = [attrFloat(n, "alpha", 1e-4), attrFloat(n, "beta", 0.75), attrFloat(n, "bias", 1)];
  /** Mean over the window of channels, `before` of them ahead of the own one. */
  const windows = (v: Ref, before: number): Ref => {
    const flat = g.reshape(v, [dims[0], 1, dims[1], sizeOf(dims.slice(2))]);
    const pads = attr.ints([before, 0, size - 1 - before, 0]);
    const mean = g.emit("AveragePool", [flat], {
      kernel_shape: attr.ints([size, 1]),
      pads,
      count_include_pad: attr.int(1),
    });
    return g.reshape(mean, dims);
  };
  const before = Math.floor((size - 1) / 2);
  const d = g.add(scale(g, windows(g.mul(x, x), before), alpha), g.const(bias));
  const direct = g.mul(dy, g.emit("Pow", [d, g.const(-beta)]));
  const shared = windows(g.div(g.mul(direct, x), d), size - 1 - before);
  return [g.sub(direct, scale(g, g.mul(x, shared), 2 * alpha * beta))];
};
