/**
 * DMCP: Guo, Wang, Li, Yan, "DMCP: Differentiable Markov Channel Pruning for Neural Networks", CVPR 2020.
 *
 * Every group's width is a Markov chain (`markov.ts`). Two kinds of steps take turns:
 *
 * - *Weights*, by the variant sandwich rule: the widest net, the smallest, and two others on the same images, one step on their mean
 *   gradient. Before the architecture is learned the two are drawn evenly; then one is drawn from the chains (direct sampling) and
 *   the other evenly with a probability that falls to 0 over the rest of the search.
 * - *Architecture*: the widest net with each channel multiplied by its marginal keep probability m; Adam on α alone, along the gradient of
 *   cross-entropy + w log(1 + |E - r| / 0.02 T), where E is the expected cost, T the target, and r = 0.95 T above T and T below
 *   0.95 T; no force between the two.
 *
 * E is exact over the independent width distributions: Σ_a Σ_b P(a) P(b) cost(a, b) for a kernel between two groups, also on the
 * staircase of a device's table (`expectedCost.ts`). In MACs that is the paper's expected FLOPs.
 *
 * The net: expected sampling takes each chain's expected width, snapped to a candidate; direct sampling draws nets within 5 % below the
 * target and takes the best of them on held-out images. One retraining.
 *
 * Deviations: starts from the trained net, its channels in order of their L1 norms, and goes on from the shared weights where the paper
 * draws new ones; the logarithm is shifted so that it stays finite at the target; expected widths are scaled
 * to meet the target exactly; gradients of the sandwich are averaged; α is learned on batch statistics.
 */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import type { Widths } from "../prune/groups.js";
import { streamOf } from "../train/index.js";
import { Adam } from "./adam.js";
import { ExpectedCost } from "./expectedCost.js";
import { cutOf } from "./finishing.js";
import { fitMeasured, narrowest } from "./fitWidths.js";
import { keepAt } from "./gates.js";
import { MarkovChain } from "./markov.js";
import type { MethodContext, PruningMethod } from "./method.js";
import { choiceSetting, flagSetting, numberSetting } from "./readSettings.js";
import { searchThenTrain } from "./searchThenTrain.js";
import { drawnAround, trainSandwich } from "./slimmable.js";
import { Supernet } from "./supernet.js";

const settings = {
  search: "share of the steps that the search gets; default 0.5",
  warmup: "share of the search before the architecture is learned; default 0.2",
  every: "weight updates per architecture update; default 2",
  weight: "weight w of the cost beside the cross-entropy; default 0.1",
  alphaRate:
    "Adam's first rate for α, which falls linearly to 0; default: 6 (sigmoid: 20) divided by the number of architecture updates",
  keep: "exp (default) or sigmoid: how α becomes a probability",
  distil: "in-place distillation from the widest net; default true",
  sampling: "expected (default) or direct",
  samples: "nets that direct sampling compares; default 10",
};

/** Share of the target below which a net is pulled up again. */
const LOWER = 0.95;

/**
 * The cost term of the architecture's loss and its derivative by the expected cost. Zero from 0.95 T to T.
 * @param weight of the logarithm
 */
export function costLoss(expected: number, target: number, weight: number): { value: number; slope: number } {
  if (expected >= LOWER * target && expected < target) return { value: 0, slope: 0 };
  const over = expected >= target;
  const distance = Math.abs(expected - (over ? LOWER * target : target));
  const unit = 0.02 * target;
  return { value: weight * Math.log(1 + distance / unit), slope: ((over ? 1 : -1) * weight) / (unit + distance) };
}

export const dmcp: PruningMethod = {
  name: "dmcp",
  title: "DMCP",
  paper: "Guo, Wang, Li, Yan, DMCP: Differentiable Markov Channel Pruning for Neural Networks, CVPR 2020",
  describe:
    "Learns the distribution of every width by gradient descent on cross-entropy and expected cost, in turn with the shared weights, then takes one net from it and retrains it once.",
  settings,
  run: (c) =>
    searchThenTrain(c, async (c) => {
      narrowest(c.cost, c.candidates);
      const net = await Supernet.open(c);
      try {
        const widths = await search(c, net);
        const cut = await cutOf(c, net.whole(), keepAt(widths, net.orders));
        return { graph: cut.graph, widths: cut.widths };
      } finally {
        await net.dispose();
      }
    }),
};

