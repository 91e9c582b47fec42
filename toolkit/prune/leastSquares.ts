/**
 * Weights that reproduce a target from some of the inputs: ridge regression in closed form from moments
 * (He et al. 2017, "Channel Pruning for Accelerating Very Deep Neural Networks", eq. 2; ridge towards given weights).
 */
import { CholeskyDecomposition, Matrix } from "ml-matrix";
import type { CrossMoments, Moments } from "./gram.js";

/** Weights of the kept columns, [outputs, kept.length] row-major, and the bias that goes with them. */
export interface Solution {
  weights: Float64Array;
  bias: Float64Array;
}

/**
 * Minimises |T - W X_S - b|^2 + ridge * mean(diag) * |W - prior|^2 over W and b.
 *
 * @param m moments of the inputs
 * @param c cross moments of the target with the inputs
 * @param kept columns that remain, ascending
 * @param prior weights to stay near, [outputs, kept.length]
 * @param ridge relative strength; the columns' mean energy is its unit
 * @param withBias false holds the bias at zero, for operators that have none
 */
export function solve(
  m: Moments,
  c: CrossMoments,
  kept: Int32Array,
  prior: Float64Array,
  ridge: number,
  withBias = true,
): Solution {
  const p = kept.length;
  const { outputs } = c;
  const meanX = Float64Array.from(kept, (k) => (withBias ? m.sums[k] / m.count : 0));
  const meanT = Float64Array.from(c.sums, (s) => (withBias ? s / m.count : 0));
  // Centred moments: the bias absorbs the means, so it needs no column of its own.
  const a = new Matrix(p, p);
  let trace = 0;
  for (let i = 0; i < p; i++) {
    for (let j = 0; j <= i; j++) {
      const v = m.products[kept[i] * m.columns + kept[j]] / m.count - meanX[i] * meanX[j];
      a.set(i, j, v);
      a.set(j, i, v);
    }
    trace += Math.max(0, a.get(i, i));
  }
  const mu = Math.max((ridge * trace) / Math.max(1, p), 1e-12);
  for (let i = 0; i < p; i++) a.set(i, i, Math.max(0, a.get(i, i)) + mu);
  const b = new Matrix(p, outputs);
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < p; i++) {
      b.set(i, o, c.products[o * m.columns + kept[i]] / m.count - meanT[o] * meanX[i] + mu * prior[o * p + i]);
    }
  }
  const x = decompose(a, mu).solve(b);
  const weights = new Float64Array(outputs * p);
  const bias = new Float64Array(outputs);
  for (let o = 0; o < outputs; o++) {
    let shift = meanT[o];
    for (let i = 0; i < p; i++) {
      const w = x.get(i, o);
      weights[o * p + i] = w;
      shift -= w * meanX[i];
    }
    bias[o] = shift;
  }
  return { weights, bias };
}

/** Cholesky with a growing diagonal: moments summed in float32 can be slightly indefinite. */
export function decompose(a: Matrix, mu: number): CholeskyDecomposition {
  for (let extra = mu; ; extra *= 10) {
    const d = new CholeskyDecomposition(a);
    if (d.isPositiveDefinite()) return d;
    for (let i = 0; i < a.rows; i++) a.set(i, i, a.get(i, i) + extra);
  }
}

/** Cross moments of the node's own original output: T = W X + b, so nothing but the input's moments is needed. */
export function ownTarget(m: Moments, weights: Float64Array, bias: Float64Array | undefined): CrossMoments {
  const p = m.columns;
  const outputs = weights.length / p;
  const w = new Matrix(outputs, p);
  for (let o = 0; o < outputs; o++) for (let i = 0; i < p; i++) w.set(o, i, weights[o * p + i]);
  const a = new Matrix(p, p);
  for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) a.set(i, j, m.products[i * p + j]);
  const product = w.mmul(a);
  const products = new Float64Array(outputs * p);
  const sums = new Float64Array(outputs);
  for (let o = 0; o < outputs; o++) {
    const shift = bias?.[o] ?? 0;
    sums[o] = shift * m.count;
    for (let i = 0; i < p; i++) {
      products[o * p + i] = product.get(o, i) + shift * m.sums[i];
      sums[o] += weights[o * p + i] * m.sums[i];
    }
  }
  return { outputs, products, sums };
}
