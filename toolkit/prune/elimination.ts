/**
 * Order in which channels are best removed when the weights that remain may re-adjust: greedy block elimination on the
 * quadratic reconstruction error (Optimal Brain Surgeon, Hassibi & Stork 1993, in its block form).
 */
import { inverse, Matrix } from "ml-matrix";
import type { Moments } from "./gram.js";
import { decompose } from "./leastSquares.js";

/** Error of one consumer of a group: outputs W X, as a function of which channels of the group remain. */
export interface QuadraticError {
  moments: Moments;
  /** [outputs, columns], rows already weighted by how much each output matters. */
  weights: Float64Array;
  /** Columns owned by each channel class of the group. */
  blocks: readonly Int32Array[];
}

export interface Elimination {
  /** Channel classes, first to be removed first. */
  order: Int32Array;
  /** `error[k]`: sum over consumers of the relative squared error after removing the first k classes; error[0] = 0. */
  error: Float64Array;
}

class Consumer {
  readonly energy: number;
  private readonly inv: Float64Array;
  private readonly w: Float64Array;
  private readonly p: number;
  private readonly outputs: number;

  constructor(
    private readonly e: QuadraticError,
    ridge: number,
  ) {
    const { moments: m } = e;
    const p = m.columns;
    this.p = p;
    this.outputs = e.weights.length / p;
    this.w = Float64Array.from(e.weights);
    // Centred second moments: removed means go into the bias.
    const a = new Matrix(p, p);
    let trace = 0;
    for (let i = 0; i < p; i++) {
      const mi = m.sums[i] / m.count;
      for (let j = 0; j <= i; j++) {
        const v = m.products[i * p + j] / m.count - mi * (m.sums[j] / m.count);
        a.set(i, j, v);
        a.set(j, i, v);
      }
      trace += Math.max(0, a.get(i, i));
    }
    this.energy = Math.max(energyOf(a, e.weights, this.outputs), 1e-30);
    const mu = Math.max((ridge * trace) / p, 1e-12);
    for (let i = 0; i < p; i++) a.set(i, i, Math.max(0, a.get(i, i)) + mu);
    const inv = decompose(a, mu).solve(Matrix.eye(p));
    this.inv = new Float64Array(p * p);
    for (let i = 0; i < p; i++) for (let j = 0; j < p; j++) this.inv[i * p + j] = inv.get(i, j);
  }

  private blockInverse(columns: Int32Array): Matrix {
    const n = columns.length;
    const block = new Matrix(n, n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) block.set(i, j, this.inv[columns[i] * this.p + columns[j]]);
    return inverse(block);
  }

  /** Growth of the squared error when a channel goes: tr(W_c (inv_cc)^-1 W_c^T). */
  increase(channel: number): number {
    const columns = this.e.blocks[channel];
    const n = columns.length;
    const s = this.blockInverse(columns);
    let total = 0;
    for (let o = 0; o < this.outputs; o++) {
      const row = o * this.p;
      for (let i = 0; i < n; i++) {
        const wi = this.w[row + columns[i]];
        if (wi === 0) continue;
        let t = 0;
        for (let j = 0; j < n; j++) t += s.get(i, j) * this.w[row + columns[j]];
        total += wi * t;
      }
    }
    return Math.max(0, total);
  }

  /** Removes a channel: the other weights and the inverse take up what it leaves. */
  remove(channel: number): void {
    const columns = this.e.blocks[channel];
    const { p, inv, w } = this;
    const n = columns.length;
    const s = this.blockInverse(columns);
    const rows = new Float64Array(n * p); // (inv_cc)^-1 inv_c,:
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const f = s.get(i, j);
        const from = columns[j] * p;
        for (let k = 0; k < p; k++) rows[i * p + k] += f * inv[from + k];
      }
    }
    for (let o = 0; o < this.outputs; o++) {
      for (let i = 0; i < n; i++) {
        const f = w[o * p + columns[i]];
        if (f !== 0) for (let k = 0; k < p; k++) w[o * p + k] -= f * rows[i * p + k];
      }
    }
    const left = new Float64Array(n);
    for (let r = 0; r < p; r++) {
      const at = r * p;
      for (let i = 0; i < n; i++) left[i] = inv[at + columns[i]];
      for (let i = 0; i < n; i++) {
        const f = left[i];
        const from = i * p;
        if (f !== 0) for (let k = 0; k < p; k++) inv[at + k] -= f * rows[from + k];
      }
    }
    // Exact zeros, and a unit diagonal so that nothing divides by the vanished block again.
    for (const c of columns) {
      for (let k = 0; k < p; k++) inv[c * p + k] = inv[k * p + c] = 0;
      inv[c * p + c] = 1;
      for (let o = 0; o < this.outputs; o++) w[o * p + c] = 0;
    }
  }
}

/**
 * The same error with one coefficient per channel: what each channel adds to the outputs may be rescaled but not
 * reshaped (the selection step of He et al. 2017, with elimination in place of their LASSO). Its moments are those of the
 * contributions z_c = W_c x_c, so a 3x3 convolution has a ninth of the columns and needs no large inverse.
 */
export function contributions(e: QuadraticError): QuadraticError {
  const { moments: m, weights, blocks } = e;
  const p = m.columns;
  const outputs = weights.length / p;
  const channels = blocks.length;
  const products = new Float64Array(channels * channels);
  const means = Float64Array.from(m.sums, (s) => s / m.count);
  for (let d = 0; d < channels; d++) {
    // v = centred A[:, d] W_d^T, [columns, outputs]
    const v = new Float64Array(p * outputs);
    for (const k of blocks[d]) {
      for (let r = 0; r < p; r++) {
        const a = m.products[r * p + k] / m.count - means[r] * means[k];
        const at = r * outputs;
        for (let o = 0; o < outputs; o++) v[at + o] += a * weights[o * p + k];
      }
    }
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (const r of blocks[c]) for (let o = 0; o < outputs; o++) sum += weights[o * p + r] * v[r * outputs + o];
      products[c * channels + d] = sum;
    }
  }
  return {
    moments: { columns: channels, count: 1, products, sums: new Float64Array(channels) },
    weights: new Float64Array(channels).fill(1),
    blocks: blocks.map((_, c) => Int32Array.of(c)),
  };
}

function energyOf(a: Matrix, weights: Float64Array, outputs: number): number {
  const p = a.rows;
  let total = 0;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < p; i++) {
      const wi = weights[o * p + i];
      if (wi === 0) continue;
      const row = a.getRow(i);
      let t = 0;
      for (let j = 0; j < p; j++) t += row[j] * weights[o * p + j];
      total += wi * t;
    }
  }
  return total;
}

/**
 * Greedy elimination down to one channel class.
 * @param consumers everything that reads the group; each error is taken relative to that consumer's output energy
 * @param ridge relative damping of the moments, as in `leastSquares.solve`
 */
export function eliminate(consumers: readonly QuadraticError[], width: number, ridge = 1e-3): Elimination {
  const state = consumers.map((c) => new Consumer(c, ridge));
  const left = new Set(Array.from({ length: width }, (_, i) => i));
  const order = new Int32Array(width);
  const error = new Float64Array(width);
  let total = 0;
  for (let k = 0; k < width - 1; k++) {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const c of left) {
      let growth = 0;
      for (const s of state) growth += s.increase(c) / s.energy;
      if (growth < least) {
        least = growth;
        best = c;
      }
    }
    for (const s of state) s.remove(best);
    left.delete(best);
    order[k] = best;
    total += least;
    error[k + 1] = total;
  }
  order[width - 1] = [...left][0] ?? 0;
  return { order, error };
}
