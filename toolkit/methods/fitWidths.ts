/** Widths within a cost, made from widths that are merely wanted. */
import { UsageError } from "../graph/errors.js";
import { withTarget } from "./cost.js";
import type { Candidates } from "./expectedCost.js";
import type { Cost, MethodContext } from "./method.js";
import { aimed, nearest } from "./widths.js";

/** The smallest candidates. Throws UsageError `target-unreachable` when even those cost more than the target. */
export function narrowest(cost: Cost, candidates: Candidates): Map<string, number> {
  const least = new Map([...candidates].map(([id, w]) => [id, w[0]]));
  const value = cost.of(least);
  if (value > cost.target) {
    throw new UsageError(
      "target-unreachable",
      `at its narrowest widths the net still costs ${round(value)} ${cost.unit}, over the target of ${round(cost.target)}`,
      { hint: "allow more, or take a method that leaves out whole branches" },
    );
  }
  return least;
}

const round = (v: number): number => Number(v.toPrecision(4));

/**
 * Candidate widths in the proportions that are wanted, scaled up or down until the cost just fits, then widened one by one where there
 * is room, the one that lies furthest below what was wanted first.
 */
export function fitWidths(
  cost: Cost,
  wanted: ReadonlyMap<string, number>,
  candidates: Candidates,
): Map<string, number> {
  const least = narrowest(cost, candidates);
  const scaled = (s: number): Map<string, number> =>
    new Map([...candidates].map(([id, list]) => [id, nearest(list, s * (wanted.get(id) ?? list.at(-1)!))]));
  let [low, high] = [0, 1];
  while (high < 64 && cost.of(scaled(high)) <= cost.target) [low, high] = [high, 2 * high];
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2;
    if (cost.of(scaled(middle)) <= cost.target) low = middle;
    else high = middle;
  }
  const widths = low > 0 ? scaled(low) : least;
  for (;;) {
    let best: { id: string; width: number; lack: number } | undefined;
    for (const [id, list] of candidates) {
      const now = widths.get(id)!;
      const width = list[list.indexOf(now) + 1];
      if (width === undefined || cost.of(new Map(widths).set(id, width)) > cost.target) continue;
      const lack = (low * (wanted.get(id) ?? list.at(-1)!)) / now;
      if (!best || lack > best.lack) best = { id, width, lack };
    }
    if (!best) return widths;
    widths.set(best.id, best.width);
  }
}

/** The same within what the device measures, where the cost is latency. */
export const fitMeasured = (
  c: MethodContext,
  wanted: ReadonlyMap<string, number>,
  candidates: Candidates,
): Promise<Map<string, number>> => aimed(c, (target) => fitWidths(withTarget(c.cost, target), wanted, candidates));
