/**
 * Costs of nets that are not decided yet. A cost is a sum of parts, each a function of few widths; where the widths are independent
 * random variables its expectation is exact:
 *
 *     E[cost] = fixed + Σ_parts Σ_a Σ_b … P(a) P(b) … cost(a, b, …)
 *
 * This handles staircases as they are, which the cost at the expected widths does not. Where a single, fractional width is asked
 * for, a part is interpolated linearly between candidate widths in each of its groups. Both come with their derivatives.
 */
import type { Cost, CostPart } from "./method.js";

/** Widths to choose from, ascending, per group. Groups without them are whole. */
export type Candidates = ReadonlyMap<string, readonly number[]>;

/** Probability of each candidate width, per group. */
export type Distributions = ReadonlyMap<string, ArrayLike<number>>;

/** A value and its derivatives: by each probability of each group, or by each width. */
export interface WithGradient<T> {
  value: number;
  gradient: Map<string, T>;
}

/** Combinations of widths of one part that are summed over; parts that read more groups than that allows are interpolated. */
const MOST_COMBINATIONS = 20_000;

/** Expected cost; tables of all combinations of candidate widths are asked for once. */
export class ExpectedCost {
  private readonly tables: { part: CostPart; ids: string[]; table?: Float64Array }[];

  constructor(
    private readonly cost: Cost,
    private readonly candidates: Candidates,
  ) {
    this.tables = cost.parts.map((part) => {
      const ids = part.groups.filter((id) => candidates.has(id));
      const lengths = ids.map((id) => candidates.get(id)!.length);
      const count = lengths.reduce((a, b) => a * b, 1);
      if (count > MOST_COMBINATIONS) return { part, ids };
      const table = new Float64Array(count);
      for (let i = 0; i < count; i++) {
        const at = digits(i, lengths);
        table[i] = part.of(new Map(ids.map((id, k) => [id, candidates.get(id)![at[k]]])));
      }
      return { part, ids, table };
    });
  }

  at(p: Distributions): WithGradient<Float64Array> {
    const gradient = new Map([...this.candidates].map(([id, w]) => [id, new Float64Array(w.length)]));
    let value = this.cost.fixed;
    for (const { part, ids, table } of this.tables) {
      if (!table) {
        const widths = new Map(ids.map((id) => [id, meanWidth(this.candidates.get(id)!, p.get(id)!)]));
        const here = interpolated(part, widths, this.candidates);
        value += here.value;
        for (const [id, slope] of here.gradient)
          for (const [k, w] of this.candidates.get(id)!.entries()) gradient.get(id)![k] += slope * w;
        continue;
      }
      const lengths = ids.map((id) => this.candidates.get(id)!.length);
      for (let i = 0; i < table.length; i++) {
        const at = digits(i, lengths);
        const factors = ids.map((id, k) => p.get(id)![at[k]]);
        value += table[i] * factors.reduce((a, b) => a * b, 1);
        ids.forEach((id, k) => {
          const others = factors.reduce((a, f, j) => (j === k ? a : a * f), 1);
          gradient.get(id)![at[k]] += table[i] * others;
        });
      }
    }
    return { value, gradient };
  }
}

/** Place in each list of the `index`-th combination. */
function digits(index: number, lengths: readonly number[]): number[] {
  let rest = index;
  return lengths.map((n) => {
    const digit = rest % n;
    rest = Math.floor(rest / n);
    return digit;
  });
}

export const meanWidth = (widths: readonly number[], p: ArrayLike<number>): number =>
  widths.reduce((sum, w, k) => sum + w * p[k], 0);

/** Groups in which a part is interpolated jointly; with more, each is taken on its own around the nearest corner. */
const MOST_CORNERS = 6;

/** Neighbours of a width among the candidates, and how far it lies from the lower towards the upper one. */
function bracket(candidates: readonly number[], width: number): { low: number; high: number; t: number } {
  const top = candidates.findIndex((w) => w >= width);
  if (top === 0) return { low: candidates[0], high: candidates[0], t: 0 };
  if (top < 0) return { low: candidates.at(-1)!, high: candidates.at(-1)!, t: 0 };
  const [low, high] = [candidates[top - 1], candidates[top]];
  return { low, high, t: (width - low) / (high - low) };
}

/** A part at fractional widths, and its slope in each; beyond the candidates it is level. */
export function interpolated(
  part: CostPart,
  widths: ReadonlyMap<string, number>,
  candidates: Candidates,
): WithGradient<number> {
  const ids = part.groups.filter((id) => widths.has(id));
  const sides = ids.map((id) => bracket(candidates.get(id)!, widths.get(id)!));
  const gradient = new Map(ids.map((id) => [id, 0]));
  const of = (upper: (k: number) => boolean): number =>
    part.of(new Map(ids.map((id, k) => [id, upper(k) ? sides[k].high : sides[k].low])));
  const slope = (k: number, difference: number): void => {
    const { low, high } = sides[k];
    if (high > low) gradient.set(ids[k], gradient.get(ids[k])! + difference / (high - low));
  };
  if (ids.length > MOST_CORNERS) {
    const near = (k: number): boolean => sides[k].t > 0.5;
    const base = of(near);
    let value = base;
    ids.forEach((_, k) => {
      const other = of((j) => (j === k ? !near(k) : near(j)));
      value += (other - base) * (near(k) ? 1 - sides[k].t : sides[k].t);
      slope(k, near(k) ? base - other : other - base);
    });
    return { value, gradient };
  }
  let value = 0;
  for (let corner = 0; corner < 2 ** ids.length; corner++) {
    const upper = (k: number): boolean => ((corner >> k) & 1) === 1;
    const shares = sides.map((s, k) => (upper(k) ? s.t : 1 - s.t));
    const cost = of(upper);
    value += cost * shares.reduce((a, b) => a * b, 1);
    ids.forEach((_, k) => {
      slope(k, (upper(k) ? cost : -cost) * shares.reduce((a, s, j) => (j === k ? a : a * s), 1));
    });
  }
  return { value, gradient };
}

/** The whole cost at fractional widths. */
export function interpolatedCost(
  cost: Cost,
  widths: ReadonlyMap<string, number>,
  candidates: Candidates,
): WithGradient<number> {
  const gradient = new Map([...widths.keys()].map((id) => [id, 0]));
  let value = cost.fixed;
  for (const part of cost.parts) {
    const here = interpolated(part, widths, candidates);
    value += here.value;
    for (const [id, slope] of here.gradient) gradient.set(id, gradient.get(id)! + slope);
  }
  return { value, gradient };
}
