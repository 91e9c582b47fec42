/** The epochs of a training run: shuffle, augment, step, report, save. */
import type { Batch, Split } from "../data/dataset.js";
import { UsageError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { type Progress, throwIfAborted } from "../graph/progress.js";
import { type AugmentOptions, augmentBatch, checkAugment } from "./augment.js";
import { type EpochResult, readCheckpoint, writeCheckpoint } from "./checkpoint.js";
import type { BatchNormMode } from "./forward.js";
import type { Loss } from "./losses.js";
import type { Optimizer } from "./optimizers.js";
import { shuffled, streamOf } from "./random.js";
import type { Schedule } from "./schedules.js";
import { Trainer } from "./trainer.js";

export interface TrainOptions {
  graph: Graph;
  data: Split;
  loss: Loss;
  epochs: number;
  /** Items per step; a last partial batch is dropped where there is a full one. */
  batchSize: number;
  optimizer: Optimizer;
  schedule: Schedule;
  augment?: AugmentOptions;
  /** Of shuffling and augmentation. */
  seed: number;
  /** Default: as many as the process may use. */
  threads?: number;
  /** `batch` (default): normalise by batch statistics and follow them; `running`: keep the stored ones. */
  batchNorm?: BatchNormMode;
  /** Upper limit of the gradient's Euclidean norm. Default: none. */
  clipGradientNorm?: number;
  /** Names of constants that stay as they are. */
  freeze?: (name: string) => boolean;
  /** Factors of a constant's changes, one for all its elements or one each. Default 1. */
  rate?: (name: string) => number | Float32Array | undefined;
  /** A figure for the history, such as accuracy, taken after every epoch. */
  evaluate?: (graph: Graph) => Promise<number>;
  onProgress?: Progress;
  signal?: AbortSignal;
  /** File that is written after every epoch. */
  checkpoint?: string;
  /** Go on from `checkpoint` when that file exists: same seed, same result as without the break. Default false. */
  resume?: boolean;
}

export interface TrainResult {
  /** The given net, tidy, with trained weights and running statistics. */
  graph: Graph;
  history: readonly EpochResult[];
}

/**
 * Trains a net. The arithmetic of a whole step (loss, gradients, update) is one generated ONNX graph. Deterministic for a
 * seed on one machine with the same number of threads.
 *
 * Throws ModelError when the net cannot be trained, TrainingError when the loss stops being finite, and the signal's
 * reason when aborted between two steps.
 */
export async function train(o: TrainOptions): Promise<TrainResult> {
  checkOptions(o);
  const size = Math.min(o.batchSize, o.data.count);
  const steps = Math.floor(o.data.count / size);
  const probe = await o.data.batch([0]);
  const trainer = await Trainer.open({ ...o, batchDims: [size, ...probe.dims.slice(1)] });
  try {
    const saved = o.resume && o.checkpoint ? await readCheckpoint(o.checkpoint) : undefined;
    if (saved) trainer.restore(saved.state);
    const history: EpochResult[] = [...(saved?.history ?? [])];
    for (let epoch = saved?.epoch ?? 0; epoch < o.epochs; epoch++) {
      const started = performance.now();
      const { loss, learningRate } = await runEpoch(o, trainer, epoch, { size, steps });
      const metric = o.evaluate ? await o.evaluate(trainer.graph()) : undefined;
      const result = { epoch: epoch + 1, loss, learningRate, seconds: (performance.now() - started) / 1000 };
      history.push(metric === undefined ? result : { ...result, metric });
      if (o.checkpoint) await writeCheckpoint(o.checkpoint, { epoch: epoch + 1, history, state: trainer.state });
    }
    return { graph: trainer.graph(), history };
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
  if (o.augment) checkAugment(o.augment);
  if (o.data.count === 0) throw wrong("there is nothing to train on: the data has no items");
}

async function runEpoch(
  o: TrainOptions,
  trainer: Trainer,
  epoch: number,
  { size, steps }: { size: number; steps: number },
): Promise<{ loss: number; learningRate: number }> {
  const order = shuffled(o.data.count, streamOf(o.seed, epoch, -1));
  const total = steps * o.epochs;
  const load = async (step: number): Promise<Batch> => {
    const batch = await o.data.batch(order.subarray(step * size, (step + 1) * size));
    return o.augment ? augmentBatch(batch, o.augment, streamOf(o.seed, epoch, step)) : batch;
  };
  let sum = 0;
  let learningRate = 0;
  let next = load(0);
  for (let step = 0; step < steps; step++) {
    throwIfAborted(o.signal);
    const batch = await next;
    // Loaded while the step runs.
    if (step + 1 < steps) {
      next = load(step + 1);
      next.catch(() => {}); // thrown where it is awaited
    }
    learningRate = o.schedule(epoch * steps + step, total);
    const loss = await trainer.step(batch, learningRate);
    sum += loss;
    o.onProgress?.({
      stage: "training",
      done: epoch * steps + step + 1,
      total,
      note: `epoch ${epoch + 1}, loss ${loss.toFixed(4)}`,
    });
  }
  return { loss: sum / steps, learningRate };
}
