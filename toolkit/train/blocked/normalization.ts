/** BatchNormalization on the batch's statistics, and its gradient, over blocked values. */
import type { Ref } from "../../graph/builder.js";
import { scale } from "../../ops/algebra.js";
import { inverseDeviation } from "../../ops/normalizationGradient.js";
import type { BlockedValues, Make } from "./values.js";

/** The input of a normalisation: blocked values, less `shift` per channel [C'] where they were made so. */
export interface Shifted {
  ref: Ref;
  shift?: Ref;
}

/** What the gradient reads again; vectors [C'] over whole blocks. */
export interface Normalised {
  x: Ref;
  channels: number;
  /** Mean of x as it is held. */
  mean: Ref;
  /** 1 / sqrt(variance + epsilon). */
  inverse: Ref;
  /** scale / sqrt(variance + epsilon). */
  slope: Ref;
}

export interface BatchStatistics {
  /** [C], of the values before any shift. */
  mean: Ref;
  variance: Ref;
  output: Make;
  normalised: Normalised;
}

/**
 * Normalises x by the batch. Where x is held less something near its mean, one pass over its squares gives the variance without
 * losing digits; elsewhere x is centred first.
 */
export function blockedBatchNorm(
  v: BlockedValues,
  x: Shifted,
  channels: number,
  parameters: { gamma: Ref; beta: Ref; epsilon: number },
): BatchStatistics {
  const { g } = v;
  const mean = v.mean(x.ref, channels);
  let variance: Ref;
  if (x.shift) {
    const squares = v.mean(g.mul(x.ref, x.ref), channels);
    // Rounding must not make the variance of a constant channel negative.
    variance = g.relu(g.sub(squares, g.mul(mean, mean)));
  } else {
    const ones = g.const(new Float32Array(v.padded(channels)).fill(1));
    const centred = v.affine(x.ref, ones, g.neg(mean), channels);
    variance = v.mean(g.mul(centred, centred), channels);
  }
  const inverse = inverseDeviation(g, variance, parameters.epsilon);
  const slope = g.mul(v.fill(parameters.gamma, channels), inverse);
  const offset = g.sub(v.fill(parameters.beta, channels), g.mul(mean, slope));
  return {
    mean: v.cut(x.shift ? g.add(mean, x.shift) : mean, channels),
    variance: v.cut(variance, channels),
    output: (finish) => v.affine(x.ref, slope, offset, channels, finish),
    normalised: { x: x.ref, channels, mean, inverse, slope },
  };
}

export interface BatchNormGradients {
  /** The input's gradient is factor * raw. */
  input: { raw: Ref; factor: Ref };
  /** [C] */
  scale: Ref;
  bias: Ref;
}

/**
 * dx = slope (dy - mean(dy) - x^ mean(dy x^)) (Ioffe and Szegedy 2015). The slope is left to the reader, so that one pass over x and
 * dy remains; `count` is the number of elements per channel.
 */
export function blockedBatchNormGradient(v: BlockedValues, n: Normalised, dy: Ref, count: number): BatchNormGradients {
  const { g } = v;
  const meanDy = v.mean(dy, n.channels);
  const meanDyX = v.mean(g.mul(dy, n.x), n.channels);
  const along = g.mul(g.sub(meanDyX, g.mul(n.mean, meanDy)), n.inverse);
  const a = g.neg(g.mul(along, n.inverse));
  const b = g.neg(g.add(meanDy, g.mul(a, n.mean)));
  return {
    input: { raw: v.affine(n.x, a, b, n.channels, { sum: dy }), factor: n.slope },
    scale: v.cut(scale(g, along, count), n.channels),
    bias: v.cut(scale(g, meanDy, count), n.channels),
  };
}
