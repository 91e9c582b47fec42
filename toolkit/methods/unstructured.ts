/**
 * Single weights taken out, the net's shape unchanged. A dense runtime multiplies by the zeros that are left, so these nets are as slow as
 * the original; the arena measures that. They are here because the structured methods descend from them.
 *
 * - Magnitude pruning: Han, Pool, Tran, Dally, "Learning Both Weights and Connections for Efficient Neural Networks", NIPS 2015. In
 *   rounds, the weights of smallest magnitude over all layers are set to zero and the others retrained.
 * - Lottery ticket: Frankle, Carbin, "The Lottery Ticket Hypothesis", ICLR 2019; rewinding to step k: Frankle, Dziugaite, Roy, Carbin, "Linear
 *   Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020. A net with fresh weights is trained, the smallest weights are taken
 *   out, the others set back to what they were before training (after step k of it), and again; the last ticket is trained and returned.
 * - SNIP: Lee, Ajanthan, Torr, "SNIP: Single-Shot Network Pruning Based on Connection Sensitivity", ICLR 2019. Before any training,
 *   connections are scored on a batch, s_j = |g_j w_j| / sum_k |g_k w_k| with g = dL/dw, the smallest taken out, and what is left is trained.
 *   `snip-channels` adds s up over the weights that make a channel and removes whole channels, which does make the net faster.
 *
 * The share of weights that stays is the target's share of the original's cost. Masked elements have a learning rate of exactly 0
 * and start at 0, so they are 0 in the result, to the last bit.
 */
import type { Graph } from "../graph/graph.js";
import { toFloat32 } from "../graph/tensor.js";
import { orderByScore } from "../prune/importance.js";
import { cosineSchedule, crossEntropy, parameterGradients, type Schedule } from "../train/index.js";
import { narrowed, uncut } from "./cut.js";
import { countOf, type Masks, magnitudes, maskable, masked, topMasks } from "./masks.js";
import type { MethodContext, MethodNet, PruningMethod } from "./method.js";
import { scoredBatches } from "./oneShot.js";
import { choiceSetting, numberSetting } from "./readSettings.js";
import { reinitialized } from "./reinitialize.js";
import { retrainingBy, retrainingNames } from "./retraining.js";
import { trainSteps } from "./training.js";
import { uniformWidths } from "./uniformWidths.js";
import { aimed, comparable, globalWidths } from "./widths.js";

const DENSE = "single weights are zero and the net has its full size: a dense runtime gains no speed";

/** Share of the weights that may stay. */
const keptShare = (c: MethodContext): number => Math.min(1, c.cost.target / c.cost.original);

/** From nothing: up to the largest rate over a tenth of the steps, and down a cosine. */
const scratchSchedule = (c: MethodContext): Schedule =>
  cosineSchedule({ learningRate: c.recipe.learningRate, warmup: 0.1 });

function result(c: MethodContext, graph: Graph, masks: Masks, notes: readonly string[]): MethodNet {
  const { total, kept } = countOf(masks);
  return {
    graph,
    widths: uncut(c).widths,
    notes: [`${((100 * kept) / total).toFixed(1)} % of the weights stay`, DENSE, ...notes],
  };
}

const magnitudeSettings = {
  rounds: "rounds of taking out and retraining (3)",
  schedule: `retraining: ${retrainingNames.join(", ")} (cyclic)`,
};

export const magnitude: PruningMethod = {
  name: "magnitude",
  title: "unstructured magnitude",
  paper: "Han, Pool, Tran, Dally, Learning Both Weights and Connections for Efficient Neural Networks, NIPS 2015",
  describe:
    "Sets the smallest weights of all layers to zero, in rounds, and retrains the others. No faster on dense runtimes.",
  settings: magnitudeSettings,
  async run(c) {
    const rounds = numberSetting(c, "rounds", 3, { least: 1, most: 100, whole: true });
    const schedule = retrainingBy(choiceSetting(c, "schedule", retrainingNames), c.recipe.learningRate);
    const names = maskable(c.graph);
    let graph = c.graph;
    let masks: Masks = new Map();
    for (let round = 1; round <= rounds; round++) {
      masks = smallestOut(graph, names, keptShare(c) ** (round / rounds), masks);
      graph = await trainSteps(c, masked(graph, masks), {
        steps: Math.floor(c.meter.left / (rounds - round + 1)),
        phase: round < rounds ? "search" : "retrain",
        schedule,
        rate: (name) => masks.get(name),
        run: round,
      });
    }
    return result(c, graph, masks, []);
  },
};

function smallestOut(graph: Graph, names: readonly string[], share: number, before: Masks): Masks {
  const scores = magnitudes(graph, names);
  const total = [...scores.values()].reduce((n, s) => n + s.length, 0);
  return topMasks(scores, Math.round(share * total), before);
}

const lotterySettings = {
  rounds: "trainings after which weights are taken out (3); one more trains the ticket",
  rewind: "step of the first training that survivors go back to (0: the fresh weights)",
};

