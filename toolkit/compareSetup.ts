/** What the methods of a comparison share: the net as they want it, the device's costs, the data, the recipe. */
import { budgetMs, parseBudget } from "./budget.js";
import type { Dataset, Split } from "./data/index.js";
import { UsageError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import { widthGrid } from "./latency/index.js";
import { ready } from "./methods/context.js";
import { latencyCost, macsCost, recalibrated } from "./methods/cost.js";
import { prefixNet } from "./methods/cut.js";
import { divide, firstOf } from "./methods/holdOut.js";
import { type Cost, type MethodContext, type Recipe, StepMeter } from "./methods/index.js";
import { uniformWidths } from "./methods/uniformWidths.js";
import { feedsFor, goldenRun, type OpenDevice, oneCall, ratioOf, timeTogether } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import { costsOf } from "./ops/costs.js";
import type { DeviceOptions, PreprocessOptions } from "./options.js";
import { profileModel } from "./profile.js";
import { type ChannelGroups, findGroups } from "./prune/groups.js";
import { hasFixedBatch, imageBatches, remarksOn, type Subject } from "./subject.js";
import { combineLosses, crossEntropy, distillation, sgd } from "./train/index.js";
import { augmentOf } from "./trainOptions.js";

export interface CompareOptions extends DeviceOptions {
  /** Path of the ONNX file. */
  model: string;
  /** Names of the methods, in the order of the table. */
  methods: readonly string[];
  /** `50%` of the original's latency (or multiply-accumulates); `8ms` and `30fps` with `cost: "latency"`. */
  budget: string;
  /** `FORMAT:PATH` or an open data set, with labels. */
  data: string | Dataset;
  preprocess?: PreprocessOptions;
  /** Passes over the training images that each method may spend, its search included. Default 10. */
  epochs?: number;
  /** What the budget counts. Default `latency`. */
  cost?: "latency" | "macs";
  /** Settings per method name. */
  settings?: Readonly<Record<string, MethodContext["settings"]>>;
  /** The largest rate of the original training. Default 0.05. */
  learningRate?: number;
  /** Default 128. */
  batchSize?: number;
  /** Default 5e-4. */
  weightDecay?: number;
  /** Every method retrains with cross-entropy and the original's answers. Default false: with cross-entropy, unless a method says otherwise. */
  distill?: boolean;
  /** At most this many training images. Default: all. */
  images?: number;
  /** At most this many test images. Default: all. */
  limit?: number;
  /** Threads of training. Default: as many as the process may use. */
  trainingThreads?: number;
  /** Training steps run in a thread of their own; false saves its start where steps are few. Default true. */
  ownThread?: boolean;
  /** Folder for finished and unfinished runs; absent: nothing is kept. */
  folder?: string;
}

export interface Setup {
  o: CompareOptions;
  subject: Subject;
  device: OpenDevice;
  /** Tidy, with batch norms. */
  graph: Graph;
  groups: ChannelGroups;
  cost: Cost;
  candidates: ReadonlyMap<string, readonly number[]>;
  train: Split;
  holdOut: Split;
  test: Split;
  recipe: Recipe;
  steps: number;
  epochs: number;
  measure(g: Graph): Promise<number>;
  warn(text: string): void;
}

const HELD_OUT = { share: 0.1, most: 1000 };
/** Times that the table is corrected by what a net at the target really takes. */
const CORRECTIONS = 2;

/** Opens everything, measures the table. Throws UsageError for what cannot be compared. */
export async function setUp(
  o: CompareOptions,
  subject: Subject,
  device: OpenDevice,
  warn: (text: string) => void,
): Promise<Setup> {
  const { data } = subject;
  if (!data) throw new UsageError("missing-flag", "methods are compared on labelled images", { hint: "give --data" });
  if (!data.train.labelled || !data.test.labelled)
    throw new UsageError("no-labels", "methods are compared by accuracy, and the data has no labels", {
      where: data.name,
    });
  if (hasFixedBatch(subject)) {
    throw new UsageError(
      "fixed-batch",
      `the model takes exactly ${subject.batchSize} images per call, and training needs a free number`,
      {
        where: subject.file,
        hint: "export it with a dynamic batch dimension",
      },
    );
  }
  for (const text of remarksOn(subject)) warn(text);
  const { learn, held } = divide(firstOf(data.train, o.images ?? data.train.count), HELD_OUT.share, HELD_OUT.most);
  if (!held) throw new UsageError("too-few-images", `${data.train.count} training images are too few to hold some out`);
  const graph = await ready(subject.graph, learn, { signal: o.signal });
  const groups = findGroups(graph);
  if (groups.prunable.length === 0) throw new UsageError("nothing-to-prune", "no channel of this model can be removed");
  const { batchSize = 128, learningRate = 0.05, weightDecay = 5e-4, epochs = 10 } = o;
  const probe = await learn.batch([0]);
  const recipe: Recipe = {
    batchSize,
    learningRate,
    weightDecay,
    optimizer: () => sgd({ nesterov: true, weightDecay }),
    loss: () => (o.distill ? distilledLoss(graph, o.trainingThreads) : crossEntropy()),
    augment: augmentOf({ model: graph, data, seed: o.seed }, probe.dims, subject.preprocessing?.values),
    threads: o.trainingThreads,
    ownThread: o.ownThread,
  };
  const measuring = await costOn(o, subject, device, graph, groups, learn, warn);
  return {
    o,
    subject,
    device,
    graph,
    groups,
    ...measuring,
    train: learn,
    holdOut: held,
    test: firstOf(data.test, o.limit ?? data.test.count),
    recipe,
    epochs,
    steps: Math.floor((epochs * learn.count) / batchSize),
    warn,
  };
}

async function costOn(
  o: CompareOptions,
  subject: Subject,
  device: OpenDevice,
  graph: Graph,
  groups: ChannelGroups,
  learn: Split,
  warn: (text: string) => void,
): Promise<Pick<Setup, "cost" | "candidates" | "measure">> {
  const { seed = 1, signal, onProgress } = o;
  const budget = parseBudget(o.budget);
  const images = await imageBatches(
    subject,
    learn,
    Array.from({ length: Math.min(learn.count, subject.batchSize) }, (_, i) => i),
  );
  const call = oneCall(subject, images.tensors[0]);
  await goldenRun(device, subject, subject.bytes, call);
  if (o.cost === "macs") {
    if (budget.kind !== "percent")
      throw new UsageError("budget", "multiply-accumulates are counted, so their budget is a share of the original's", {
        where: `--budget ${o.budget}`,
        hint: "write a percentage, or --cost latency",
      });
    const candidates = new Map(groups.prunable.map((g) => [g.id, widthGrid(g.width)]));
    const cost = macsCost(graph, groups, budget.percent / 100);
    return { cost, candidates, measure: async (g) => costsOf(g).macs };
  }
  const feeds = feedsFor(subject, call);
  const against = (g: Graph) =>
    timeTogether(
      device,
      [subject.bytes, writeModel(g)].map((model) => ({ model, feeds })),
      { minSamples: 100, minTimeMs: 600, seed, signal },
    );
  const [original, whole] = await against(graph);
  const originalMs = original.latency.p50;
  const share = budgetMs(budget, originalMs) / originalMs;
  if (share > 1) throw new UsageError("budget", `the original takes ${originalMs.toFixed(3)} ms and meets the budget`);
  const profile = await profileModel({
    graph,
    groups,
    runner: device.runner,
    seed,
    cacheDir: o.cacheDir,
    onProgress,
    onWarning: warn,
    signal,
  });
  const measure = async (g: Graph): Promise<number> => {
    const [a, b] = await against(g);
    return originalMs / ratioOf(a, b).ratio;
  };
  let cost = latencyCost(profile.model, groups, { originalMs: originalMs / ratioOf(original, whole).ratio, share });
  cost = { ...cost, target: share * originalMs };
  const full = { graph, groups, widths: new Map(groups.prunable.map((g) => [g.id, g.width])) };
  for (let i = 0; i < CORRECTIONS; i++) {
    onProgress?.({ stage: "checking the table at the target", done: i, total: CORRECTIONS });
    const widths = uniformWidths({ cost, candidates: profile.candidateWidths });
    cost = recalibrated(cost, widths, await measure(prefixNet(full, widths).graph));
  }
  onProgress?.({ stage: "checking the table at the target", done: CORRECTIONS, total: CORRECTIONS });
  return { cost, candidates: profile.candidateWidths, measure };
}

/** Cross-entropy with the labels at weight 0.1 beside the original's softened answers. */
function distilledLoss(teacher: Graph, threads: number | undefined) {
  return combineLosses([
    { loss: distillation({ teacher, threads }), weight: 0.9 },
    { loss: crossEntropy(), weight: 0.1 },
  ]);
}

/** The context of one method's run. */
export function contextOf(
  s: Setup,
  method: string,
  run: { folder?: string; measure: MethodContext["measure"]; onProgress: MethodContext["onProgress"] },
): MethodContext {
  const { graph, groups, candidates, cost, train, holdOut, recipe } = s;
  return {
    graph,
    groups,
    candidates,
    cost,
    train,
    holdOut,
    teacher: graph,
    recipe,
    meter: new StepMeter(s.steps, recipe.batchSize),
    seed: s.o.seed ?? 1,
    settings: s.o.settings?.[method] ?? {},
    signal: s.o.signal,
    ...run,
  };
}
