/** Blending of the items of a batch: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018. */
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Batch } from "../data/dataset.js";
import { shuffled, symmetricBeta } from "./random.js";

/**
 * Every item becomes share * itself + (1 - share) * another item, the shares drawn from Beta(alpha, alpha), one per item. Works
 * on inputs of any shape. Labels, where there are any, stay those of the item itself; the other's are in `mixed`.
 */
export function mixBatch(batch: Batch, alpha: number, random: RandomGenerator): Batch {
  const n = batch.dims[0];
  const size = batch.data.length / n;
  const partner = shuffled(n, random);
  const shares = Float32Array.from({ length: n }, () => symmetricBeta(random, alpha));
  const data = new Float32Array(batch.data.length);
  for (let i = 0; i < n; i++) {
    const own = i * size;
    const other = partner[i] * size;
    const share = shares[i];
    for (let k = 0; k < size; k++) data[own + k] = share * batch.data[own + k] + (1 - share) * batch.data[other + k];
  }
  const { labels } = batch;
  return { ...batch, data, mixed: { shares, ...(labels ? { labels: partner.map((p) => labels[p]) } : {}) } };
}
