/**
 * MetaPruning: Liu, Mu, Zhang, Guo, Yang, Cheng, Sun, "MetaPruning: Meta Learning for Automatic Neural Network Channel Pruning",
 * ICCV 2019.
 *
 * Small generators learn the weights of every convolution as a function of the widths (`weightGenerator.ts`): each step draws widths,
 * generates the weights, crops them, and sends the gradient of the cross-entropy back into the generators. Then an evolutionary search
 * under the hard constraint of the cost judges nets with generated weights on held-out images, normalised by their own statistics. The best
 * net is retrained once.
 *
 * Deviations: generators start from the trained weights instead of nothing, have fewer numbers inside (8 instead of 32), and the net
 * goes on from its generated weights; candidates are scaled to the target instead of drawn until one meets it.
 */
import type { Widths } from "../prune/groups.js";
import { retrainingSchedule, streamOf } from "../train/index.js";
import { evolve, type Genes } from "./evolution.js";
import { cutOf } from "./finishing.js";
import { fitMeasured, fitWidths, narrowest } from "./fitWidths.js";
import { keepAt } from "./gates.js";
import type { MethodContext, PruningMethod } from "./method.js";
import { numberSetting } from "./readSettings.js";
import { searchThenTrain } from "./searchThenTrain.js";
import { drawnAround } from "./slimmable.js";
import { Supernet } from "./supernet.js";

import { WeightGenerator } from "./weightGenerator.js";

const settings = {
  search: "share of the steps that training of the generators gets; default 0.4",
  hidden: "numbers between the two layers of a generator; default 8",
  population: "nets per generation; default 16",
  generations: "generations after the first; default 6",
  images: "held-out images that each net is judged on; default 256",
};

export const metaPruning: PruningMethod = {
  name: "metapruning",
  title: "MetaPruning",
  paper:
    "Liu, Mu, Zhang, Guo, Yang, Cheng, Sun, MetaPruning: Meta Learning for Automatic Neural Network Channel Pruning, ICCV 2019",
  describe:
    "Trains generators of weights for any widths, looks for the best widths within the cost by evolution, and retrains that net.",
  settings,
  run: (c) =>
    searchThenTrain(c, async (c) => {
      narrowest(c.cost, c.candidates);
      const net = await Supernet.open(c);
      const generator = await WeightGenerator.open({
        graph: c.graph,
        groups: c.groups,
        layout: net.layout,
        hidden: numberSetting(c, "hidden", 8, { least: 1, whole: true }),
        optimizer: c.recipe.optimizer(),
        seed: c.seed,
        ...(c.recipe.threads === undefined ? {} : { threads: c.recipe.threads }),
      });
      try {
        await learnWeights(c, net, generator);
        const widths = await searchWidths(c, net, generator);
        const whole = net.whole(await generator.generate(net.parameters, widths));
        const cut = await cutOf(c, whole, keepAt(widths, net.orders));
        return {
          graph: cut.graph,
          widths: cut.widths,
        };
      } finally {
        await generator.dispose();
        await net.dispose();
      }
    }),
};

async function learnWeights(c: MethodContext, net: Supernet, generator: WeightGenerator): Promise<void> {
  const steps = Math.max(1, Math.floor(numberSetting(c, "search", 0.4, { least: 0, most: 1 }) * c.meter.left));
  const schedule = retrainingSchedule({ learningRate: c.recipe.learningRate });
  const random = streamOf(c.seed, 3, SEARCH_STREAM);
  for (let step = 0; step < steps; step++) {
    const widths = drawnAround(net.candidates, random);
    const learningRate = schedule(step, steps);
    const pass = await net.pass(await net.next(), {
      ...net.at(widths),
      parameters: await generator.generate(net.parameters, widths),
    });
    await generator.learn(widths, pass.gradient, learningRate);
    await net.update(pass.gradient, learningRate);
    if (step % 50 === 0 || step + 1 === steps) c.meter.note("search", pass.loss, learningRate);
    c.onProgress?.({ stage: "learning to generate weights", done: step + 1, total: steps });
  }
}

async function searchWidths(c: MethodContext, net: Supernet, generator: WeightGenerator): Promise<Widths> {
  const ids = [...net.candidates.keys()];
  const lists = ids.map((id) => net.candidates.get(id)!);
  const widthsOf = (genes: Genes): Map<string, number> => new Map(ids.map((id, i) => [id, lists[i][genes[i]]]));
  const genesOf = (widths: Widths): Genes => ids.map((id, i) => lists[i].indexOf(widths.get(id)!));
  const random = streamOf(c.seed, 4, SEARCH_STREAM);
  const images = numberSetting(c, "images", 256, { least: 1, whole: true });
  const population = numberSetting(c, "population", 16, { least: 2, whole: true });
  const found = await evolve({
    choices: lists.map((w) => w.length),
    population,
    generations: numberSetting(c, "generations", 6, { least: 0, whole: true }),
    parents: Math.max(2, Math.ceil(population / 4)),
    mutation: 0.1,
    random,
    draw: () => genesOf(drawnAround(net.candidates, random, 1)),
    admit: (genes) => genesOf(fitWidths(c.cost, widthsOf(genes), net.candidates)),
    async score(genes) {
      const widths = widthsOf(genes);
      const parameters = await generator.generate(net.parameters, widths);
      return (await net.score({ ...net.at(widths), parameters }, images)).loss;
    },
    onScore: (done, total) => c.onProgress?.({ stage: "evolving widths", done, total }),
  });
  return fitMeasured(c, widthsOf(found[0].genes), net.candidates);
}

const SEARCH_STREAM = 1 << 20;
