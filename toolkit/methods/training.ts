/** Training and evaluation as every method does it: in steps, with the context's recipe, on its account. */
import type { Split } from "../data/dataset.js";
import { feedsOf, type Graph } from "../graph/graph.js";
import { throwIfAborted } from "../graph/progress.js";
import { floats, sizeOf, toFloat32 } from "../graph/tensor.js";
import { withSession } from "../runtime/session.js";
import { retrainingSchedule, train } from "../train/index.js";
import type { MethodContext, TrainStepsOptions } from "./method.js";
import type { StepMeter } from "./stepMeter.js";

/** Training runs of each account so far: methods are deterministic, so the number tells a run's checkpoint. */
const runs = new WeakMap<StepMeter, number>();

/**
 * The net after `steps` steps; the given net, where that is 0. Steps are counted, epochs noted in the history, and with `folder` a run
 * that was stopped goes on from its checkpoint. Throws as `train` does.
 */
export async function trainSteps(c: MethodContext, graph: Graph, o: TrainStepsOptions): Promise<Graph> {
  const { recipe, meter } = c;
  const run = runs.get(meter) ?? 0;
  runs.set(meter, run + 1);
  if (o.steps <= 0) return graph;
  const data = o.data ?? c.train;
  const batchSize = Math.min(o.batchSize ?? recipe.batchSize, data.count);
  const perEpoch = Math.floor(data.count / batchSize);
  const result = await train({
    graph,
    data,
    batchSize,
    epochs: Math.ceil(o.steps / perEpoch),
    limitSteps: o.steps,
    loss: o.loss ?? recipe.loss(),
    optimizer: o.optimizer ?? recipe.optimizer(),
    schedule: o.schedule ?? retrainingSchedule({ learningRate: recipe.learningRate }),
    augment: recipe.augment,
    batchNorm: o.batchNorm,
    freeze: o.freeze,
    rate: o.rate,
    threads: recipe.threads,
    ownThread: recipe.ownThread,
    seed: c.seed + 7919 * (o.run ?? 0),
    onProgress: (e) => c.onProgress?.({ ...e, stage: o.stage ?? (o.phase === "search" ? "searching" : "retraining") }),
    signal: c.signal,
    ...(c.folder ? { checkpoint: `${c.folder}/run-${run}.checkpoint.onnx`, resume: true } : {}),
  });
  let left = o.steps;
  for (const epoch of result.history) {
    const steps = Math.min(perEpoch, left);
    left -= steps;
    meter.step(o.phase, steps, batchSize);
    meter.note(o.phase, epoch.loss, epoch.learningRate);
  }
  return result.graph;
}

/** Images per call where a net leaves the batch open. */
const EVALUATION_BATCH = 100;

/** Share of a split's images whose highest score has their label. Throws where the split has no labels. */
export async function accuracyOn(
  g: Graph,
  split: Split,
  o: { threads?: number; signal?: AbortSignal; onImages?: (done: number, total: number) => void } = {},
): Promise<number> {
  const [input] = feedsOf(g);
  const fixed = input.type.dims?.[0];
  const size = typeof fixed === "number" ? fixed : EVALUATION_BATCH;
  const total = typeof fixed === "number" ? split.count - (split.count % fixed) : split.count;
  return withSession(g, { threads: o.threads, where: "trained net" }, async (session) => {
    let right = 0;
    for (let from = 0; from < total; from += size) {
      throwIfAborted(o.signal);
      const batch = await split.batch(Array.from({ length: Math.min(size, total - from) }, (_, i) => from + i));
      const results = await session.run({ [input.name]: floats(batch.data, batch.dims) });
      const { dims } = results[g.outputs[0].name];
      const scores = toFloat32(results[g.outputs[0].name]);
      const classes = sizeOf(dims) / dims[0];
      batch.labels?.forEach((label, i) => {
        const row = scores.subarray(i * classes, (i + 1) * classes);
        if (row.indexOf(Math.max(...row)) === label) right++;
      });
      o.onImages?.(Math.min(total, from + size), total);
    }
    return right / total;
  });
}

/** Accuracy on the held-out training images, on the method's account. */
export async function accuracyOf(c: MethodContext, g: Graph, split: Split = c.holdOut): Promise<number> {
  const share = await accuracyOn(g, split, { threads: c.recipe.threads, signal: c.signal });
  c.meter.forward(split.count);
  return share;
}
