/** Random numbers of a training run, addressed by seed, epoch and step, so that any step can be made again on its own. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** Invertible mixing of 32 bits (the finaliser of MurmurHash3): distinct in, distinct out. */
function mix(v: number): number {
  let h = v | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

/** The stream of one step; `step` -1 is the order of the epoch. Different addresses start from different states. */
export function streamOf(seed: number, epoch: number, step: number): RandomGenerator {
  const generator = xoroshiro128plusFromState([mix(seed), mix(epoch + 1), mix(step + 2), 0x9e3779b9 | 0]);
  for (let i = 0; i < 12; i++) generator.next();
  return generator;
}

/** 0 … count-1 in random order (Fisher and Yates). */
export function shuffled(count: number, random: RandomGenerator): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Uniform in [low, high). */
export const between = (random: RandomGenerator, low: number, high: number): number =>
  low + (high - low) * uniformFloat64(random);

/** Standard normal (Box-Muller; 1 - u keeps the logarithm finite). */
const normal = (random: RandomGenerator): number =>
  Math.sqrt(-2 * Math.log(1 - uniformFloat64(random))) * Math.cos(2 * Math.PI * uniformFloat64(random));

/** Gamma of the given shape and scale 1 (Marsaglia and Tsang 2000; shapes below 1 by their boost). */
function gamma(random: RandomGenerator, shape: number): number {
  if (shape < 1) return gamma(random, shape + 1) * (1 - uniformFloat64(random)) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const z = normal(random);
    const v = (1 + c * z) ** 3;
    if (v <= 0) continue;
    const u = 1 - uniformFloat64(random);
    if (Math.log(u) < 0.5 * z * z + d - d * v + d * Math.log(v)) return d * v;
  }
}

/** Beta(alpha, alpha): symmetric around one half, uniform for alpha 1. */
export function symmetricBeta(random: RandomGenerator, alpha: number): number {
  const a = gamma(random, alpha);
  const b = gamma(random, alpha);
  // Very small shapes can underflow in both; the limit of the distribution is then a fair coin.
  return a + b > 0 ? a / (a + b) : uniformInt(random, 0, 1);
}
