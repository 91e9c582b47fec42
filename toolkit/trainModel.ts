/** Training of any classifier (or other net with one input) on a data set: the story behind `edgefit train`. */
import { basename } from "node:path";
import { type Dataset, loadDataset, loadPreprocessing, type Preprocessing, type Split } from "./data/index.js";
import { UsageError } from "./graph/errors.js";
import { feedsOf, type Graph } from "./graph/graph.js";
import { tidy } from "./graph/tidy.js";
import { divide, firstOf } from "./methods/holdOut.js";
import { accuracyOn } from "./methods/training.js";
import { writeModel } from "./onnx/index.js";
import { inferShapes } from "./ops/infer.js";
import type { TrainingReport } from "./report/index.js";
import { readGraph } from "./subject.js";
import { train as runTraining } from "./train/index.js";
import { augmentOf, lossOf, optimizerOf, scheduleOf, type TrainModelOptions } from "./trainOptions.js";
import { toolVersion } from "./version.js";

export interface TrainedModel {
  /** Tidy, with trained weights and running statistics; input and outputs as they were given. */
  graph: Graph;
  /** `graph` as an ONNX file. */
  model: Uint8Array;
  report: TrainingReport;
}

/** At most this many training images follow the accuracy of a run. */
const MOST_HELD_OUT = 1000;

/**
 * Trains a net on the training part of a data set and evaluates it once, at the end, on the test part. Accuracy during the run is
 * that of some training images which are held out. Throws UsageError, ModelError and DataError for what does not fit,
 * TrainingError when numbers stop being finite; aborting writes the checkpoint, if one is named, and rejects.
 */
export async function train(o: TrainModelOptions): Promise<TrainedModel> {
  const started = performance.now();
  const net = await graphOf(o.model, o.dims);
  const teacher = o.teacher === undefined ? undefined : await graphOf(o.teacher, o.dims);
  const { data, preprocessing, guessed } = await openData(o, net);
  if (guessed) o.onWarning?.("nothing says how the model wants its images: they are fed as 0..1");
  for (const { item, reason } of data.skipped) o.onWarning?.(`skipped ${item}: ${reason}`);
  const { learn, held: follow } = divide(data.train, o.heldOut ?? 0.05, MOST_HELD_OUT);
  const { seed = 1, epochs = 20, batchSize = 128, patience } = o;
  const probe = await data.train.batch([0]);
  const loss = lossOf(o, teacher);
  const optimizer = optimizerOf(o);
  const accuracyOf = (graph: Graph, split: Split, stage?: string): Promise<number> =>
    accuracyOn(graph, split, {
      threads: o.threads,
      signal: o.signal,
      ...(stage ? { onImages: (done: number, total: number) => o.onProgress?.({ stage, done, total }) } : {}),
    });
  const follows = follow && data.train.labelled && isClassifier(net);
  const { graph, history, bestEpoch } = await runTraining({
    graph: net,
    data: learn,
    loss,
    optimizer,
    schedule: scheduleOf(o),
    epochs,
    batchSize,
    augment: augmentOf(o, probe.dims, preprocessing),
    seed,
    threads: o.threads,
    accumulate: o.accumulate,
    clipGradientNorm: o.clipGradientNorm,
    averageDecay: o.averageDecay,
    freeze: o.freeze,
    batchNorm: o.freezeStatistics ? "running" : "batch",
    ...(follows ? { evaluate: (g: Graph) => accuracyOf(g, follow) } : {}),
    ...(patience ? { earlyStopping: { patience } } : {}),
    onProgress: o.onProgress,
    onEpoch: o.onEpoch,
    signal: o.signal,
    checkpoint: o.checkpoint,
    resume: o.resume,
  });
  const measured = data.test.labelled && isClassifier(net);
  const test = firstOf(data.test, o.limit ?? data.test.count);
  const before = measured ? await accuracyOf(net, test, "evaluating the given net") : null;
  const after = measured ? await accuracyOf(graph, test, "evaluating the trained net") : null;
  const report: TrainingReport = {
    tool: { name: "edgefit", version: toolVersion() },
    model: typeof o.model === "string" ? basename(o.model) : net.name,
    teacher: o.teacher === undefined ? null : typeof o.teacher === "string" ? basename(o.teacher) : o.teacher.name,
    data: { name: data.name, images: learn.count, heldOut: follow?.count ?? 0, test: test.count },
    recipe: { loss: loss.name, optimizer: optimizer.name, epochs, batchSize: batchSize * (o.accumulate ?? 1), seed },
    history: history.map((h) => ({ ...h, waited: h.waited ?? null, metric: h.metric ?? null })),
    bestEpoch: bestEpoch ?? null,
    accuracy: { before, after },
    seconds: (performance.now() - started) / 1000,
  };
  return { graph, model: writeModel(graph), report };
}

async function graphOf(model: string | Graph, dims: Record<string, number> | undefined): Promise<Graph> {
  return typeof model === "string" ? readGraph(model, dims) : inferShapes(tidy(model), { dims });
}

async function openData(
  o: TrainModelOptions,
  net: Graph,
): Promise<{ data: Dataset; preprocessing?: Preprocessing; guessed: boolean }> {
  const [input, ...others] = feedsOf(net);
  if (!input || others.length > 0) {
    throw new UsageError(
      "several-inputs",
      `the model has ${others.length + (input ? 1 : 0)} inputs, training needs one`,
    );
  }
  if (typeof o.data !== "string" && !o.preprocess) return { data: o.data, guessed: false };
  const beside = typeof o.model === "string" ? { modelPath: o.model } : {};
  const loaded = await loadPreprocessing({ ...beside, ...o.preprocess, input: input.type });
  if (typeof o.data !== "string") return { data: o.data, preprocessing: loaded.preprocessing, guessed: false };
  const data = await loadDataset(o.data, loaded.preprocessing, { progress: o.onProgress, signal: o.signal });
  return { data, preprocessing: loaded.preprocessing, guessed: loaded.guessed };
}

/** One output [N, classes], more than one class. */
function isClassifier(g: Graph): boolean {
  const dims = g.outputs[0]?.type.dims;
  return g.outputs.length === 1 && dims?.length === 2 && dims[1] !== 1;
}
