/** Contexts with the house's defaults filled in, and methods run in them. */
import type { Split } from "../data/dataset.js";
import { UsageError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { remarks } from "../graph/remarks.js";
import { floats, type Tensor } from "../graph/tensor.js";
import { tidy } from "../graph/tidy.js";
import { widthGrid } from "../latency/index.js";
import { costsOf } from "../ops/costs.js";
import { inferShapes } from "../ops/infer.js";
import { type ChannelGroups, findGroups } from "../prune/groups.js";
import { crossEntropy, sgd } from "../train/index.js";
import { macsCost } from "./cost.js";
import { divide } from "./holdOut.js";
import { insertBatchNorm } from "./insertBatchNorm.js";
import type { Cost, MethodContext, MethodResult, PruningMethod, Recipe } from "./method.js";
import { knownSettings } from "./readSettings.js";
import { StepMeter } from "./stepMeter.js";

export interface ContextOptions
  extends Pick<MethodContext, "seed" | "folder" | "onProgress" | "onNote" | "signal">,
    Partial<Pick<MethodContext, "settings" | "teacher" | "holdOut" | "measure">> {
  /** The trained original, as `ready` gives it. */
  graph: Graph;
  /** Found when absent. */
  groups?: ChannelGroups;
  /** Learned from; without `holdOut`, some of it is held out. */
  train: Split;
  /** Training steps that the method may spend. */
  steps: number;
  /** Default: multiply-accumulates, half of the original's. */
  cost?: Cost;
  /** Default: the grid of each width. */
  candidates?: ReadonlyMap<string, readonly number[]>;
  recipe?: Partial<Recipe>;
}

/** Share of the training images that is held out, and the largest number of them. */
const HELD_OUT = { share: 0.1, most: 1000 };

/** A context; what is left out is as the options say. */
export function methodContext(o: ContextOptions): MethodContext {
  const groups = o.groups ?? findGroups(o.graph);
  const cost = o.cost ?? macsCost(o.graph, groups, 0.5);
  const { learn, held = learn } = o.holdOut
    ? { learn: o.train, held: o.holdOut }
    : divide(o.train, HELD_OUT.share, HELD_OUT.most);
  const weightDecay = o.recipe?.weightDecay ?? 5e-4;
  const recipe: Recipe = {
    batchSize: 128,
    learningRate: 0.1,
    weightDecay,
    optimizer: () => sgd({ nesterov: true, weightDecay }),
    loss: () => crossEntropy(),
    ...o.recipe,
  };
  return {
    graph: o.graph,
    groups,
    candidates: o.candidates ?? new Map(groups.prunable.map((g) => [g.id, widthGrid(g.width)])),
    cost,
    train: learn,
    holdOut: held,
    teacher: o.teacher ?? o.graph,
    recipe,
    meter: new StepMeter(o.steps, recipe.batchSize),
    seed: o.seed,
    measure: o.measure ?? measureOf(cost),
    settings: o.settings ?? {},
    ...(o.folder ? { folder: o.folder } : {}),
    ...(o.onProgress ? { onProgress: o.onProgress } : {}),
    ...(o.onNote ? { onNote: o.onNote } : {}),
    ...(o.signal ? { signal: o.signal } : {}),
  };
}

function measureOf(cost: Cost): MethodContext["measure"] {
  return async (g) => {
    if (cost.unit === "MACs") return costsOf(g).macs;
    throw new UsageError("no-device", "this method measures nets, and the context has no device to measure on");
  };
}

/** Images whose statistics stand for the data. */
const STATISTICS_IMAGES = 500;

/** A model as methods want it: tidy, shapes inferred, batch normalisation behind every convolution. */
export async function ready(model: Graph, train: Split, o: { signal?: AbortSignal } = {}): Promise<Graph> {
  const g = inferShapes(tidy(model));
  return insertBatchNorm(g, await tensorsOf(g, train, STATISTICS_IMAGES), o);
}

/** The first images of a split as input tensors. */
export async function tensorsOf(g: Graph, split: Split, images: number): Promise<Tensor[]> {
  const fixed = g.inputs[0]?.type.dims?.[0];
  const size = typeof fixed === "number" ? fixed : 100;
  const total = Math.min(images, split.count);
  const out: Tensor[] = [];
  for (let from = 0; from + (typeof fixed === "number" ? size : 1) <= total; from += size) {
    const batch = await split.batch(Array.from({ length: Math.min(size, total - from) }, (_, i) => from + i));
    out.push(floats(batch.data, batch.dims));
  }
  return out;
}

/** Runs a method and closes its account. Throws UsageError for a setting that it does not know, and what the method throws. */
export async function runMethod(method: PruningMethod, c: MethodContext): Promise<MethodResult> {
  knownSettings(method, c.settings);
  const started = performance.now();
  const { said: notes, say: onNote } = remarks(c.onNote);
  const net = await method.run({ ...c, onNote });
  const { used, total, spent, history } = c.meter;
  if (used > 1.02 * total) onNote(`it spent ${Math.round(used)} steps where the budget is ${total}`);
  return {
    ...net,
    method: method.name,
    notes: [...notes, ...(net.notes ?? [])],
    steps: spent,
    history,
    seconds: (performance.now() - started) / 1000,
  };
}
