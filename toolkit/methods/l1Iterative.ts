/**
 * Filter pruning by L1 norm, in rounds: Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR 2017, with the
 * retraining of Le and Hua, "Network Pruning That Matters", ICLR 2021.
 *
 *     s_c = sum |W_c|      remove a fifth of the channels with the smallest s_c, retrain, repeat
 *
 * A round keeps about 0.8 of every layer: after r rounds 0.8^r is left. The target fixes the last widths, so the share of a round is adjusted
 * a little to come out there: with a factor f left of the widths, there are round(log f / log 0.8) rounds, each of
 * f^(1/rounds). All layers made together (a residual stream) are ranked by the sum over them.
 *
 * Defaults: cyclic retraining, equal steps per round, each round's schedule complete in itself.
 */
import { normScores, orderByScore } from "../prune/importance.js";
import { fullWidths } from "./cost.js";
import { type CutNet, narrowed, uncut } from "./cut.js";
import type { MethodContext, PruningMethod } from "./method.js";
import { choiceSetting, numberSetting } from "./readSettings.js";
import { retrainingBy, retrainingNames } from "./retraining.js";
import { trainSteps } from "./training.js";
import { uniformWidths } from "./uniformWidths.js";
import { aimed, atLeast } from "./widths.js";

const settings = {
  share: "share of the channels that a round removes (0.2)",
  rounds: "number of rounds (as many as that share needs)",
  schedule: `retraining: ${retrainingNames.join(", ")} (cyclic)`,
};

/** One round: the channels of smallest norm go, the net is retrained for so many steps. */
export async function pruneRound(
  c: MethodContext,
  net: CutNet,
  widths: ReadonlyMap<string, number>,
  o: { steps: number; phase: "search" | "retrain"; schedule: string; round: number },
): Promise<CutNet> {
  const orders = new Map(
    net.groups.prunable.map((group) => [group.id, orderByScore(normScores(net.graph, net.groups, group, 1))]),
  );
  const cut = narrowed(net, orders, widths);
  const schedule = retrainingBy(o.schedule, c.recipe.learningRate);
  const graph = await trainSteps(c, cut.graph, { steps: o.steps, phase: o.phase, schedule, run: o.round });
  return { ...cut, graph };
}

/** Widths on a geometric way from the full ones to the last. */
export function roundWidths(
  c: MethodContext,
  last: ReadonlyMap<string, number>,
  round: number,
  rounds: number,
): Map<string, number> {
  const full = fullWidths(c.groups);
  return new Map(
    [...last].map(([id, w]) => {
      const width = full.get(id)! * (w / full.get(id)!) ** (round / rounds);
      return [id, round === rounds ? w : Math.max(w, atLeast(c.candidates.get(id)!, Math.round(width)))];
    }),
  );
}

export const l1Iterative: PruningMethod = {
  name: "l1",
  title: "L1 norm, iterative",
  paper:
    "Li, Kadav, Durdanovic, Samet, Graf, Pruning Filters for Efficient ConvNets, ICLR 2017; Le, Hua, Network Pruning That Matters, ICLR 2021",
  describe: "Removes a fifth of the channels with the smallest L1 norm, retrains with a cyclic rate, and repeats.",
  settings,
  async run(c) {
    const share = numberSetting(c, "share", 0.2, { least: 0.01, most: 0.9 });
    const schedule = choiceSetting(c, "schedule", retrainingNames);
    const last = await aimed(c, (target) => uniformWidths(c, target));
    const left = averageShare(fullWidths(c.groups), last);
    const needed = Math.max(1, Math.round(Math.log(left) / Math.log(1 - share)));
    const rounds = numberSetting(c, "rounds", needed, { least: 1, most: 100, whole: true });
    let net = uncut(c);
    for (let round = 1; round <= rounds; round++) {
      const steps = Math.floor(c.meter.left / (rounds - round + 1));
      const phase = round < rounds ? "search" : "retrain";
      net = await pruneRound(c, net, roundWidths(c, last, round, rounds), { steps, phase, schedule, round });
    }
    return {
      graph: net.graph,
      widths: net.widths,
      notes: [
        `${rounds} rounds, each keeping ${(100 * left ** (1 / rounds)).toFixed(0)} % of the channels; ${schedule} retraining`,
      ],
    };
  },
};

/** Geometric mean over the groups of what is left of their widths. */
function averageShare(full: ReadonlyMap<string, number>, last: ReadonlyMap<string, number>): number {
  const logs = [...last].map(([id, w]) => Math.log(w / full.get(id)!));
  return Math.exp(logs.reduce((a, b) => a + b, 0) / Math.max(1, logs.length));
}
