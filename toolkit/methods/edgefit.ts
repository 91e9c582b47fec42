/**
 * What `fit` does by default, as a method among the others.
 *
 * 1. Order: inside a group the channel goes first whose loss the remaining weights of its readers can make up for best (block Optimal Brain
 *    Surgeon on second moments, `prune/elimination.ts`).
 * 2. Loss of each width, and of leaving out each residual branch: measured on held-back images with the readers solved again (`prune/sensitivity.ts`).
 * 3. Widths: least total loss within the cost, a multiple-choice knapsack over edges of the staircase (`prune/allocate.ts`).
 * 4. Repair: least squares front to back, compared with re-estimated statistics and the plain cut (`prune/reconstruct.ts`).
 * 5. Training: the original's softened answers and its inner sums, and the labels.
 *
 * Training depends on how long it may be. Under `SHORT` steps: AdamW at 0.001 in batches of 32, distillation alone, which keeps what the
 * repair found (docs/training-notes.md). Longer: the recipe's optimiser on the cyclic schedule, distillation with temperature 4 at weight 0.9
 * beside cross-entropy at weight 0.1 (Hinton, Vinyals, Dean 2015). `docs/architecture.md` has the reasons for steps 1 to 4.
 */

import { UsageError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";
import { allocateWidths, cheapest } from "../prune/allocate.js";
import { reestimateStatistics } from "../prune/batchNorm.js";
import { type Branch, dropBranches, droppedBranches, findBranches, withBranches } from "../prune/branches.js";
import { type Keep, keptPositions, type Widths } from "../prune/groups.js";
import { keepLast } from "../prune/importance.js";
import { reconstruct } from "../prune/reconstruct.js";
import { measureLosses, readerMoments, relativeError } from "../prune/sensitivity.js";
import { sliceGraph } from "../prune/slice.js";
import { outputsOn } from "../prune/walk.js";
import { adamW, combineLosses, cosineSchedule, crossEntropy, distillation, type Loss } from "../train/index.js";
import { commonFeatures, FEATURE_WEIGHT } from "./commonFeatures.js";
import { tensorsOf } from "./context.js";
import { fullWidths } from "./cost.js";
import { criterionNames, ordersOf, scoreGroups } from "./criteria.js";
import type { MethodContext, MethodNet, PruningMethod } from "./method.js";
import { choiceSetting } from "./readSettings.js";
import { accuracyOf, accuracyOn, trainSteps } from "./training.js";
import { aimed, allocationProblem } from "./widths.js";

const settings = {
  criterion: `order of the channels: ${criterionNames.join(", ")} (reconstruction)`,
  blocks: "drop: residual branches may go as a whole (default); keep: they are only narrowed",
  training: "auto (default), short or long: see the recipe in the source",
};

/** Images for second moments and repair, and those that losses are measured on. */
const CALIBRATION_IMAGES = 512;
const HELD_BACK_IMAGES = 256;
/** Steps below which a repaired net is trained gently: large rates first undo the repair, and it takes long to come back. */
const SHORT = 2000;
const GENTLE_BATCH = 32;

/** A cut that was chosen: what stays, and the net with the weights that it had. */
interface Chosen {
  widths: Widths;
  keep: Keep;
  cut: Graph;
}

/** Steps 1 to 3. Widths of 0 stand for branches that are left out. */
export async function chooseCut(
  c: MethodContext,
  calibration: readonly Tensor[],
  heldBack: readonly Tensor[],
): Promise<Chosen> {
  const { graph, groups, meter, signal, onProgress } = c;
  const run = { threads: c.recipe.threads, signal };
  const criterion = choiceSetting(c, "criterion", criterionNames);
  const branches = choiceSetting(c, "blocks", ["drop", "keep"] as const) === "drop" ? findBranches(graph, groups) : [];
  const moments = await readerMoments(graph, groups, calibration, run);
  meter.forward(imagesIn(calibration));
  const scores = await scoreGroups(graph, groups, {
    criterion,
    batches: await labelled(c, calibration),
    loss: crossEntropy,
    seed: c.seed,
    moments,
    threads: c.recipe.threads,
    onProgress,
    onNote: c.onNote,
    onWork: ({ backward, forward }) => {
      meter.step("search", 1, backward);
      meter.forward(forward);
    },
    signal,
  });
  const orders = ordersOf(scores);
  const candidates = withBranches(new Map([...c.candidates].filter(([id]) => orders.has(id))), branches);
  const losses = await measureLosses(graph, groups, orders, candidates, moments, heldBack, {
    ...run,
    branches,
    onProgress,
  });
  // A probe runs what lies behind its group: on average half of the net.
  const probes = [...candidates.values()].reduce((n, list) => n + Math.min(4, list.length - 1), 0);
  meter.forward((probes * imagesIn(heldBack)) / 2);
  const choices = [...losses].map(([id, { widths, loss }]) => ({ id, widths, loss }));
  const problem = allocationProblem(c.cost, choices, branches);
  const keepAt = (widths: Widths): Keep =>
    new Map(
      [...widths].flatMap(([id, w]) =>
        w > 0 && w < groups.group(id).width ? [[id, keepLast(orders.get(id)!, w)] as const] : [],
      ),
    );
  const build = (widths: Widths): Graph => cutNet(c, keepAt(widths), branches, widths);
  const least = cheapest(problem);
  if (least.ms > c.cost.target) {
    throw new UsageError(
      "target-unreachable",
      `the smallest net still costs ${least.ms.toPrecision(4)} ${c.cost.unit}, over ${c.cost.target.toPrecision(4)}`,
      { hint: "raise the budget" },
    );
  }
  const widths = await aimed(c, (target) => allocateWidths(problem, Math.max(target, least.ms)).widths, build);
  return { widths, keep: keepAt(widths), cut: build(widths) };
}

const cutNet = (c: MethodContext, keep: Keep, branches: readonly Branch[], widths: Widths): Graph =>
  dropBranches(sliceGraph(c.graph, c.groups, keep), droppedBranches(branches, widths));

const imagesIn = (batches: readonly Tensor[]): number => batches.reduce((n, t) => n + t.dims[0], 0);

/** The calibration images with their labels. */
async function labelled(c: MethodContext, batches: readonly Tensor[]) {
  let from = 0;
  return Promise.all(
    batches.map(async (t) => {
      const indices = Array.from({ length: t.dims[0] }, (_, i) => from + i);
      from += t.dims[0];
      return c.train.batch(indices);
    }),
  );
}

/** Step 4: the candidate whose outputs are nearest to the original's on held-back images. */
async function repaired(
  c: MethodContext,
  { keep, cut }: Chosen,
  calibration: readonly Tensor[],
  heldBack: readonly Tensor[],
): Promise<Graph> {
  const run = { threads: c.recipe.threads, signal: c.signal };
  const reference = await outputsOn(c.graph, heldBack, run);
  const kept = (name: string, axis: number) => keptPositions(c.groups, keep, name, axis);
  const nets = [
    await reconstruct(c.graph, cut, kept, calibration, { ...run, onProgress: c.onProgress }),
    await reestimateStatistics(cut, calibration, run),
    cut,
  ];
  c.meter.forward(2 * imagesIn(calibration) + (nets.length + 1) * imagesIn(heldBack));
  const errors = await Promise.all(nets.map(async (g) => relativeError(await outputsOn(g, heldBack, run), reference)));
  return nets[errors.indexOf(Math.min(...errors))];
}

/** Step 5. */
async function trained(c: MethodContext, graph: Graph): Promise<Graph> {
  const { recipe, meter } = c;
  const soft = (): Loss =>
    distillation({
      teacher: c.teacher,
      features: commonFeatures(c.teacher, graph),
      featureWeight: FEATURE_WEIGHT,
      threads: recipe.threads,
    });
  const training = choiceSetting(c, "training", ["auto", "short", "long"] as const);
  // The teacher's forward pass is a third of what a step costs, and it is paid for.
  const share = 3 / 4;
  if (training === "short" || (training === "auto" && meter.left < SHORT)) {
    const size = Math.min(GENTLE_BATCH, recipe.batchSize);
    const steps = Math.floor((share * meter.left * recipe.batchSize) / size);
    const net = await trainSteps(c, graph, {
      steps,
      batchSize: size,
      phase: "retrain",
      loss: soft(),
      optimizer: adamW({ weightDecay: 0.01 }),
      schedule: cosineSchedule({ learningRate: 0.001, warmup: 0.1 }),
    });
    meter.forward(steps * size);
    return net;
  }
  const steps = Math.floor(share * meter.left);
  const net = await trainSteps(c, graph, {
    steps,
    phase: "retrain",
    loss: combineLosses([
      { loss: distillation({ teacher: c.teacher, threads: recipe.threads }), weight: 0.9 },
      { loss: crossEntropy(), weight: 0.1 },
    ]),
  });
  meter.forward(steps * recipe.batchSize);
  return net;
}

/** The net after training, or as it was where that took accuracy on the held-out images from it. */
async function better(c: MethodContext, start: Graph): Promise<Graph> {
  if (c.meter.left === 0) return start;
  const before = await accuracyOf(c, start);
  // Set aside now: the budget is spent when training ends.
  c.meter.forward(c.holdOut.count);
  const after = await trained(c, start);
  const { threads } = c.recipe;
  if ((await accuracyOn(after, c.holdOut, { threads, signal: c.signal })) >= before) return after;
  c.onNote?.("training made the repaired net worse, so it is kept as repaired");
  return start;
}

export const edgefit: PruningMethod = {
  name: "edgefit",
  title: "edgefit",
  paper: "",
  describe:
    "What fit does by default: block OBS order, measured losses, a knapsack over the device's staircase, least-squares repair, distillation.",
  settings,
  async run(c): Promise<MethodNet> {
    const calibration = await tensorsOf(c.graph, c.train, CALIBRATION_IMAGES);
    const heldBack = await tensorsOf(c.graph, c.holdOut, HELD_BACK_IMAGES);
    const chosen = await chooseCut(c, calibration, heldBack);
    const start = await repaired(c, chosen, calibration, heldBack);
    const graph = await better(c, start);
    const gone = [...chosen.widths.values()].filter((w) => w === 0).length;
    return {
      graph,
      widths: new Map([...fullWidths(c.groups), ...chosen.widths]),
      notes: gone > 0 ? [`${gone} residual branches are left out`] : [],
    };
  },
};
