/** The main job: a model, a device and a latency budget in; a smaller model that was measured to keep the budget out. */
import { parseBudget } from "./budget.js";
import { finetune } from "./finetune.js";
import { BudgetError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import type { Tensor } from "./graph/tensor.js";
import type { Precision } from "./latency/index.js";
import {
  conditionsOf,
  type Evaluation,
  evaluateOn,
  feedsFor,
  goldenRun,
  type OpenDevice,
  oneCall,
  openDevice,
  peakMemoryOf,
  ratioOf,
  type Timed,
  type TimingOptions,
  timeTogether,
} from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import type { FitOptions } from "./options.js";
import { needsReducedRange, timingVariant, toInt8 } from "./precision.js";
import { type ModelProfile, profileModel } from "./profile.js";
import { limitOf, type Proposal, type ProposeContext, propose } from "./propose.js";
import { reestimateStatistics } from "./prune/batchNorm.js";
import { type ChannelGroups, findGroups, keptPositions } from "./prune/groups.js";
import { reconstruct } from "./prune/reconstruct.js";
import { relativeError } from "./prune/sensitivity.js";
import { outputsOn } from "./prune/walk.js";
import { calibrate, type Ranges } from "./quantize/index.js";
import { type Ranking, rank } from "./ranking.js";
import type { FitReport } from "./report/index.js";
import { assembleReport, type Weighed } from "./reportOf.js";
import { Stopwatch } from "./stopwatch.js";
import { imageBatches, noiseBatches, openSubject, type Subject } from "./subject.js";

export interface FitResult {
  report: FitReport;
  /** The fitted ONNX model. */
  model: Uint8Array;
}

const DEFAULT_CALIBRATION_IMAGES = 512;
const HELD_BACK_IMAGES = 256;
/** Times that a model found over its budget in the final run is cut again. */
const TIGHTENINGS = 3;
/** INT8 must be this much faster than float as a whole to be considered at all. */
const WORTHWHILE = 1.03;

/** What the stages share once everything is open and measured. */
interface Fitting {
  o: FitOptions & { seed: number; percentile: "p50" | "p95" };
  subject: Subject;
  groups: ChannelGroups;
  device: OpenDevice;
  call: Tensor;
  calibration: Tensor[];
  labels: Int32Array[];
  heldBack: Tensor[];
  /** The original's outputs on the held-back images. */
  reference: Record<string, Tensor>[];
  warnings: string[];
  warn(text: string): void;
  watch: Stopwatch;
}

/**
 * Cuts a model to a latency budget.
 *
 * Order: golden check, latency of the original, latency table (cached), channel statistics, widths within the budget,
 * repair, optional distillation, INT8 where the device gains, and a final interleaved measurement. Throws BudgetError,
 * with the fastest latency that was reached, when no measured model keeps the budget; ModelError, DataError and
 * DeviceError as their parts do.
 */
export async function fit(options: FitOptions): Promise<FitResult> {
  const o = { ...options, seed: options.seed ?? 1, percentile: options.percentile ?? ("p50" as const) };
  const budget = parseBudget(o.budget);
  const watch = new Stopwatch();
  const subject = await watch.time("reading", () => openSubject(o));
  const groups = findGroups(subject.graph);
  const device = await openDevice(o);
  try {
    const f = await prepare(o, subject, groups, device, watch);
    const golden = await watch.time("golden check", () => goldenRun(device, subject, subject.bytes, f.call));
    const quick = await watch.time("calibrating", () => quickRanges(f));
    const precisions = await watch.time("measuring the original", () => worthwhilePrecisions(f, quick));
    const profile = await watch.time("profiling", () => profileOf(f, quick, precisions));
    const ranking = await watch.time("ranking channels", () => rankingOf(f, profile));
    const context: ProposeContext = { subject, groups, device, call: f.call, latency: profile.model, ranking };

    let share = 0.99;
    for (let round = 1; ; round++) {
      const proposals = await watch.time("finding widths", () => proposalsOf(f, context, precisions, quick, share));
      const weighed = await watch.time("repairing", () => weighAll(f, proposals, quick));
      const chosen = weighed.reduce((a, b) => (b.error < a.error ? b : a));
      const finished = await watch.time("fine-tuning", () => finetuned(f, chosen));
      const bytes = writeModel(finished.graph);
      const [original, fitted] = await watch.time("measuring", () => timed(f, [subject.bytes, bytes], FINAL));
      const limitMs = limitOf(budget, o.percentile, original);
      const ms = fitted.latency[o.percentile];
      if (ms > limitMs) {
        if (round > TIGHTENINGS) throw missed(budget.text, ms, limitMs);
        share *= (0.995 * limitMs) / ms;
        continue;
      }
      for (const text of [...conditionsOf("original", original), ...conditionsOf("fitted", fitted)]) f.warn(text);
      const evaluations = await watch.time("evaluating", () => evaluateBoth(f, bytes));
      const memory = await watch.time("memory", async () => [
        await peakMemoryOf(device, subject, subject.bytes, f.call),
        await peakMemoryOf(device, subject, bytes, f.call),
      ]);
      return assembleReport({
        options: o,
        budget,
        limitMs,
        subject,
        groups,
        facts: device.facts,
        golden,
        latency: profile.model,
        chosen: { ...chosen, graph: finished.graph, keptFloat: finished.keptFloat },
        weighed,
        original: { timed: original, evaluation: evaluations[0], peakMemoryBytes: memory[0] },
        fitted: { timed: fitted, evaluation: evaluations[1], peakMemoryBytes: memory[1] },
        speedup: ratioOf(original, fitted),
        calibrationImages: f.calibration.reduce((n, t) => n + t.dims[0], 0),
        seconds: watch.seconds,
        warnings: f.warnings,
      });
    }
  } finally {
    await device.close();
  }
}

async function prepare(
  o: Fitting["o"],
  subject: Subject,
  groups: ChannelGroups,
  device: OpenDevice,
  watch: Stopwatch,
): Promise<Fitting> {
  const warnings: string[] = [];
  const warn = (text: string): void => {
    if (warnings.includes(text)) return;
    warnings.push(text);
    o.onWarning?.(text);
  };
  const wanted = o.calibrationImages ?? DEFAULT_CALIBRATION_IMAGES;
  const images = await watch.time("loading images", () => loadImages(subject, wanted, o.seed, warn));
  for (const { item, reason } of subject.data?.skipped ?? []) warn(`skipped ${item}: ${reason}`);
  const reference = await outputsOn(subject.graph, images.heldBack, { signal: o.signal });
  if (groups.prunable.length === 0) warn("no channel of this model can be removed; only its precision can change");
  return {
    o,
    subject,
    groups,
    device,
    call: oneCall(subject, images.calibration[0]),
    ...images,
    reference,
    warnings,
    warn,
    watch,
  };
}

async function loadImages(s: Subject, wanted: number, seed: number, warn: (text: string) => void) {
  if (!s.data) {
    warn("no data was given: statistics come from random noise, so the repaired weights fit no real image");
    return {
      calibration: noiseBatches(s, wanted, seed),
      labels: [],
      heldBack: noiseBatches(s, HELD_BACK_IMAGES, seed + 7919),
    };
  }
  const { train } = s.data;
  // At least a third of a small set is held back; an overlap would let the repair judge itself.
  const held = Math.min(HELD_BACK_IMAGES, Math.max(1, Math.floor(train.count / 3)));
  const used = Math.max(1, Math.min(wanted, train.count - held));
  if (used < wanted) warn(`the training part has ${train.count} images: ${used} calibrate, ${held} are held back`);
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const calibration = await imageBatches(s, train, range(0, used));
  const heldBack = train.count > 1 ? await imageBatches(s, train, range(used, used + held)) : calibration;
  return { calibration: calibration.tensors, labels: calibration.labels, heldBack: heldBack.tensors };
}

/** Ranges of the original's values, for variants that are only timed. */
async function quickRanges(f: Fitting): Promise<Ranges | undefined> {
  if (f.o.int8 === "off") return undefined;
  const batches = (async function* () {
    for (const t of f.calibration.slice(0, 2)) yield { data: t.data as Float32Array, dims: t.dims };
  })();
  return calibrate(f.subject.graph, batches, {
    method: { kind: "minmax" },
    signal: f.o.signal,
  });
}

const reduceRange = (f: Fitting): boolean => needsReducedRange(f.device.facts);

/** Which precisions the device makes worth a look: INT8 is measured as a whole before it is believed. */
async function worthwhilePrecisions(f: Fitting, ranges: Ranges | undefined): Promise<Precision[]> {
  if (!ranges) return ["fp32"];
  if (f.o.int8 === "on") return ["int8"];
  const int8 = timingVariant(f.subject.graph, ranges, reduceRange(f));
  const [original, quantized] = await timed(f, [f.subject.bytes, int8]);
  const { ratio } = ratioOf(original, quantized);
  if (ratio >= WORTHWHILE) return ["fp32", "int8"];
  f.warn(`INT8 is not used: on this device the whole model runs at ${ratio.toFixed(2)}x the speed of float in INT8`);
  return ["fp32"];
}

function profileOf(f: Fitting, ranges: Ranges | undefined, precisions: readonly Precision[]): Promise<ModelProfile> {
  const { o, subject, groups, device } = f;
  return profileModel({
    graph: subject.graph,
    groups,
    runner: device.runner,
    // The original is float, so its layers are always in the table.
    precisions: [...new Set<Precision>(["fp32", ...precisions])],
    toVariant: (g, precision) => (precision === "fp32" ? writeModel(g) : timingVariant(g, ranges!, reduceRange(f))),
    seed: o.seed,
    cacheDir: o.cacheDir,
    onProgress: o.onProgress,
    signal: o.signal,
  });
}

function rankingOf(f: Fitting, profile: ModelProfile): Promise<Ranking> {
  const { o, calibration, labels, heldBack } = f;
  return rank(f.subject.graph, f.groups, {
    criterion: o.criterion ?? "reconstruction",
    calibration,
    labels,
    heldBack,
    candidates: profile.candidateWidths,
    onProgress: o.onProgress,
    onWarning: f.warn,
    signal: o.signal,
  });
}

/** One proposal per precision. Throws BudgetError when none keeps the budget. */
async function proposalsOf(
  f: Fitting,
  c: ProposeContext,
  precisions: readonly Precision[],
  ranges: Ranges | undefined,
  share: number,
): Promise<Proposal[]> {
  const { o } = f;
  const budget = parseBudget(o.budget);
  const found: Proposal[] = [];
  let fastestMs = Number.POSITIVE_INFINITY;
  for (const precision of precisions) {
    const outcome = await propose(c, {
      precision,
      budget,
      percentile: o.percentile,
      share,
      seed: o.seed,
      toBytes: (g) => (precision === "fp32" ? writeModel(g) : timingVariant(g, ranges!, reduceRange(f))),
      onProgress: o.onProgress,
      signal: o.signal,
    });
    if (outcome.state === "found") found.push(outcome.proposal);
    else fastestMs = Math.min(fastestMs, outcome.fastestMs);
  }
  if (found.length > 0) return found;
  throw missed(budget.text, fastestMs);
}

function missed(budget: string, fastestMs: number, limitMs?: number): BudgetError {
  const limit = limitMs === undefined ? "" : ` (${limitMs.toFixed(3)} ms)`;
  return new BudgetError(
    `no model within the budget was found; the fastest one measured takes ${fastestMs.toFixed(3)} ms`,
    {
      fastestMs,
      where: `--budget ${budget}${limit}`,
      hint: "raise the budget, allow INT8, or start from a smaller model",
    },
  );
}

/** Repairs every proposal, in its precision, and measures how far its outputs are from the original's. */
async function weighAll(f: Fitting, proposals: readonly Proposal[], ranges: Ranges | undefined): Promise<Weighed[]> {
  const out: Weighed[] = [];
  for (const proposal of proposals) {
    const repaired = await repair(f, proposal);
    const graph = proposal.precision === "fp32" || !ranges ? repaired : (await quantized(f, repaired)).graph;
    const outputs = await outputsOn(graph, f.heldBack, { signal: f.o.signal });
    out.push({
      proposal,
      repaired,
      graph,
      error: relativeError(outputs, f.reference),
      outputs,
      reference: f.reference,
      keptFloat: new Map(),
    });
  }
  return out;
}

/** Least squares, plain cut and re-estimated statistics, judged on held-back images; the nearest to the original wins. */
async function repair(f: Fitting, p: Proposal): Promise<Graph> {
  if (p.keep.size === 0) return p.cut;
  const settings = { signal: f.o.signal, onProgress: f.o.onProgress };
  const kept = (name: string, axis: number) => keptPositions(f.groups, p.keep, name, axis);
  const candidates = [
    await reconstruct(f.subject.graph, p.cut, kept, f.calibration, settings),
    await reestimateStatistics(p.cut, f.calibration, settings),
    p.cut,
  ];
  let best = p.cut;
  let least = Number.POSITIVE_INFINITY;
  for (const g of candidates) {
    const error = relativeError(await outputsOn(g, f.heldBack, settings), f.reference);
    if (error < least) {
      least = error;
      best = g;
    }
  }
  return best;
}

const quantized = (f: Fitting, g: Graph) =>
  toInt8(g, {
    calibration: f.calibration,
    reduceRange: reduceRange(f),
    onProgress: f.o.onProgress,
    signal: f.o.signal,
  });

/** Distils the original into the repaired net when asked to, and brings it to its precision again. */
async function finetuned(f: Fitting, w: Weighed): Promise<{ graph: Graph; keptFloat: Weighed["keptFloat"] }> {
  const epochs = f.o.finetune ?? 0;
  if (epochs === 0) return w;
  if (!f.subject.data) {
    f.warn("fine-tuning needs images: give --data");
    return w;
  }
  const graph = await finetune(w.repaired, {
    teacher: f.subject.graph,
    data: f.subject.data.train,
    epochs,
    seed: f.o.seed,
    preprocessing: f.subject.preprocessing?.values,
    onProgress: f.o.onProgress,
    signal: f.o.signal,
  });
  if (w.proposal.precision === "fp32") return { graph, keptFloat: new Map() };
  return quantized(f, graph);
}

/** Times models on the same image, interleaved. */
function timed(f: Fitting, models: readonly Uint8Array[], o: TimingOptions = {}): Promise<Timed[]> {
  const feeds = feedsFor(f.subject, f.call);
  return timeTogether(
    f.device,
    models.map((model) => ({ model, feeds })),
    { ...o, seed: f.o.seed, signal: f.o.signal },
  );
}

const FINAL: TimingOptions = { minSamples: 200, minTimeMs: 3000 };

/** Accuracy and outputs of original and fitted model on the test part; undefined without data. */
async function evaluateBoth(f: Fitting, fitted: Uint8Array): Promise<[Evaluation | undefined, Evaluation | undefined]> {
  const { subject, device, o } = f;
  const test = subject.data?.test;
  if (!test) return [undefined, undefined];
  const settings = { limit: o.limit, onProgress: o.onProgress, signal: o.signal };
  const before = await evaluateOn(device, subject, subject.bytes, test, {
    ...settings,
    stage: "evaluating the original",
  });
  const after = await evaluateOn(device, subject, fitted, test, { ...settings, stage: "evaluating the fitted model" });
  if (!before.accuracy && test.labelled)
    f.warn("the model has no single vector of class scores: agreement is reported instead of accuracy");
  return [before, after];
}
