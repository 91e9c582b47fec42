/** Pruning methods side by side: one model, one device, one budget of cost, one budget of training steps. */

import { type CompareOptions, contextOf, type Setup, setUp } from "./compareSetup.js";
import { openRun, type StoredRun } from "./compareStore.js";
import { EdgefitError, isEdgefitError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import type { ProgressEvent } from "./graph/progress.js";
import { remarks } from "./graph/remarks.js";
import { runMethod } from "./methods/context.js";
import { type MethodResult, methodNamed, type PruningMethod } from "./methods/index.js";
import { knownSettings } from "./methods/readSettings.js";
import { accuracyOn } from "./methods/training.js";
import { conditionsOf, feedsFor, oneCall, openDevice, ratioOf, type Timed, timeTogether } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import { costsOf } from "./ops/costs.js";
import { type ComparedMethod, type Comparison, comparisonSchema } from "./report/index.js";
import { imageBatches, openSubject } from "./subject.js";
import { toolVersion } from "./version.js";

export type { CompareOptions } from "./compareSetup.js";

export interface CompareResult {
  comparison: Comparison;
  /** Net of each method by its file name. */
  models: ReadonlyMap<string, Uint8Array>;
}

/** Samples of the last run, in which every net takes part. */
const FINAL_RUN = { minSamples: 200, minTimeMs: 1000 };
/** A net this much over its target still counts as within it: two runs of the same net differ by as much. */
const TOLERANCE = 1.02;

/**
 * Runs the methods one after the other, then measures all nets and the original in one shuffled run, and evaluates them on the test part.
 * With `folder`, finished runs are kept and an interrupted one goes on. A method that cannot do what was asked is listed with its reason.
 *
 * Throws UsageError, ModelError, DataError and DeviceError as its parts do, EdgefitError `no-method` when no method gave a net.
 */
export async function compare(o: CompareOptions): Promise<CompareResult> {
  const chosen = [...new Set(o.methods)].map(methodNamed);
  if (chosen.length === 0)
    throw new EdgefitError("no-method", "name at least one method", { hint: "--methods l1,dmcp" });
  // Before anything is measured: a slip in a setting should not cost an hour.
  for (const [name, own] of Object.entries(o.settings ?? {})) knownSettings(methodNamed(name), own);
  const { said: warnings, say: warn } = remarks(o.onWarning);
  const subject = await openSubject(o);
  const device = await openDevice(o);
  try {
    const s = await setUp(o, subject, device, warn);
    const results: MethodResult[] = [];
    const failed: { method: string; reason: string }[] = [];
    for (const [i, method] of chosen.entries()) {
      o.signal?.throwIfAborted();
      try {
        results.push(await oneRun(s, method, { index: i, count: chosen.length }));
      } catch (e) {
        // What one method cannot do does not stop the others; a fault of the program or an abort does.
        if (!isEdgefitError(e) || o.signal?.aborted || !TOLERATED.has(e.code)) throw e;
        failed.push({ method: method.name, reason: e.message });
        warn(`${method.name}: ${e.message}`);
      }
    }
    if (results.length === 0)
      throw new EdgefitError(
        "no-method",
        `no method gave a net: ${failed.map((f) => `${f.method}: ${f.reason}`).join("; ")}`,
      );
    return await judged(s, chosen, results, failed, warnings);
  } finally {
    await device.close();
  }
}

/** Codes of errors by which a method says that it cannot do this. */
const TOLERATED = new Set([
  "target-unreachable",
  "budget-unreachable",
  "loss-not-finite",
  "no-residual",
  "not-applicable",
]);

async function oneRun(s: Setup, method: PruningMethod, place: { index: number; count: number }): Promise<MethodResult> {
  const run = s.o.folder === undefined ? undefined : await openRun(s.o.folder, method.name, keyOf(s, method));
  const known = await run?.finished();
  if (known) return known;
  try {
    return await attempt(s, method, place, run);
  } catch (e) {
    if (!run || !isEdgefitError(e) || e.code !== "checkpoint-mismatch") throw e;
    s.warn(`${method.name}: what an earlier run left does not fit, so it starts anew`);
    await run.restart();
    return attempt(s, method, place, run);
  }
}

async function attempt(
  s: Setup,
  method: PruningMethod,
  { index, count }: { index: number; count: number },
  run: StoredRun | undefined,
): Promise<MethodResult> {
  const c = contextOf(s, method.name, {
    ...(run ? { folder: run.folder } : {}),
    measure: run ? run.remember(s.measure) : s.measure,
    onProgress: (e: ProgressEvent) => {
      const within = e.stage.includes("training") ? Math.round(e.done) : 0;
      s.o.onProgress?.({
        stage: "comparing methods",
        done: Math.min(count * s.steps, Math.round(index * s.steps + Math.min(s.steps, c.meter.used + within))),
        total: count * s.steps,
        note: `${method.name} (${index + 1} of ${count}), ${e.stage} ${e.done}/${e.total}${e.note ? `, ${e.note}` : ""}`,
      });
    },
  });
  const result = await runMethod(method, c);
  await run?.finish(result);
  return result;
}

/** What decides a run's result. */
function keyOf(s: Setup, method: PruningMethod): Record<string, unknown> {
  const { o, subject, recipe, device } = s;
  return {
    version: toolVersion(),
    method: method.name,
    settings: o.settings?.[method.name] ?? {},
    model: subject.sha256,
    data: subject.data?.name,
    preprocessing: subject.preprocessing?.values ?? null,
    images: [s.train.count, s.holdOut.count],
    budget: o.budget,
    cost: s.cost.unit,
    device: s.cost.unit === "ms" ? device.facts.id : null,
    steps: s.steps,
    recipe: [recipe.batchSize, recipe.learningRate, recipe.weightDecay, o.distill ?? false, recipe.augment ?? {}],
    threads: recipe.threads ?? null,
    seed: o.seed ?? 1,
  };
}

/** Measures and evaluates. */
async function judged(
  s: Setup,
  chosen: readonly PruningMethod[],
  results: readonly MethodResult[],
  failed: Comparison["failed"],
  warnings: string[],
): Promise<CompareResult> {
  const { o, subject, device, cost, recipe } = s;
  const models = new Map(results.map((r) => [fileOf(subject.file, r.method), writeModel(r.graph)]));
  const images = await imageBatches(
    subject,
    s.train,
    Array.from({ length: Math.min(s.train.count, subject.batchSize) }, (_, i) => i),
  );
  const feeds = feedsFor(subject, oneCall(subject, images.tensors[0]));
  const timed = await timeTogether(
    device,
    [subject.bytes, ...models.values()].map((model) => ({ model, feeds })),
    { ...FINAL_RUN, seed: o.seed, signal: o.signal },
  );
  const [original, ...own] = timed;
  for (const text of conditionsOf("original", original)) s.warn(text);
  const nets: (Graph | Uint8Array)[] = [s.graph, ...results.map((r) => r.graph)];
  const accuracies: number[] = [];
  for (const [i, net] of nets.entries()) {
    o.onProgress?.({ stage: "evaluating on the test images", done: i, total: nets.length });
    accuracies.push(await accuracyOn(net as Graph, s.test, { threads: recipe.threads, signal: o.signal }));
  }
  const figures = (graph: Graph, t: Timed, accuracy: number) => {
    const { macs, params } = costsOf(graph);
    const { p50, p95 } = t.latency;
    return { accuracy: { top1: accuracy, images: s.test.count }, latencyMs: { p50, p95 }, macs, params };
  };
  const methods = results.map((r, i): ComparedMethod => {
    const method = chosen.find((m) => m.name === r.method)!;
    const own_ = figures(r.graph, own[i], accuracies[i + 1]);
    const { ratio } = ratioOf(original, own[i]);
    const spent = cost.unit === "ms" ? cost.original / ratio : own_.macs;
    return {
      method: r.method,
      title: method.title,
      paper: method.paper,
      settings: o.settings?.[r.method] ?? {},
      seed: o.seed ?? 1,
      ...own_,
      speedup: ratio,
      met: spent <= TOLERANCE * cost.target,
      steps: { ...r.steps, used: r.steps.search + r.steps.retrain + r.steps.forwardImages / (3 * recipe.batchSize) },
      seconds: r.seconds,
      widths: r.widths ? Object.fromEntries(r.widths) : null,
      notes: [...r.notes],
      history: [...r.history],
      file: fileOf(subject.file, r.method),
    };
  });
  const { facts } = device;
  const comparison: Comparison = {
    schemaVersion: 1,
    tool: { name: "edgefit", version: toolVersion() },
    date: new Date().toISOString(),
    model: { file: subject.file, sha256: subject.sha256 },
    device: {
      id: facts.id,
      cpu: facts.hardware.cpu,
      runtime: `${facts.runtime.package} ${facts.runtime.version}`,
      threads: facts.runtime.threads,
    },
    data: { name: subject.data!.name, train: s.train.count, heldOut: s.holdOut.count, test: s.test.count },
    budget: { text: o.budget, unit: cost.unit, original: cost.original, target: cost.target },
    recipe: {
      steps: s.steps,
      epochs: s.epochs,
      batchSize: recipe.batchSize,
      learningRate: recipe.learningRate,
      weightDecay: recipe.weightDecay,
      distilled: o.distill ?? false,
      seed: o.seed ?? 1,
      threads: recipe.threads ?? null,
    },
    groups: s.groups.prunable.map(({ id, width }) => ({ id, width })),
    original: figures(s.graph, original, accuracies[0]),
    methods,
    failed,
    warnings,
  };
  return { comparison: comparisonSchema.parse(comparison), models };
}

const fileOf = (model: string, method: string): string => `${model.replace(/\.(onnx|tflite)$/i, "")}.${method}.onnx`;
