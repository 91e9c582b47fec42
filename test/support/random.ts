/** Seeded random numbers for tests. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** A generator of approximately normal numbers. */
export function gaussian(seed: number): () => number {
  const rng = xoroshiro128plus(seed);
  return () => {
    const u = Math.max(uniformFloat64(rng), 1e-300);
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * uniformFloat64(rng));
  };
}