export const lottery: PruningMethod = {
  name: "lottery",
  title: "lottery ticket",
  paper: "Frankle, Carbin, The Lottery Ticket Hypothesis, ICLR 2019; Frankle, Dziugaite, Roy, Carbin, ICML 2020",
  describe:
    "Trains fresh weights, takes out the smallest, sets the others back to the start, repeats, and trains the ticket. No faster on dense runtimes.",
  settings: lotterySettings,
  async run(c) {
    const rounds = numberSetting(c, "rounds", 3, { least: 1, most: 100, whole: true });
    const steps = Math.floor(c.meter.left / (rounds + 1));
    const rewind = numberSetting(c, "rewind", 0, { least: 0, most: Math.max(0, steps - 1), whole: true });
    const whole = scratchSchedule(c);
    const names = maskable(c.graph);
    const start = await trainSteps(c, reinitialized(c.graph, c.seed), {
      steps: rewind,
      phase: "search",
      schedule: (step) => whole(step, steps),
    });
    const train = (graph: Graph, masks: Masks, last: boolean, own: number): Promise<Graph> =>
      trainSteps(c, graph, {
        steps: own,
        phase: last ? "retrain" : "search",
        schedule: (step) => whole(rewind + step, steps),
        rate: (name) => masks.get(name),
      });
    let masks: Masks = new Map();
    for (let round = 1; round <= rounds; round++) {
      const trained = await train(masked(start, masks), masks, false, steps - rewind);
      masks = smallestOut(trained, names, keptShare(c) ** (round / rounds), masks);
    }
    const ticket = await train(masked(start, masks), masks, true, Math.min(steps - rewind, c.meter.left));
    return result(c, ticket, masks, [
      `${rounds} rounds, survivors go back to step ${rewind} of ${steps}; the trained original is not used`,
    ]);
  },
};

/** Connection sensitivities |dL/dc| at c = 1 for the net with weights c w, which is |w dL/dw|; not normalised to sum 1. */
export async function snipScores(
  c: MethodContext,
  graph: Graph,
  names: readonly string[],
): Promise<Map<string, Float32Array>> {
  const batches = await scoredBatches(c, c.recipe.batchSize);
  const gradients = await parameterGradients(graph, batches, crossEntropy(), {
    batchNorm: "batch",
    threads: c.recipe.threads,
  });
  c.meter.step("search", batches.length);
  return new Map(
    names
      .filter((name) => gradients.has(name))
      .map((name) => {
        const w = toFloat32(graph.initializers.get(name)!);
        return [name, gradients.get(name)!.map((g, i) => Math.abs(g * w[i]))];
      }),
  );
}

export const snip: PruningMethod = {
  name: "snip",
  title: "SNIP",
  paper: "Lee, Ajanthan, Torr, SNIP: Single-Shot Network Pruning Based on Connection Sensitivity, ICLR 2019",
  describe:
    "Scores every connection of a fresh net on one batch, takes the least sensitive out, trains the rest. No faster on dense runtimes.",
  settings: {},
  async run(c) {
    const fresh = reinitialized(c.graph, c.seed);
    const scores = await snipScores(c, fresh, maskable(fresh));
    const total = [...scores.values()].reduce((n, s) => n + s.length, 0);
    const masks = topMasks(scores, Math.round(keptShare(c) * total));
    const graph = await trainSteps(c, masked(fresh, masks), {
      steps: c.meter.left,
      phase: "retrain",
      schedule: scratchSchedule(c),
      rate: (name) => masks.get(name),
    });
    return result(c, graph, masks, ["the trained original is not used"]);
  },
};

const channelSettings = {
  scope:
    "layer: the same share of every layer (default); global: all channels ranked together, scores divided by their layer's mean",
};

export const snipChannels: PruningMethod = {
  name: "snip-channels",
  title: "SNIP, whole channels",
  paper: "after Lee, Ajanthan, Torr, ICLR 2019",
  describe:
    "Adds SNIP's scores up over each channel's weights, removes the least sensitive channels before training, trains the rest.",
  settings: channelSettings,
  async run(c) {
    const scope = choiceSetting(c, "scope", ["layer", "global"] as const);
    const fresh = reinitialized(c.graph, c.seed);
    const single = await snipScores(c, fresh, maskable(fresh));
    const scores = new Map(c.groups.prunable.map((group) => [group.id, new Float64Array(group.width)]));
    for (const group of c.groups.prunable) {
      const index = c.groups.groups.indexOf(group);
      for (const { weight, axis } of group.producers) {
        const layout = c.groups.layout(weight, axis);
        const { dims } = c.graph.initializers.get(weight)!;
        const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
        single.get(weight)?.forEach((s, i) => {
          const p = Math.floor(i / inner) % dims[axis];
          if (layout?.group[p] === index) scores.get(group.id)![layout.channel[p]] += s;
        });
      }
    }
    const worth = comparable(scores);
    const widths = await aimed(c, (target) =>
      scope === "global" ? globalWidths(c, worth, target) : uniformWidths(c, target),
    );
    const orders = new Map([...scores].map(([id, s]) => [id, orderByScore(s)]));
    const net = narrowed({ ...uncut(c), graph: fresh }, orders, widths);
    const graph = await trainSteps(c, net.graph, {
      steps: c.meter.left,
      phase: "retrain",
      schedule: scratchSchedule(c),
    });
    return { graph, widths: net.widths, notes: ["the trained original is not used"] };
  },
};