async function search(c: MethodContext, net: Supernet): Promise<Widths> {
  const every = numberSetting(c, "every", 2, { least: 1, whole: true });
  const warmup = numberSetting(c, "warmup", 0.2, { least: 0, most: 1 });
  const weight = numberSetting(c, "weight", 0.1, { least: 0 });
  const distil = flagSetting(c, "distil", true);
  const form = choiceSetting(c, "keep", ["exp", "sigmoid"]);
  const budget = numberSetting(c, "search", 0.5, { least: 0, most: 1 }) * c.meter.left;
  const updates = Math.max(1, Math.floor(budget / (SUB_NETS + (1 - warmup) / every)));
  const from = Math.round(warmup * updates);
  const learned = Math.max(1, Math.ceil((updates - from) / every));
  const learningRate = numberSetting(c, "alphaRate", (form === "exp" ? 6 : 20) / learned, { least: 0 });

  const { candidates, orders } = net;
  // By the sigmoid, α = 3 keeps a block with 95 %: a chain starts near the whole net in either form.
  const chains = new Map(
    [...candidates].map(([id, w]) => [
      id,
      new MarkovChain(w, form, new Float64Array(w.length - 1).fill(form === "exp" ? 0 : 3)),
    ]),
  );
  const optimizers = new Map([...chains].map(([id, chain]) => [id, new Adam(chain.alpha, { learningRate })]));
  const expected = new ExpectedCost(c.cost, candidates);
  const random = streamOf(c.seed, 0, SEARCH_STREAM);

  const learnArchitecture = async (progress: number): Promise<void> => {
    const gates = new Map([...chains].map(([id, chain]) => [id, chain.gates(orders.get(id)!)]));
    const pass = await net.pass(await net.next(), { gates });
    const cost = expected.at(new Map([...chains].map(([id, chain]) => [id, chain.distribution()])));
    const { slope } = costLoss(cost.value / c.cost.target, 1, weight);
    for (const [id, chain] of chains) {
      const byMarginal = chain.throughGates(orders.get(id)!, pass.gates.get(id)!);
      const byCost = chain.throughDistribution(cost.gradient.get(id)!);
      for (const [k, v] of byCost.entries()) byMarginal[k] += (slope * v) / c.cost.target;
      optimizers.get(id)!.update(chain.throughMarginal(byMarginal), 1 - progress);
    }
  };
  const sampled = (): Map<string, number> => new Map([...chains].map(([id, chain]) => [id, chain.sample(random)]));

  await trainSandwich(net, {
    updates,
    distil,
    stage: "learning the architecture",
    others(update) {
      const even = 1 - Math.max(0, update - from) / Math.max(1, updates - from);
      if (update < from) return [drawnAround(candidates, random), drawnAround(candidates, random)];
      return [sampled(), uniformFloat64(random) < even ? drawnAround(candidates, random) : sampled()];
    },
    async after(update) {
      if (update >= from && (update - from) % every === 0) await learnArchitecture((update - from) / (updates - from));
    },
  });

  const wanted = new Map([...chains].map(([id, chain]) => [id, chain.expectedWidth()]));
  const { value } = expected.at(new Map([...chains].map(([id, chain]) => [id, chain.distribution()])));
  c.onNote?.(`the expected cost ended at ${((100 * value) / c.cost.target).toFixed(0)} % of the target`);
  const fitted = await fitMeasured(c, wanted, candidates);
  if (choiceSetting(c, "sampling", ["expected", "direct"]) === "expected") return fitted;

  const nets = [fitted];
  const samples = numberSetting(c, "samples", 10, { least: 1, whole: true });
  for (let draw = 0; draw < MOST_DRAWS && nets.length <= samples; draw++) {
    const widths = sampled();
    const cost = c.cost.of(widths);
    if (cost <= c.cost.target && cost >= LOWER * c.cost.target) nets.push(widths);
  }
  if (nets.length === 1) c.onNote?.("no drawn net came within 5 % of the target, so the expected one was taken");
  let best = { widths: fitted, loss: Number.POSITIVE_INFINITY };
  for (const widths of nets) {
    const { loss } = await net.score(net.at(widths), SCORE_IMAGES);
    if (loss < best.loss) best = { widths, loss };
  }
  return best.widths === fitted ? fitted : fitMeasured(c, best.widths, candidates);
}

/** Of one weight update. */
const SUB_NETS = 4;
const MOST_DRAWS = 2000;
const SCORE_IMAGES = 512;
/** Random numbers of searches are told from those of shuffling by their place in the stream. */
const SEARCH_STREAM = 1 << 20;
