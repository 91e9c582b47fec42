/**
 * The width of a group as a Markov chain (Guo et al., DMCP, CVPR 2020). Candidate widths c_0 < c_1 < … < c_K cut the channels, in order
 * of importance, into blocks; block k is kept only where block k-1 is:
 *
 *     p_k = P(block k kept | block k-1 kept)         exp(-max(α_k, 0)), or 1 / (1 + exp(-α_k))
 *     m_k = p_1 p_2 … p_k                            marginal keep probability, m_0 = 1, m_{K+1} = 0
 *     P(width = c_k) = m_k - m_{k+1}
 *
 * One parameter α_k per block. In a pass that learns α, channels of block k are multiplied by m_k.
 */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Order } from "../prune/importance.js";

/** How α becomes a probability. The published code has both; at α = 0 they give 1 and 1/2. */
export type KeepForm = "exp" | "sigmoid";

export class MarkovChain {
  constructor(
    /** Ascending, ending with the full width. */
    readonly widths: readonly number[],
    readonly form: KeepForm,
    /** α_1 … α_K; changed from outside. */
    readonly alpha: Float64Array = new Float64Array(widths.length - 1),
  ) {}

  /** p_1 … p_K. */
  keep(): Float64Array {
    return this.alpha.map((a) => (this.form === "exp" ? Math.exp(-Math.max(a, 0)) : 1 / (1 + Math.exp(-a))));
  }

  /** m_0 … m_K. */
  marginal(): Float64Array {
    const p = this.keep();
    const m = new Float64Array(this.widths.length).fill(1);
    for (let k = 1; k < m.length; k++) m[k] = m[k - 1] * p[k - 1];
    return m;
  }

  /** Probability of each candidate width. */
  distribution(): Float64Array {
    const m = this.marginal();
    return m.map((v, k) => v - (m[k + 1] ?? 0));
  }

  expectedWidth(): number {
    return this.distribution().reduce((sum, p, k) => sum + p * this.widths[k], 0);
  }

  /** Gate of every channel. */
  gates(order: Order): Float32Array {
    const m = this.marginal();
    const out = new Float32Array(order.length);
    this.blocks(order, (channel, block) => (out[channel] = m[block]));
    return out;
  }

  /** Derivatives by m_0 … m_K of something whose derivatives by the gates are given. */
  throughGates(order: Order, byGate: ArrayLike<number>): Float64Array {
    const out = new Float64Array(this.widths.length);
    this.blocks(order, (channel, block) => (out[block] += byGate[channel]));
    return out;
  }

  /** Derivatives by m_0 … m_K of something whose derivatives by the probabilities of the widths are given. */
  throughDistribution(byProbability: ArrayLike<number>): Float64Array {
    return Float64Array.from(this.widths, (_, k) => byProbability[k] - (k > 0 ? byProbability[k - 1] : 0));
  }

  /** Derivatives by α_1 … α_K of something whose derivatives by m_0 … m_K are given: dm_k/dα_j = m_k · d log p_j / dα_j for j <= k. */
  throughMarginal(byMarginal: ArrayLike<number>): Float64Array {
    const [m, p] = [this.marginal(), this.keep()];
    const out = new Float64Array(this.alpha.length);
    let behind = 0;
    for (let j = out.length; j >= 1; j--) {
      behind += byMarginal[j] * m[j];
      const slope = this.form === "exp" ? (this.alpha[j - 1] >= 0 ? -1 : 0) : 1 - p[j - 1];
      out[j - 1] = behind * slope;
    }
    return out;
  }

  /** Direct sampling: from c_0 on, each block is kept with its probability until one is not. */
  sample(random: RandomGenerator): number {
    const p = this.keep();
    let k = 0;
    while (k < p.length && uniformFloat64(random) <= p[k]) k++;
    return this.widths[k];
  }

  /** Channels by their block, the most important in block 0. */
  private blocks(order: Order, f: (channel: number, block: number) => void): void {
    let block = 0;
    for (let rank = 0; rank < order.length; rank++) {
      while (rank >= this.widths[block]) block++;
      f(order[order.length - 1 - rank], block);
    }
  }
}
