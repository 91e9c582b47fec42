/**
 * Liu, Sun, Zhou, Huang, Darrell, "Rethinking the Value of Network Pruning", ICLR 2019: the architecture that pruning found, trained from
 * fresh weights.
 *
 * - `scratch-e`: for as many steps as every method has ("same epochs").
 * - `scratch-b`: for as much computation as the same steps on the original take: a net of half the multiply-accumulates is trained twice as
 *   long ("same compute", at most twice as long, as they have it for nets that are much smaller). It so exceeds a budget that counts steps, and
 *   says so.
 *
 * The architecture is the knapsack's (`edgefit`, without leaving out branches) or the uniform one, by `widths`. `transferred` takes an architecture to
 * another set of classes.
 */
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph, opsetOf, producersOf } from "../graph/graph.js";
import { floats, sizeOf } from "../graph/tensor.js";
import { costsOf } from "../ops/costs.js";
import { ruleFor } from "../ops/index.js";
import { inferShapes } from "../ops/infer.js";
import type { Widths } from "../prune/groups.js";
import { cosineSchedule } from "../train/index.js";
import { tensorsOf } from "./context.js";
import { prefixNet, uncut } from "./cut.js";
import { chooseCut } from "./edgefit.js";
import type { MethodContext, MethodNet, PruningMethod } from "./method.js";
import { choiceSetting } from "./readSettings.js";
import { reinitialized } from "./reinitialize.js";
import { trainSteps } from "./training.js";
import { uniformWidths } from "./uniformWidths.js";
import { aimed } from "./widths.js";

const settings = { widths: "edgefit: the knapsack's (default); uniform: the same share of every layer" };

/** Longest training of `scratch-b`, relative to the budget. */
const LONGEST = 2;

async function architecture(c: MethodContext): Promise<Widths> {
  if (choiceSetting(c, "widths", ["edgefit", "uniform"] as const) === "uniform")
    return aimed(c, (target) => uniformWidths(c, target));
  const calibration = await tensorsOf(c.graph, c.train, 512);
  const heldBack = await tensorsOf(c.graph, c.holdOut, 256);
  return (await chooseCut({ ...c, settings: { blocks: "keep" } }, calibration, heldBack)).widths;
}

function fromScratch(name: string, title: string, describe: string, equalCompute: boolean): PruningMethod {
  return {
    name,
    title,
    paper: "Liu, Sun, Zhou, Huang, Darrell, Rethinking the Value of Network Pruning, ICLR 2019",
    describe,
    settings,
    async run(c): Promise<MethodNet> {
      const net = prefixNet(uncut(c), await architecture(c));
      const longer = equalCompute ? Math.min(LONGEST, costsOf(c.graph).macs / costsOf(net.graph).macs) : 1;
      const graph = await trainSteps(c, reinitialized(net.graph, c.seed), {
        steps: Math.floor(c.meter.left * longer),
        phase: "retrain",
        schedule: cosineSchedule({ learningRate: c.recipe.learningRate, warmup: 0.1 }),
        stage: "training from scratch",
      });
      const notes = ["the trained original decides the widths and nothing else"];
      if (equalCompute) notes.push(`trained ${longer.toFixed(2)} times as long as the budget, for equal computation`);
      return { graph, widths: net.widths, notes };
    },
  };
}

export const scratchE = fromScratch(
  "scratch-e",
  "from scratch, same steps",
  "The pruned architecture with fresh weights, trained for the same steps.",
  false,
);

export const scratchB = fromScratch(
  "scratch-b",
  "from scratch, same compute",
  "The pruned architecture with fresh weights, trained for the same computation: more steps, as each is cheaper.",
  true,
);

/**
 * The architecture for another data set: fresh weights, and a last dense layer of as many rows as there are classes. Throws ModelError
 * where the output does not come from a dense layer (by way of a Softmax or Identity, if any).
 */
export function transferred(g: Graph, classes: number, seed: number): Graph {
  const producers = producersOf(g);
  let node = producers.get(g.outputs[0]?.name ?? "");
  while (node && (node.opType === "Softmax" || node.opType === "Identity")) node = producers.get(node.inputs[0]);
  const linear = node && ruleFor(node, opsetOf(g, node.domain))?.linear;
  const weight = linear && g.initializers.get(node!.inputs[linear.weight]);
  if (g.outputs.length !== 1 || !node || !linear || weight?.dims.length !== 2) {
    throw new ModelError(
      "not-a-classifier",
      "the net does not end in a dense layer, so its classes cannot be changed",
      {
        where: node?.name,
      },
    );
  }
  const out = cloneGraph(g);
  const axis = linear.outputAxis(node);
  const dims = weight.dims.map((d, i) => (i === axis ? classes : d));
  out.initializers.set(node.inputs[linear.weight], floats(new Float32Array(sizeOf(dims)), dims));
  const bias = linear.bias >= 0 ? node.inputs[linear.bias] : undefined;
  if (bias && g.initializers.has(bias)) out.initializers.set(bias, floats(new Float32Array(classes)));
  out.valueTypes.clear();
  out.outputs = g.outputs.map((v) => ({
    ...v,
    type: { ...v.type, ...(v.type.dims ? { dims: [...v.type.dims.slice(0, -1), classes] } : {}) },
  }));
  return reinitialized(inferShapes(out), seed);
}
