/** The epochs of a training run: shuffle, augment, step, report, save. */
import type { Batch, Split } from "../data/dataset.js";
import { UsageError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import type { Progress } from "../graph/progress.js";
import type { Tensor } from "../graph/tensor.js";
import { type AugmentOptions, augmentBatch, checkAugment } from "./augment.js";
import { checkRecipe, type EpochResult, type Recipe, readCheckpoint, writeCheckpoint } from "./checkpoint.js";
import { minutes } from "./duration.js";
import type { Loss } from "./losses.js";
import type { Optimizer } from "./optimizers.js";
import { prefetch } from "./prefetch.js";
import { shuffled, streamOf } from "./random.js";
import type { Schedule } from "./schedules.js";
import { Trainer, type TrainerOptions, type TrainerState } from "./trainer.js";

export interface TrainOptions extends Omit<TrainerOptions, "batchDims"> {
  graph: Graph;
  data: Split;
  loss: Loss;
  epochs: number;
  /** Ends the run after this many steps, in the middle of an epoch if need be; schedules see them as the whole. Default: no limit. */
  limitSteps?: number;
  /** Items per batch; a last partial batch is dropped where there is a full one. */
  batchSize: number;
  optimizer: Optimizer;
  schedule: Schedule;
  augment?: AugmentOptions;
  /** Of shuffling and augmentation. */
  seed: number;
  /**
   * Runs the steps in a thread of their own, so that data is read and augmented while a step runs. Default true; false saves
   * the start of the thread in very short runs.
   */
  ownThread?: boolean;
  /** A figure for the history, such as accuracy, taken after every epoch. Greater is better. */
  evaluate?: (graph: Graph) => Promise<number>;
  /**
   * Stops when the figure of `evaluate` (without it: the loss) has not improved by more than `minDelta` (default 0) for this many
   * epochs, and returns the net of the best epoch.
   */
  earlyStopping?: { patience: number; minDelta?: number };
  onProgress?: Progress;
  /** Called after every epoch. */
  onEpoch?: (result: EpochResult) => void;
  signal?: AbortSignal;
  /** File that is written after every epoch, and when the signal stops the run. */
  checkpoint?: string;
  /** Go on from `checkpoint` when that file exists: same options, same result as without the break. Default false. */
  resume?: boolean;
}

export interface TrainResult {
  /** The given net, tidy, with trained weights and running statistics. */
  graph: Graph;
  history: readonly EpochResult[];
  /** The epoch whose weights `graph` has, where early stopping chose one. */
  bestEpoch?: number;
}

/** Where a run is; with the trainer's state, all that a checkpoint holds. */
interface Position {
  epoch: number;
  step: number;
  losses: number[];
  history: EpochResult[];
  best?: { epoch: number; state: TrainerState };
}

/**
 * Trains a net. The arithmetic of a whole step (loss, gradients, update) is one generated ONNX graph. Deterministic for a
 * seed on one machine with the same number of threads, also across a break.
 *
 * Throws ModelError when the net cannot be trained, TrainingError when the loss or a weight stops being finite, and the
 * signal's reason when aborted.
 */
export async function train(o: TrainOptions): Promise<TrainResult> {
  checkOptions(o);
  const { accumulate = 1 } = o;
  const size = Math.min(o.batchSize, Math.floor(o.data.count / accumulate) || 1);
  const steps = Math.floor(o.data.count / (size * accumulate));
  if (steps === 0)
    throw new UsageError("train-options", `${o.data.count} items are too few to accumulate ${accumulate}`);
  const probe = await o.data.batch([0]);
  const trainer = await Trainer.open({
    ...o,
    ownThread: o.ownThread ?? true,
    batchDims: [size, ...probe.dims.slice(1)],
  });
  try {
    const total = Math.min(steps * o.epochs, o.limitSteps ?? Number.POSITIVE_INFINITY);
    const recipe = recipeOf(o, size, total);
    const at: Position = { epoch: 0, step: 0, losses: [], history: [] };
    const saved = o.resume && o.checkpoint ? await readCheckpoint(o.checkpoint) : undefined;
    if (saved && o.checkpoint) {
      checkRecipe(saved.recipe, recipe, o.checkpoint);
      trainer.restore(saved.state);
      const { epoch, step, losses, history, best } = saved;
      Object.assign(at, { epoch, step, losses: [...losses], history: [...history], ...(best ? { best } : {}) });
    }
    const save = async (): Promise<void> => {
      if (o.checkpoint) await writeCheckpoint(o.checkpoint, { recipe, ...at, state: trainer.state });
    };
    while (at.epoch * steps < total && !exhausted(o, at)) {
      await runEpoch(o, trainer, at, { size, steps, total, save });
      await save();
    }
    const kept = o.earlyStopping && at.best;
    return {
      graph: kept ? trainer.graphOf(kept.state) : trainer.graph(),
      history: at.history,
      ...(kept ? { bestEpoch: kept.epoch } : {}),
    };
  } finally {
    await trainer.dispose();
    await o.loss.dispose?.();
  }
}

function checkOptions(o: TrainOptions): void {
  const wrong = (what: string): UsageError => new UsageError("train-options", what);
  if (!(Number.isInteger(o.batchSize) && o.batchSize > 0))
    throw wrong(`the batch size must be a whole number above 0, got ${o.batchSize}`);
  if (!(Number.isInteger(o.epochs) && o.epochs >= 0))
    throw wrong(`the number of epochs must be a whole number, got ${o.epochs}`);
  if (!(Number.isInteger(o.limitSteps ?? 0) && (o.limitSteps ?? 0) >= 0))
    throw wrong(`the limit of steps must be a whole number, got ${o.limitSteps}`);
  const patience = o.earlyStopping?.patience ?? 1;
  if (!(Number.isInteger(patience) && patience > 0))
    throw wrong(`patience must be a whole number of epochs above 0, got ${patience}`);
  if (o.augment) checkAugment(o.augment);
  if (o.data.count === 0) throw wrong("there is nothing to train on: the data has no items");
}

/** What a resumed run must share with the one that was interrupted. */
const recipeOf = (o: TrainOptions, size: number, total: number): Recipe => ({
  seed: o.seed,
  epochs: o.epochs,
  "batch size": size,
  accumulate: o.accumulate ?? 1,
  items: o.data.count,
  loss: o.loss.name,
  optimizer: o.optimizer.name,
  // A schedule is a function: its rates at some steps tell it from others.
  "learning rates": [0, 0.1, 0.3, 0.6, 0.9].map((part) => o.schedule(Math.floor(part * total), total)).join(" "),
  augmentation: JSON.stringify(o.augment ?? {}),
  "average decay": o.averageDecay ?? 0,
  ...(o.limitSteps === undefined ? {} : { steps: total }),
});

/** What tells the better of two epochs; greater is better. */
const figureOf = (r: EpochResult): number => r.metric ?? -r.loss;

function exhausted(o: TrainOptions, at: Position): boolean {
  return o.earlyStopping !== undefined && at.best !== undefined && at.epoch - at.best.epoch >= o.earlyStopping.patience;
}

function keepBest(o: TrainOptions, trainer: Trainer, at: Position, result: EpochResult): void {
  if (!o.earlyStopping) return;
  const before = at.history.find((r) => r.epoch === at.best?.epoch);
  if (before && !(figureOf(result) > figureOf(before) + (o.earlyStopping.minDelta ?? 0))) return;
  at.best = { epoch: result.epoch, state: trainer.state };
}

/** What `work` gives, or a rejection with the signal's reason as soon as it is aborted; `work` then ends unheard. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  work.catch(() => {}); // heard of through the race, or not at all
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function runEpoch(
  o: TrainOptions,
  trainer: Trainer,
  at: Position,
  { size, steps, total, save }: { size: number; steps: number; total: number; save: () => Promise<void> },
): Promise<void> {
  const { accumulate = 1 } = o;
  const { epoch } = at;
  const order = shuffled(o.data.count, streamOf(o.seed, epoch, -1));
  const until = Math.min(steps, total - epoch * steps);
  const load = async (index: number): Promise<Record<string, Tensor>> => {
    const batch = await o.data.batch(order.subarray(index * size, (index + 1) * size));
    const seen: Batch = o.augment ? augmentBatch(batch, o.augment, streamOf(o.seed, epoch, index)) : batch;
    return trainer.prepare(seen);
  };
  const batches = prefetch(load, at.step * accumulate, until * accumulate);
  const started = performance.now();
  let waited = 0;
  let learningRate = 0;
  // An aborted run is saved as it was before the step that is running, which may take long.
  const untilAborted = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await orAborted(work, o.signal);
    } catch (e) {
      if (o.signal?.aborted) await save();
      throw e;
    }
  };
  while (at.step < until) {
    const asked = performance.now();
    const prepared: Record<string, Tensor>[] = [];
    for (let i = 0; i < accumulate; i++) prepared.push(await untilAborted(batches.next()));
    waited += performance.now() - asked;
    learningRate = o.schedule(epoch * steps + at.step, total);
    const loss = await untilAborted(trainer.stepOn(prepared, learningRate));
    at.losses.push(loss);
    at.step++;
    const done = epoch * steps + at.step;
    const perStep = (performance.now() - started) / at.losses.length;
    o.onProgress?.({
      stage: "training",
      done,
      total,
      note: `epoch ${epoch + 1} of ${o.epochs}, loss ${loss.toFixed(4)}, ${minutes(((total - done) * perStep) / 1000)} left`,
    });
  }
  const stepsMs = performance.now() - started;
  const metric = o.evaluate ? await o.evaluate(trainer.graph()) : undefined;
  const result: EpochResult = {
    epoch: epoch + 1,
    loss: at.losses.reduce((a, b) => a + b, 0) / at.losses.length,
    learningRate,
    seconds: (performance.now() - started) / 1000,
    waited: waited / stepsMs,
    ...(metric === undefined ? {} : { metric }),
  };
  at.history.push(result);
  keepBest(o, trainer, at, result);
  at.epoch++;
  at.step = 0;
  at.losses = [];
  o.onEpoch?.(result);
}
