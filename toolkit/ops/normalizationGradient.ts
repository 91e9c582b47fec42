/** Gradients of normalisation. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attrFloat, attrInt, type OpNode } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { range, scale } from "./algebra.js";
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
