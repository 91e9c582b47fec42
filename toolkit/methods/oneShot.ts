/**
 * One cut by a criterion, then retraining: the common yardstick for criteria, and `uniform`, the one for everything else.
 *
 * Widths are those of the uniformly narrowed net (the same share of every layer, snapped to edges of the device's staircase), so that the
 * criteria differ in which channels stay and in nothing else; `scope: "global"` ranks all channels together instead. `uniform`
 * keeps the first channels: a narrower net that starts from some of the original's weights.
 */
import type { Graph } from "../graph/graph.js";
import { crossEntropy } from "../train/index.js";
import { type CriterionName, type GroupScores, ordersOf, scoreGroups } from "./criteria.js";
import { type CutNet, narrowed, prefixNet, uncut } from "./cut.js";
import type { MethodContext, MethodNet, PruningMethod } from "./method.js";
import { choiceSetting } from "./readSettings.js";
import { retrainingBy, retrainingNames } from "./retraining.js";
import { trainSteps } from "./training.js";
import { uniformWidths } from "./uniformWidths.js";
import { aimed, comparable, globalWidths } from "./widths.js";

const settings = {
  scope:
    "layer: the same share of every layer (default); global: all channels ranked together, scores divided by their layer's mean",
  schedule: `retraining: ${retrainingNames.join(", ")} (cyclic)`,
};

/** Training images for criteria that look at data. */
export const SCORED_IMAGES = 512;

/** Scores of the channels of a net, on the context's account. */
export async function contextScores(
  c: MethodContext,
  { graph, groups }: Pick<CutNet, "graph" | "groups">,
  criterion: CriterionName,
): Promise<Map<string, GroupScores>> {
  return scoreGroups(graph, groups, {
    criterion,
    batches: await scoredBatches(c),
    loss: crossEntropy,
    seed: c.seed,
    threads: c.recipe.threads,
    onProgress: c.onProgress,
    onNote: c.onNote,
    onWork: ({ backward, forward }) => {
      c.meter.step("search", 1, backward);
      c.meter.forward(forward);
    },
    signal: c.signal,
  });
}

/** The first training images, in batches of the recipe's size. */
export async function scoredBatches(c: MethodContext, images = SCORED_IMAGES) {
  const total = Math.min(images, c.train.count);
  const size = Math.min(c.recipe.batchSize, total);
  const starts = Array.from({ length: Math.floor(total / size) }, (_, i) => i * size);
  return Promise.all(starts.map((from) => c.train.batch(Array.from({ length: size }, (_, i) => from + i))));
}

async function retrained(c: MethodContext, graph: Graph): Promise<Graph> {
  const schedule = retrainingBy(choiceSetting(c, "schedule", retrainingNames), c.recipe.learningRate);
  return trainSteps(c, graph, { steps: c.meter.left, phase: "retrain", schedule });
}

function byCriterion(criterion: CriterionName, title: string, paper: string, describe: string): PruningMethod {
  return {
    name: criterion === "reconstruction" ? "obs" : criterion,
    title,
    paper,
    describe: `${describe} One cut, then retraining.`,
    settings,
    async run(c): Promise<MethodNet> {
      const scope = choiceSetting(c, "scope", ["layer", "global"]);
      const scores = await contextScores(c, c, criterion);
      const worth = comparable(new Map([...scores].map(([id, s]) => [id, s.scores])));
      const widths = await aimed(c, (target) =>
        scope === "global" ? globalWidths(c, worth, target) : uniformWidths(c, target),
      );
      const net = narrowed(uncut(c), ordersOf(scores), widths);
      return { graph: await retrained(c, net.graph), widths: net.widths };
    },
  };
}

const uniform: PruningMethod = {
  name: "uniform",
  title: "uniform scaling",
  paper: "",
  describe: "The first channels of every layer, the same share of each, then retraining: the baseline.",
  settings: { schedule: settings.schedule },
  async run(c) {
    const net = prefixNet(uncut(c), await aimed(c, (target) => uniformWidths(c, target)));
    return { graph: await retrained(c, net.graph), widths: net.widths };
  },
};

export const oneShot: readonly PruningMethod[] = [
  byCriterion("random", "random channels", "", "Which channels stay is drawn by chance."),
  byCriterion(
    "l2",
    "L2 norm",
    "after Li, Kadav, Durdanovic, Samet, Graf, Pruning Filters for Efficient ConvNets, ICLR 2017",
    "Channels with the smallest sum of squared weights go.",
  ),
  byCriterion(
    "fpgm",
    "geometric median",
    "He, Liu, Wang, Hu, Yang, Filter Pruning via Geometric Median, CVPR 2019",
    "Channels nearest to all the others go: the others can replace them.",
  ),
  byCriterion(
    "bn",
    "batch-norm scale",
    "after Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017",
    "Channels with the smallest batch-norm scales go, of the net as it is: nothing made them small.",
  ),
  byCriterion(
    "taylor",
    "first-order Taylor",
    "Molchanov, Mallya, Tyree, Frosio, Kautz, Importance Estimation for Neural Network Pruning, CVPR 2019",
    "Channels go whose removal changes the loss least to first order, |sum w dL/dw|.",
  ),
  byCriterion(
    "hessian",
    "Hessian diagonal",
    "LeCun, Denker, Solla, Optimal Brain Damage, NIPS 1989",
    "Channels go whose removal raises the loss least to second order, 1/2 sum w^2 F_ww with the Fisher information.",
  ),
  byCriterion(
    "activation",
    "activation",
    "Molchanov, Tyree, Karras, Aila, Kautz, Pruning Convolutional Neural Networks for Resource Efficient Inference, ICLR 2017",
    "Channels with the smallest mean magnitude go.",
  ),
  byCriterion(
    "reconstruction",
    "block OBS",
    "after Hassibi, Stork, Optimal Brain Surgeon, NIPS 1992, in blocks on second moments of what layers read",
    "Channels go whose loss the remaining weights of their readers can make up for best; the weights are not solved again.",
  ),
  uniform,
];
