/**
 * AutoSlim: Yu and Huang, "AutoSlim: Towards One-Shot Architecture Search for Channel Numbers", 2019.
 *
 * A slimmable net is trained by the sandwich rule: on the same images the widest net, the smallest and two of random, independent widths,
 * the widest on labels and the others on its answers (in-place distillation). Then greedy slimming: from the full widths, each group in
 * turn is tried one candidate narrower on held-out images, normalised by their own statistics, and the one that
 *
 *     (L_after - L_before + ε) / (cost_before - cost_after)
 *
 * is smallest for is narrowed; until the cost is within the target. The net is retrained once.
 *
 * Deviations: the paper takes the least error whatever it saves ("rule" = "error"); here the cost decides too, so that plateaus of a
 * device's table are not paid for. L is the cross-entropy, as errors on a few hundred images tie. It starts from the trained net with
 * its channels in order of their L1 norms, and goes on from the shared weights.
 */
import type { Widths } from "../prune/groups.js";
import { streamOf } from "../train/index.js";
import type { Candidates } from "./expectedCost.js";
import { cutOf } from "./finishing.js";
import { narrowest } from "./fitWidths.js";
import { keepAt } from "./gates.js";
import type { Cost, PruningMethod } from "./method.js";
import { choiceSetting, flagSetting, numberSetting } from "./readSettings.js";
import { searchThenTrain } from "./searchThenTrain.js";
import { drawnAround, trainSandwich, widest } from "./slimmable.js";
import { Supernet } from "./supernet.js";

import { aimed } from "./widths.js";

const settings = {
  search: "share of the steps that training of the slimmable net gets; default 0.4",
  images: "held-out images that each trial is judged on; default 256",
  rule: "ratio (default): least loss per cost saved; error: least loss",
  levels: "candidate widths per group at most; default 12",
  distil: "in-place distillation from the widest net; default true",
};

export type GreedyRule = "ratio" | "error";

/** Added to differences of losses, so that free savings are taken by what they save. */
const EPSILON = 1e-4;

/**
 * Narrows one group at a time until the cost is at most `target`, or nothing is left to narrow.
 * @param lossOf of a net of these widths
 * @returns every net on the way, the full one first
 */
export async function slimGreedily(
  cost: Cost,
  candidates: Candidates,
  lossOf: (widths: Widths) => Promise<number>,
  rule: GreedyRule,
  target = cost.target,
  onMove?: (cost: number) => void,
): Promise<Map<string, number>[]> {
  let now = widest(candidates);
  let loss = await lossOf(now);
  const path = [now];
  for (let price = cost.of(now); price > target; price = cost.of(now)) {
    let best: { widths: Map<string, number>; loss: number; score: number } | undefined;
    for (const [id, list] of candidates) {
      // Inside a plateau a narrower width saves nothing: go on to the first that does.
      const narrower = list.slice(0, list.indexOf(now.get(id)!)).toReversed();
      const width = narrower.find((w) => cost.of(new Map(now).set(id, w)) < price);
      if (width === undefined) continue;
      const widths = new Map(now).set(id, width);
      const after = await lossOf(widths);
      const score = rule === "error" ? after : (Math.max(0, after - loss) + EPSILON) / (price - cost.of(widths));
      if (!best || score < best.score) best = { widths, loss: after, score };
    }
    if (!best) break;
    ({ widths: now, loss } = best);
    path.push(now);
    onMove?.(cost.of(now));
  }
  return path;
}

/** At most `levels` of the candidates, evenly chosen, the ends among them. */
export const thinned = (candidates: Candidates, levels: number): Map<string, readonly number[]> =>
  new Map(
    [...candidates].map(([id, w]) => {
      if (w.length <= levels) return [id, w];
      const at = (i: number): number => w[Math.round((i * (w.length - 1)) / (levels - 1))];
      return [id, [...new Set(Array.from({ length: levels }, (_, i) => at(i)))]];
    }),
  );

export const autoSlim: PruningMethod = {
  name: "autoslim",
  title: "AutoSlim",
  paper: "Yu, Huang, AutoSlim: Towards One-Shot Architecture Search for Channel Numbers, arXiv:1903.11728, 2019",
  describe:
    "Trains one net to work at all widths, narrows it greedily by its own loss on held-out images, and retrains what is left.",
  settings,
  run: (c) =>
    searchThenTrain(c, async (c) => {
      narrowest(c.cost, c.candidates);
      const images = numberSetting(c, "images", 256, { least: 1, whole: true });
      const rule = choiceSetting(c, "rule", ["ratio", "error"]);
      const levels = numberSetting(c, "levels", 12, { least: 2, whole: true });
      const net = await Supernet.open(c);
      try {
        const random = streamOf(c.seed, 1, SEARCH_STREAM);
        const share = numberSetting(c, "search", 0.4, { least: 0, most: 1 });
        await trainSandwich(net, {
          updates: Math.max(1, Math.floor((share * c.meter.left) / 4)),
          distil: flagSetting(c, "distil", true),
          others: () => [drawnAround(net.candidates, random), drawnAround(net.candidates, random)],
          stage: "training at all widths",
        });
        const path = await slimGreedily(
          c.cost,
          thinned(net.candidates, levels),
          async (widths) => (await net.score(net.at(widths), images)).loss,
          rule,
          // Where the device decides, the table may promise too much.
          c.cost.unit === "ms" ? 0.85 * c.cost.target : c.cost.target,
          (cost) =>
            c.onProgress?.({
              stage: "narrowing",
              done: Math.round(100 * Math.min(1, (c.cost.original - cost) / (c.cost.original - c.cost.target))),
              total: 100,
            }),
        );
        const cheapest = path.at(-1)!;
        const widths = await aimed(c, (target) => path.find((w) => c.cost.of(w) <= target) ?? cheapest);
        const cut = await cutOf(c, net.whole(), keepAt(widths, net.orders));
        return {
          graph: cut.graph,
          widths: cut.widths,
          notes: [`${path.length - 1} moves of greedy slimming`],
        };
      } finally {
        await net.dispose();
      }
    }),
};

const SEARCH_STREAM = 1 << 20;
