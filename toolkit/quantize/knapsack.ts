/**
 * Which layers stay float: the fastest choice whose noise at the output the accuracy can bear. Times and accuracy are the
 * caller's; so is the knapsack solver, which lives where widths are allocated.
 */
import type { MixedPrecision } from "./mixed.js";
import type { NodeSensitivity } from "./sensitivity.js";

/** Picks one item of every class, least total loss with total cost within the budget; undefined when nothing fits. */
export type Knapsack = (
  classes: readonly { cost: readonly number[]; loss: readonly number[] }[],
  budget: number,
) => number[] | undefined;

export interface KnapsackOptions {
  floatMs: (node: string) => number;
  integerMs: (node: string) => number;
  knapsack: Knapsack;
  /** Whether the net with these nodes float is accurate enough, really measured. */
  accepts: (keepFloat: ReadonlySet<string>) => Promise<boolean>;
}

export type KnapsackChoice = Omit<MixedPrecision, "sqnrDb"> & {
  /** Milliseconds of the nodes that were chosen among, as the table has them. */
  ms: number;
};

const noiseOf = (sqnrDb: number): number => 10 ** (-sqnrDb / 10);

/** How often the noise budget is halved, and then how often the last interval is. */
const HALVINGS = 20;
const REFINEMENTS = 3;

/**
 * Noise powers of single layers (`alone`) add up nearly, so a noise budget makes this a multiple-choice knapsack: float costs no
 * noise, integers cost theirs; the sum of times is to be least. How much noise the accuracy bears is found by measuring:
 * the budget is halved until the net is accepted, then refined between the last two.
 */
export async function chooseByKnapsack(
  sensitivities: readonly NodeSensitivity[],
  o: KnapsackOptions,
): Promise<KnapsackChoice> {
  const nodes = sensitivities.map((s) => s.node);
  const noise = sensitivities.map((s) => noiseOf(s.sqnrDb));
  const classes = nodes.map((n, i) => ({ cost: [noise[i], 0], loss: [o.integerMs(n), o.floatMs(n)] }));
  const total = noise.reduce((a, b) => a + b, 0);
  const useless = new Set(nodes.filter((n) => o.floatMs(n) <= o.integerMs(n)));
  const pick = (budget: number): Set<string> => {
    const chosen = o.knapsack(classes, budget);
    // Without noise everything fits: nothing is the all-float net.
    return new Set(nodes.filter((n, i) => useless.has(n) || !chosen || chosen[i] === 1));
  };
  const key = (s: ReadonlySet<string>): string => [...s].sort().join("\n");
  const known = new Map<string, boolean>();
  const accepts = async (s: ReadonlySet<string>): Promise<boolean> => {
    const k = key(s);
    const before = known.get(k);
    if (before !== undefined) return before;
    const answer = await o.accepts(s);
    known.set(k, answer);
    return answer;
  };
  // A little above the sum, so that rounding up in the solver does not push anything out.
  let [refused, budget] = [Number.NaN, total * 1.01];
  let keepFloat = pick(budget);
  let accepted = await accepts(keepFloat);
  for (let i = 0; i < HALVINGS && !accepted; i++) {
    refused = budget;
    budget /= 2;
    keepFloat = pick(budget);
    accepted = await accepts(keepFloat);
  }
  if (!accepted) {
    keepFloat = new Set(nodes);
    accepted = await accepts(keepFloat);
  } else if (!Number.isNaN(refused)) {
    for (let i = 0; i < REFINEMENTS; i++) {
      const middle = Math.sqrt(budget * refused);
      const candidate = pick(middle);
      if (await accepts(candidate)) [budget, keepFloat] = [middle, candidate];
      else refused = middle;
    }
  }
  const reasons = new Map<string, "not-faster" | "not-safe">(
    [...keepFloat].map((n) => [n, useless.has(n) ? "not-faster" : "not-safe"]),
  );
  const ms = nodes.reduce((sum, n) => sum + (keepFloat.has(n) ? o.floatMs(n) : o.integerMs(n)), 0);
  return { keepFloat, reasons, meetsFloor: accepted, ms };
}
