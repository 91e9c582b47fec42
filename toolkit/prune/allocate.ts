/**
 * Chooses one width per group: least total loss whose cost stays within a budget. The solver inside is an exact
 * multiple-choice knapsack (dynamic programming over a discretised budget). Costs of kernels that lie between two
 * groups are not separable; they are handled by re-linearisation around the current widths on a geometric path of
 * budgets, and a final exchange on the exact cost. Knows nothing of graphs or devices.
 */
import { EdgefitError } from "../graph/errors.js";

/** One group's menu: candidate widths, ascending, and the loss of each (0 at the full width). */
export interface Choice {
  id: string;
  widths: readonly number[];
  /** `loss[i]` belongs to `widths[i]`; lower is better, any unit that is the same for all groups. */
  loss: readonly number[];
}

/** Cost of one kernel at given widths of the groups that it touches. */
export interface KernelCost {
  groups: readonly string[];
  ms(widths: ReadonlyMap<string, number>): number;
}

export interface Allocation {
  widths: Map<string, number>;
  /** Exact cost of `widths`, in ms. */
  ms: number;
  loss: number;
}

export interface AllocationProblem {
  choices: readonly Choice[];
  kernels: readonly KernelCost[];
  /** Cost that no width changes, in ms. */
  fixedMs: number;
}

/**
 * Multiple-choice knapsack: picks one item of every class, least total loss with total cost <= `budget`.
 * Exact for costs that are whole multiples of `budget / buckets`; otherwise costs are rounded up, so the budget is
 * never exceeded. O(classes x items x buckets) time. Returns the chosen index per class, or undefined if nothing fits.
 */
export function knapsack(
  classes: readonly { cost: readonly number[]; loss: readonly number[] }[],
  budget: number,
  buckets = 4000,
): number[] | undefined {
  if (!(budget >= 0)) return undefined;
  const unit = budget > 0 ? budget / buckets : 1;
  const units = (c: number): number => Math.max(0, Math.ceil(c / unit - 1e-9));
  let best = new Float64Array(buckets + 1); // least loss with cost <= b
  const picks: Int16Array[] = [];
  for (const { cost, loss } of classes) {
    const next = new Float64Array(buckets + 1).fill(Number.POSITIVE_INFINITY);
    const pick = new Int16Array(buckets + 1).fill(-1);
    for (let i = 0; i < cost.length; i++) {
      const u = units(cost[i]);
      for (let b = u; b <= buckets; b++) {
        const value = best[b - u] + loss[i];
        if (value < next[b]) {
          next[b] = value;
          pick[b] = i;
        }
      }
    }
    best = next;
    picks.push(pick);
  }
  if (best[buckets] === Number.POSITIVE_INFINITY) return undefined;
  const chosen = new Array<number>(classes.length);
  let b = buckets;
  for (let c = classes.length - 1; c >= 0; c--) {
    chosen[c] = picks[c][b];
    b -= units(classes[c].cost[chosen[c]]);
  }
  return chosen;
}

/** Exact cost of a set of widths. */
export function costOf(p: AllocationProblem, widths: ReadonlyMap<string, number>): number {
  let ms = p.fixedMs;
  for (const k of p.kernels) ms += k.ms(widths);
  return ms;
}

function lossOf(p: AllocationProblem, widths: ReadonlyMap<string, number>): number {
  let loss = 0;
  for (const c of p.choices) loss += c.loss[c.widths.indexOf(widths.get(c.id)!)];
  return loss;
}

/** Cheapest widths reachable by single moves from the smallest ones (a narrower channel is not always a faster one). */
export function cheapest(p: AllocationProblem): Allocation {
  const search = new Exchange(p, new Map(p.choices.map((c) => [c.id, c.widths[0]])));
  search.descend((dMs) => dMs);
  return search.result();
}

/**
 * Least loss within `budgetMs` (algorithm: docs/architecture.md, "Allocation"). Throws EdgefitError with code
 * `budget-unreachable` when even the cheapest widths cost more.
 */
