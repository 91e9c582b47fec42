/**
 * Random streams addressed by name: the same (seed, split, index) always gives the same numbers, and different ones never
 * share a generator state. So items can be rendered in any order, and the splits of a data set cannot overlap.
 */
import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";

/** Draws of one stream. */
export interface Random {
  /** Uniform in [0, 1). */
  unit(): number;
  /** Uniform in [low, high). */
  between(low: number, high: number): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** True with the given probability. */
  chance(probability: number): boolean;
  /** One of the choices, all equally likely. */
  pick<T>(choices: readonly T[]): T;
}

/** Invertible mixing of 32 bits (the finaliser of MurmurHash3): distinct in, distinct out. */
function mix(v: number): number {
  let h = v | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) | 0;
}

/**
 * Stream of item `index` of stream family `family` under `seed`. The three numbers (32-bit integers) fill three quarters of
 * the generator's state one to one, hence different items start from different states.
 */
export function randomStream(seed: number, family: number, index: number): Random {
  const generator = xoroshiro128plusFromState([mix(seed), mix(family + 1), mix(index), 0x9e3779b9 | 0]);
  for (let i = 0; i < 12; i++) generator.next();
  const unit = () => uniformFloat32(generator);
  return {
    unit,
    between: (low, high) => low + (high - low) * unit(),
    normal: () => Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit()),
    chance: (probability) => unit() < probability,
    pick: (choices) => choices[Math.min(choices.length - 1, Math.floor(unit() * choices.length))],
  };
}
