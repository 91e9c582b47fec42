/** Blending of the items of a batch: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018. */
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Batch } from "../data/dataset.js";
import { shuffled, symmetricBeta } from "./random.js";

/**
 * Every item becomes share * itself + (1 - share) * another item, the shares drawn from Beta(alpha, alpha), one per item. Works
 * on inputs of any shape. Targets are blended alike; labels, where there are any, stay those of the item itself, and the
 * other's are in `mixed`.
 */
export function mixBatch(batch: Batch, alpha: number, random: RandomGenerator): Batch {
  const n = batch.dims[0];
  const partner = shuffled(n, random);
  const shares = Float32Array.from({ length: n }, () => symmetricBeta(random, alpha));
  const blend = (values: Float32Array): Float32Array => {
    const size = values.length / n;
    const out = new Float32Array(values.length);
    for (let i = 0; i < n; i++) {
      const own = i * size;
      const other = partner[i] * size;
      const share = shares[i];
      for (let k = 0; k < size; k++) out[own + k] = share * values[own + k] + (1 - share) * values[other + k];
    }
    return out;
  };
  const { labels, targets } = batch;
  return {
    ...batch,
    data: blend(batch.data),
    ...(targets ? { targets: Object.fromEntries(Object.entries(targets).map(([k, v]) => [k, blend(v)])) } : {}),
    mixed: { shares, ...(labels ? { labels: partner.map((p) => labels[p]) } : {}) },
  };
}