export function allocateWidths(p: AllocationProblem, budgetMs: number, rounds = 12): Allocation {
  const full = new Map(p.choices.map((c) => [c.id, c.widths[c.widths.length - 1]]));
  const start = costOf(p, full);
  const floor = cheapest(p);
  if (floor.ms > budgetMs) {
    throw new EdgefitError(
      "budget-unreachable",
      `the narrowest widths still take ${floor.ms.toFixed(3)} ms, over ${budgetMs.toFixed(3)} ms`,
    );
  }
  let best: Allocation | undefined;
  const consider = (a: Allocation): void => {
    if (a.ms <= budgetMs && (!best || a.loss < best.loss || (a.loss === best.loss && a.ms < best.ms))) best = a;
  };
  if (start <= budgetMs) consider({ widths: full, ms: start, loss: lossOf(p, full) });
  // Small steps along a geometric path keep the linearisation honest: each sees neighbours near their final widths.
  let widths = full;
  for (let r = 1; r <= rounds + 4; r++) {
    const target = start <= budgetMs ? budgetMs : start * (budgetMs / start) ** Math.min(1, r / rounds);
    widths = linearStep(p, widths, target) ?? floor.widths;
    if (r >= rounds) consider(repair(p, widths, budgetMs, floor));
  }
  consider(repair(p, floor.widths, budgetMs, floor));
  return best!;
}

/** One knapsack with every kernel's cost linearised around `widths`: each group is charged its own change of cost. */
function linearStep(
  p: AllocationProblem,
  widths: Map<string, number>,
  target: number,
): Map<string, number> | undefined {
  const exact = costOf(p, widths);
  const touching = kernelsByGroup(p);
  const trial = new Map(widths);
  const deltas = p.choices.map((c) => {
    const kernels = touching.get(c.id) ?? [];
    const now = kernels.reduce((s, k) => s + k.ms(widths), 0);
    const cost = c.widths.map((w) => {
      trial.set(c.id, w);
      return kernels.reduce((s, k) => s + k.ms(trial), 0) - now;
    });
    trial.set(c.id, widths.get(c.id)!);
    return cost;
  });
  // Savings of two neighbours of one kernel overlap, so the sum of single changes overstates them: halve the step until it holds.
  for (let step = 1; step > 0.05; step /= 2) {
    const goal = exact + (target - exact) * step;
    let slack = 0; // knapsack costs must not be negative: shift each class by its cheapest item
    const classes = p.choices.map((c, i) => {
      const low = Math.min(...deltas[i]);
      slack += low;
      return { cost: deltas[i].map((d) => d - low), loss: c.loss };
    });
    const chosen = knapsack(classes, goal - exact - slack);
    if (!chosen) continue;
    const next = new Map(p.choices.map((c, i) => [c.id, c.widths[chosen[i]]]));
    const got = costOf(p, next);
    if (got <= exact || target >= exact || step < 0.1) return next;
  }
  return undefined;
}

/** Narrows until the exact cost fits, then spends what is left and exchanges pairs. */
function repair(
  p: AllocationProblem,
  widths: ReadonlyMap<string, number>,
  budgetMs: number,
  floor: Allocation,
): Allocation {
  const search = new Exchange(p, widths);
  if (!search.fit(budgetMs)) {
    const fallback = new Exchange(p, floor.widths);
    fallback.improve(budgetMs);
    return fallback.result();
  }
  search.improve(budgetMs);
  return search.result();
}

function kernelsByGroup(p: AllocationProblem): Map<string, KernelCost[]> {
  const out = new Map<string, KernelCost[]>();
  for (const k of p.kernels) for (const g of new Set(k.groups)) out.set(g, [...(out.get(g) ?? []), k]);
  return out;
}

/** Local search on the exact cost. */
class Exchange {
  private readonly widths: Map<string, number>;
  private readonly touching: Map<string, KernelCost[]>;
  private ms: number;

  constructor(
    private readonly p: AllocationProblem,
    widths: ReadonlyMap<string, number>,
  ) {
    this.widths = new Map(widths);
    this.touching = kernelsByGroup(p);
    this.ms = costOf(p, this.widths);
  }

