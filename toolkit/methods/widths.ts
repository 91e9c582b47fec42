/** Widths that meet a target: one threshold for all layers, the knapsack's problem, and aiming by measurement. */
import { UsageError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import type { AllocationProblem, Choice } from "../prune/allocate.js";
import type { Branch } from "../prune/branches.js";
import type { Widths } from "../prune/groups.js";
import { prefixNet, uncut } from "./cut.js";
import type { Cost, MethodContext } from "./method.js";

const unreachable = (cost: Cost, target: number, least: number): UsageError =>
  new UsageError(
    "target-unreachable",
    `the narrowest widths still cost ${least.toPrecision(4)} ${cost.unit}, over ${target.toPrecision(4)}`,
    { hint: "raise the budget" },
  );

/** The candidate nearest to `width`; of two as near the narrower. */
export const nearest = (candidates: readonly number[], width: number): number =>
  candidates.reduce((best, w) => (Math.abs(w - width) < Math.abs(best - width) ? w : best));

/** The smallest candidate of at least `width`: inside a plateau more channels cost nothing. */
export const atLeast = (candidates: readonly number[], width: number): number =>
  candidates.find((w) => w >= width) ?? candidates[candidates.length - 1];

/**
 * One threshold for all groups: channels go in the order of their scores, the lowest first, until the target is met. What is left of
 * a group is rounded up to a candidate.
 * @param scores per channel; must be comparable between groups
 */
export function globalWidths(
  c: MethodContext,
  scores: ReadonlyMap<string, ArrayLike<number>>,
  target = c.cost.target,
): Map<string, number> {
  const all = [...scores].flatMap(([id, list]) => Array.from(list, (score) => ({ id, score })));
  all.sort((a, b) => a.score - b.score);
  const after = (removed: number): Map<string, number> => {
    const left = new Map([...scores].map(([id, list]) => [id, list.length]));
    for (const { id } of all.slice(0, removed)) left.set(id, left.get(id)! - 1);
    return new Map([...left].map(([id, n]) => [id, atLeast(c.candidates.get(id) ?? [scores.get(id)!.length], n)]));
  };
  let [low, high] = [0, all.length];
  const least = c.cost.of(after(high));
  if (least > target) throw unreachable(c.cost, target, least);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (c.cost.of(after(middle)) <= target) high = middle;
    else low = middle + 1;
  }
  return after(low);
}

/** Scores divided by their mean within the group, so that groups can be compared (DepGraph, Fang et al., CVPR 2023). */
export const comparable = (scores: ReadonlyMap<string, Float64Array>): Map<string, Float64Array> =>
  new Map(
    [...scores].map(([id, list]) => {
      const mean = list.reduce((a, b) => a + b, 0) / list.length || 1;
      return [id, list.map((s) => s / mean)];
    }),
  );

/**
 * The cost as the allocator of `prune` wants it; its milliseconds are whatever unit the cost has.
 * @param branches those that may be left out: width 0 of their groups stands for that, and their kernels then cost nothing
 */
export function allocationProblem(
  cost: Cost,
  choices: readonly Choice[],
  branches: readonly Branch[] = [],
): AllocationProblem {
  const free = new Set(choices.map((e) => e.id));
  const parts = cost.parts.map((p) => {
    const holders = branches.filter((b) => free.has(b.group) && b.nodes.has(p.id)).map((b) => b.group);
    const groups = [...new Set([...p.groups.filter((id) => free.has(id)), ...holders])];
    return { groups, ms: (w: Widths): number => (holders.some((id) => w.get(id) === 0) ? 0 : p.of(w)) };
  });
  const none = new Map<string, number>();
  return {
    choices,
    kernels: parts.filter((k) => k.groups.length > 0),
    fixedMs: parts.filter((k) => k.groups.length === 0).reduce((sum, k) => sum + k.ms(none), cost.fixed),
  };
}

const ATTEMPTS = 6;
/** A net this close under its target is not worth another measurement. */
const CLOSE = 0.97;

/**
 * Aims at the target with measurements: the table is a little off, and off differently for every shape of net. Where cost is counted
 * there is nothing to measure.
 * @param choose widths for a target in the table's terms
 * @param build the net of those widths, with whatever weights
 */
export async function aimed<T extends Widths>(
  c: MethodContext,
  choose: (target: number) => T,
  build: (widths: T) => Graph = (widths) => prefixNet(uncut(c), widths).graph,
): Promise<T> {
  const wanted = c.cost.target;
  if (c.cost.unit === "MACs") return choose(wanted);
  let target = wanted;
  let best: { widths: T; cost: number } | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const widths = choose(target);
    const cost = await c.measure(build(widths));
    c.onProgress?.({ stage: "measuring what was chosen", done: attempt, total: ATTEMPTS });
    if (cost <= wanted && (!best || cost > best.cost)) best = { widths, cost };
    if (cost <= wanted && cost >= CLOSE * wanted) break;
    const next = (target * wanted * (cost <= wanted ? 0.99 : 0.985)) / cost;
    if (best && Math.abs(next / target - 1) < 0.005) break;
    target = next;
  }
  c.onProgress?.({ stage: "measuring what was chosen", done: ATTEMPTS, total: ATTEMPTS });
  if (best) return best.widths;
  throw new UsageError("target-unreachable", `no net that was measured keeps ${wanted.toFixed(3)} ms`, {
    hint: "raise the budget",
  });
}
