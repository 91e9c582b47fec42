/**
 * Training that makes channels small before they are cut.
 *
 * - Network slimming: Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through Network Slimming", ICCV 2017.
 *
 *       L = cross-entropy + lambda sum |gamma|         over the scales gamma of all batch norms
 *
 *   The subgradient lambda sign(gamma) is added to every step. Then one threshold for all layers: channels with the smallest |gamma| go
 *   (summed over the norms that a coupled channel passes, and divided by their number), and the net is retrained.
 *   Default lambda 1e-4 (theirs for ResNets on CIFAR-10), 40 % of the steps before the cut.
 *
 * - Group lasso: Wen, Wu, Wang, Chen, Li, "Learning Structured Sparsity in Deep Neural Networks", NIPS 2016.
 *
 *       L = cross-entropy + lambda sum_c sqrt(n_c) |W_c|_2      over the filters of all convolutions
 *
 *   Then one threshold on |W_c|_2 / sqrt(n_c) for all layers. Default lambda 1e-4, 40 % of the steps before the cut.
 */
import { opsetOf } from "../graph/graph.js";
import { ruleFor } from "../ops/index.js";
import { normScores, orderByScore, scaleScores } from "../prune/importance.js";
import { type Optimizer, retrainingSchedule } from "../train/index.js";
import { type CutNet, narrowed, uncut } from "./cut.js";
import type { MethodContext, MethodNet, PruningMethod } from "./method.js";
import { groupLasso, l1Penalty } from "./penalties.js";
import { numberSetting } from "./readSettings.js";
import { trainSteps } from "./training.js";
import { aimed, globalWidths } from "./widths.js";

const settings = {
  lambda: "strength of the penalty (1e-4)",
  sparsity: "share of the steps that are trained with the penalty (0.4)",
};

/** Trains with the penalty, cuts by one threshold, retrains. */
async function sparseThenCut(
  c: MethodContext,
  penalised: (inner: Optimizer, lambda: number) => Optimizer,
  scoresOf: (net: CutNet) => Map<string, Float64Array>,
): Promise<MethodNet> {
  const lambda = numberSetting(c, "lambda", 1e-4, { least: 0, most: 1 });
  const share = numberSetting(c, "sparsity", 0.4, { least: 0, most: 1 });
  const graph = await trainSteps(c, c.graph, {
    steps: Math.floor(share * c.meter.left),
    phase: "search",
    optimizer: penalised(c.recipe.optimizer(), lambda),
    schedule: retrainingSchedule({ learningRate: c.recipe.learningRate }),
    stage: "training with the penalty",
  });
  const sparse = { ...uncut(c), graph };
  const scores = scoresOf(sparse);
  const widths = await aimed(c, (target) => globalWidths(c, scores, target));
  const orders = new Map([...scores].map(([id, s]) => [id, orderByScore(s)]));
  const net = narrowed(sparse, orders, widths);
  const trained = await trainSteps(c, net.graph, { steps: c.meter.left, phase: "retrain", run: 1 });
  return {
    graph: trained,
    widths: net.widths,
    notes: [`penalty ${lambda} during ${(100 * share).toFixed(0)} % of the steps`],
  };
}

/** Names of the scales of all batch norms. */
function scaleNames({ graph }: Pick<CutNet, "graph">): Set<string> {
  return new Set(
    graph.nodes.flatMap((n) => {
      const where = ruleFor(n, opsetOf(graph, n.domain))?.runningStatistics;
      return where ? [n.inputs[where.scale]] : [];
    }),
  );
}

export const networkSlimming: PruningMethod = {
  name: "slimming",
  title: "network slimming",
  paper:
    "Liu, Li, Shen, Huang, Yan, Zhang, Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017",
  describe:
    "Trains with an L1 penalty on batch-norm scales, removes the channels of the smallest scales, and retrains.",
  settings,
  run(c) {
    const scales = scaleNames(c);
    return sparseThenCut(
      c,
      (inner, lambda) => l1Penalty(inner, lambda, (name) => scales.has(name)),
      ({ graph, groups }) => {
        const out = new Map<string, Float64Array>();
        for (const group of groups.prunable) {
          const norms = group.members.filter((m) => m.parameter && scales.has(m.value)).length;
          const scores = scaleScores(graph, groups, group)?.map((s) => s / norms);
          if (scores) out.set(group.id, scores);
          else c.onNote?.(`channels of "${group.id}" pass no batch norm and are left whole`);
        }
        return out;
      },
    );
  },
};

export const groupLassoMethod: PruningMethod = {
  name: "group-lasso",
  title: "group lasso",
  paper: "Wen, Wu, Wang, Chen, Li, Learning Structured Sparsity in Deep Neural Networks, NIPS 2016",
  describe:
    "Trains with a penalty on the norms of whole filters, removes the channels of the smallest norms, and retrains.",
  settings,
  run(c) {
    const axes = new Map(c.groups.prunable.flatMap((group) => group.producers.map((p) => [p.weight, p.axis] as const)));
    return sparseThenCut(
      c,
      (inner, lambda) => groupLasso(inner, lambda, (name) => axes.get(name)),
      ({ graph, groups }) =>
        new Map(
          groups.prunable.map((group) => {
            const size = group.producers.reduce((n, p) => {
              const dims = graph.initializers.get(p.weight)?.dims ?? [];
              return n + dims.reduce((a, b) => a * b, 1) / (dims[p.axis] ?? 1);
            }, 0);
            return [group.id, normScores(graph, groups, group, 2).map((s) => Math.sqrt(s / Math.max(1, size)))];
          }),
        ),
    );
  },
};