  result(): Allocation {
    return { widths: new Map(this.widths), ms: costOf(this.p, this.widths), loss: lossOf(this.p, this.widths) };
  }

  /** Change of cost when group `c` goes to width `w`, all else as it is. */
  private delta(c: Choice, w: number): number {
    const kernels = this.touching.get(c.id) ?? [];
    const old = this.widths.get(c.id)!;
    let d = 0;
    for (const k of kernels) d -= k.ms(this.widths);
    this.widths.set(c.id, w);
    for (const k of kernels) d += k.ms(this.widths);
    this.widths.set(c.id, old);
    return d;
  }

  private lossAt(c: Choice, w: number): number {
    return c.loss[c.widths.indexOf(w)];
  }

  private move(c: Choice, w: number): void {
    this.ms += this.delta(c, w);
    this.widths.set(c.id, w);
  }

  /** Takes single moves as long as `score` (of change in ms and in loss) is negative. */
  descend(score: (dMs: number, dLoss: number) => number): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const c of this.p.choices) {
        const at = this.lossAt(c, this.widths.get(c.id)!);
        let best: { w: number; s: number } | undefined;
        for (const w of c.widths) {
          const s = score(this.delta(c, w), this.lossAt(c, w) - at);
          if (s < -1e-9 && (!best || s < best.s)) best = { w, s };
        }
        if (best) {
          this.move(c, best.w);
          moved = true;
        }
      }
    }
  }

  /** Moves that save time at the least loss per millisecond, until the budget holds. */
  fit(budgetMs: number): boolean {
    while (this.ms > budgetMs) {
      let best: { c: Choice; w: number; rate: number } | undefined;
      for (const c of this.p.choices) {
        const at = this.lossAt(c, this.widths.get(c.id)!);
        for (const w of c.widths) {
          const saved = -this.delta(c, w);
          if (saved <= 1e-9) continue;
          const rate = (this.lossAt(c, w) - at) / Math.min(saved, this.ms - budgetMs);
          if (!best || rate < best.rate) best = { c, w, rate };
        }
      }
      if (!best) return false;
      this.move(best.c, best.w);
    }
    return true;
  }

  /** Single moves and exchanges of two groups that lower the loss and keep the budget, until none is left. */
  improve(budgetMs: number): void {
    for (let moved = true; moved; ) {
      moved = this.improveSingle(budgetMs) || this.improvePair(budgetMs);
    }
  }

  private improveSingle(budgetMs: number): boolean {
    let best: { c: Choice; w: number; gain: number } | undefined;
    for (const c of this.p.choices) {
      const at = this.lossAt(c, this.widths.get(c.id)!);
      for (const w of c.widths) {
        const gain = at - this.lossAt(c, w);
        if (gain <= 1e-12 || (best && gain <= best.gain)) continue;
        if (this.ms + this.delta(c, w) <= budgetMs) best = { c, w, gain };
      }
    }
    if (best) this.move(best.c, best.w);
    return best !== undefined;
  }

  private improvePair(budgetMs: number): boolean {
    for (const a of this.p.choices) {
      const oldA = this.widths.get(a.id)!;
      const lossA = this.lossAt(a, oldA);
      for (const wa of a.widths) {
        if (wa === oldA) continue;
        const dA = this.delta(a, wa);
        this.widths.set(a.id, wa);
        for (const b of this.p.choices) {
          if (b === a) continue;
          const lossB = this.lossAt(b, this.widths.get(b.id)!);
          for (const wb of b.widths) {
            const gain = lossA + lossB - this.lossAt(a, wa) - this.lossAt(b, wb);
            if (gain <= 1e-12) continue;
            const total = this.ms + dA + this.delta(b, wb);
            if (total <= budgetMs) {
              this.widths.set(b.id, wb);
              this.ms = total;
              return true;
            }
          }
        }
        this.widths.set(a.id, oldA);
      }
    }
    return false;
  }
}
