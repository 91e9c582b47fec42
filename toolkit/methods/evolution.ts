/** Evolutionary search under a hard constraint, as MetaPruning, OFA and others use it: small populations, cached scores. */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { UsageError } from "../graph/errors.js";

/** A candidate as a list of choices: `genes[i]` is one of 0 … `choices[i]` - 1. */
export type Genes = readonly number[];

export interface EvolutionOptions {
  /** Number of choices of each gene. */
  choices: readonly number[];
  /** Candidates per generation. */
  population: number;
  generations: number;
  /** Those that have children. */
  parents: number;
  /** Chance that a gene of a mutant is drawn anew. */
  mutation: number;
  random: RandomGenerator;
  /** A candidate for the first generation. */
  draw(): Genes;
  /** The nearest candidate that keeps the constraint, or undefined. */
  admit(genes: Genes): Genes | undefined;
  /** Lower is better. */
  score(genes: Genes): Promise<number>;
  onScore?(done: number, total: number): void;
}

export interface Scored {
  genes: Genes;
  score: number;
}

/** Draws in vain before a search gives up finding another candidate. */
const PATIENCE = 200;

/** Half of each new generation are mutants of the best, half are crossed from two of them. Returns all that were scored, best first. */
export async function evolve(o: EvolutionOptions): Promise<Scored[]> {
  const { random } = o;
  const known = new Map<string, Scored>();
  const total = o.population * (o.generations + 1);
  const ranked = (): Scored[] => [...known.values()].sort((a, b) => a.score - b.score);
  const pick = <T>(list: readonly T[]): T => list[uniformInt(random, 0, list.length - 1)];
  const chance = (p: number): boolean => uniformInt(random, 0, 999_999) < p * 1e6;

  const fill = async (count: number, make: () => Genes): Promise<void> => {
    let vain = 0;
    for (let added = 0; added < count && vain < PATIENCE; ) {
      const genes = o.admit(make());
      const key = genes?.join();
      if (!genes || key === undefined || known.has(key)) {
        vain++;
        continue;
      }
      known.set(key, { genes, score: await o.score(genes) });
      added++;
      o.onScore?.(known.size, total);
    }
  };

  await fill(o.population, o.draw);
  if (known.size === 0)
    throw new UsageError("target-unreachable", "no candidate of the search keeps its constraint", {
      hint: "allow more milliseconds, or give a net that can be made smaller",
    });
  for (let generation = 0; generation < o.generations; generation++) {
    const parents = ranked().slice(0, o.parents);
    const mutants = Math.ceil(o.population / 2);
    await fill(mutants, () =>
      pick(parents).genes.map((g, i) => (chance(o.mutation) ? uniformInt(random, 0, o.choices[i] - 1) : g)),
    );
    await fill(o.population - mutants, () => {
      const [a, b] = [pick(parents).genes, pick(parents).genes];
      return a.map((g, i) => (chance(0.5) ? g : b[i]));
    });
  }
  return ranked();
}
