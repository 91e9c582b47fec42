/** The stages of a fit, each a function of what the earlier ones found. `fit.ts` is the order in which they run. */
import type { Budget, Percentile } from "./budget.js";
import { BudgetError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import { remarks } from "./graph/remarks.js";
import type { Tensor } from "./graph/tensor.js";
import { defaultCacheDir, type Precision } from "./latency/index.js";
import {
  type Evaluation,
  evaluateOn,
  feedsFor,
  type OpenDevice,
  oneCall,
  ratioOf,
  type Timed,
  type TimingOptions,
  timeTogether,
} from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import type { FitOptions } from "./options.js";
import { parsePace } from "./pace.js";
import { needsReducedRange, timingVariant } from "./precision.js";
import { gridOf, type ModelProfile, type ProfileModelOptions } from "./profile.js";
import { limitOf, type Proposal, type ProposeContext, propose } from "./propose.js";
import { type Branch, findBranches, withBranches } from "./prune/branches.js";
import type { ChannelGroups } from "./prune/groups.js";
import { outputsOn } from "./prune/walk.js";
import { calibrate, type Ranges } from "./quantize/index.js";
import { type Ranking, rank } from "./ranking.js";
import { rankingFile, readRanking, writeRanking } from "./rankingCache.js";
import { imageBatches, noiseBatches, remarksOn, type Subject } from "./subject.js";

const DEFAULT_CALIBRATION_IMAGES = 512;
const HELD_BACK_IMAGES = 256;
/** INT8 must be this much faster than float as a whole to be considered at all. */
export const WORTHWHILE = 1.03;

/** An uncut net this near to the original (relative squared error of the outputs) is not worth cutting instead. */
export const NEAR = 0.01;

/** What the stages share once everything is open and measured. */
export interface Fitting {
  o: FitOptions & { seed: number; percentile: Percentile };
  budget: Budget;
  subject: Subject;
  groups: ChannelGroups;
  /** Branches of residual sums that may be left out; none with `blocks: "keep"`. */
  branches: Branch[];
  device: OpenDevice;
  call: Tensor;
  calibration: Tensor[];
  labels: Int32Array[];
  heldBack: Tensor[];
  /** The original's outputs on the held-back images. */
  reference: Record<string, Tensor>[];
  warnings: string[];
  warn(text: string): void;
}

export async function prepare(
  o: Fitting["o"],
  budget: Budget,
  subject: Subject,
  groups: ChannelGroups,
  device: OpenDevice,
): Promise<Fitting> {
  const { said: warnings, say: warn } = remarks(o.onWarning);
  const wanted = o.calibrationImages ?? DEFAULT_CALIBRATION_IMAGES;
  const images = await loadImages(subject, wanted, o.seed, warn);
  for (const text of remarksOn(subject)) warn(text);
  const reference = await outputsOn(subject.graph, images.heldBack, { signal: o.signal });
  if (groups.prunable.length === 0) warn("no channel of this model can be removed; only its precision can change");
  return {
    o,
    budget,
    subject,
    groups,
    branches: o.blocks === "keep" ? [] : findBranches(subject.graph, groups),
    device,
    call: oneCall(subject, images.calibration[0]),
    ...images,
    reference,
    warnings,
    warn,
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
export async function quickRanges(f: Fitting): Promise<Ranges | undefined> {
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
export async function worthwhilePrecisions(f: Fitting, ranges: Ranges | undefined): Promise<Precision[]> {
  if (!ranges) return ["fp32"];
  if (f.o.int8 === "on") return ["int8"];
  const int8 = timingVariant(f.subject.graph, ranges, reduceRange(f));
  const [original, quantized] = await timed(f, [f.subject.bytes, int8]);
  const { ratio } = ratioOf(original, quantized);
  if (ratio >= WORTHWHILE) return ["fp32", "int8"];
  f.warn(`INT8 is not used: on this device the whole model runs at ${ratio.toFixed(2)}x the speed of float in INT8`);
  return ["fp32"];
}

/** What measuring for the latency table takes. */
export function profileOptions(
  f: Fitting,
  ranges: Ranges | undefined,
  precisions: readonly Precision[],
): ProfileModelOptions {
  const { o, subject, groups, device } = f;
  return {
    graph: subject.graph,
    groups,
    runner: device.runner,
    // The original is float, so its layers are always in the table.
    precisions: [...new Set<Precision>(["fp32", ...precisions])],
    toVariant: (g, precision) => variant(f, g, precision, ranges),
    ...gridOf(device),
    seed: o.seed,
    cacheDir: o.cacheDir,
    onProgress: o.onProgress,
    onWarning: f.warn,
    signal: o.signal,
  };
}

/** Ranks channels and measures losses, or takes what an earlier run with the same model, images and settings found. */
export async function rankingOf(f: Fitting, profile: ModelProfile): Promise<Ranking> {
  const { o, subject, calibration, labels, heldBack } = f;
  const criterion = o.criterion ?? "reconstruction";
  const folder = o.cacheDir ?? defaultCacheDir();
  const candidates = withBranches(profile.candidateWidths, f.branches);
  const name = rankingFile({
    sha256: subject.sha256,
    criterion: criterion === "random" ? `random ${o.seed}` : criterion,
    candidates,
    calibration,
    labels,
    heldBack,
  });
  const known = await readRanking(folder, name);
  if (known) return known;
  const ranking = await rank(subject.graph, f.groups, {
    criterion,
    seed: o.seed,
    calibration,
    labels,
    heldBack,
    candidates,
    branches: f.branches,
    onProgress: o.onProgress,
    onWarning: f.warn,
    signal: o.signal,
  });
  await writeRanking(folder, name, ranking);
  return ranking;
}

/** The uncut net in each precision, those that keep the budget as they are. */
export async function wholeProposals(
  f: Fitting,
  profile: ModelProfile,
  precisions: readonly Precision[],
  ranges: Ranges | undefined,
  share: number,
): Promise<Proposal[]> {
  const { graph } = f.subject;
  const widths = new Map(f.groups.prunable.map((g) => [g.id, g.width]));
  const [original, ...whole] = await timed(f, [
    f.subject.bytes,
    ...precisions.map((p) => variant(f, graph, p, ranges)),
  ]);
  const limitMs = limitOf(f.budget, f.o.percentile, original);
  const all = precisions.map((precision, i) => ({
    precision,
    widths,
    keep: new Map(),
    gone: new Set<string>(),
    cut: graph,
    prediction: profile.model.msAt(widths, precision),
    loss: 0,
    measuredMs: whole[i].latency[f.o.percentile],
    limitMs,
  }));
  return all.filter((p) => p.measuredMs <= limitMs * share);
}

/** A cut net per precision, as far as one keeps the budget; and the fastest latency seen on the way. */
export async function proposalsOf(
  f: Fitting,
  c: ProposeContext,
  precisions: readonly Precision[],
  ranges: Ranges | undefined,
  share: number,
): Promise<{ found: Proposal[]; fastestMs: number }> {
  const { o } = f;
  const found: Proposal[] = [];
  let fastestMs = Number.POSITIVE_INFINITY;
  for (const precision of precisions) {
    const outcome = await propose(c, {
      precision,
      budget: f.budget,
      percentile: o.percentile,
      share,
      ...paceOf(o),
      seed: o.seed,
      toBytes: (g) => variant(f, g, precision, ranges),
      onProgress: o.onProgress,
      signal: o.signal,
    });
    if (outcome.state === "found") found.push(outcome.proposal);
    else fastestMs = Math.min(fastestMs, outcome.fastestMs);
  }
  return { found, fastestMs };
}

/** A net as the device runs it while it is only timed. */
const variant = (f: Fitting, g: Graph, precision: Precision, ranges: Ranges | undefined): Uint8Array =>
  precision === "fp32" ? writeModel(g) : timingVariant(g, ranges!, reduceRange(f));

export function missed(
  budget: string,
  fastestMs: number,
  limitMs?: number,
  how: "measured" | "predicted" = "measured",
): BudgetError {
  const limit = limitMs === undefined ? "" : ` (${limitMs.toFixed(3)} ms)`;
  return new BudgetError(
    `no model within the budget was found; the fastest one ${how} takes ${fastestMs.toFixed(3)} ms`,
    {
      fastestMs,
      where: `--budget ${budget}${limit}`,
      hint: "raise the budget, allow INT8, or start from a smaller model",
    },
  );
}

/** Times models on the same image, interleaved. */
export function timed(f: Fitting, models: readonly Uint8Array[], o: TimingOptions = {}): Promise<Timed[]> {
  const feeds = feedsFor(f.subject, f.call);
  return timeTogether(
    f.device,
    models.map((model) => ({ model, feeds })),
    { ...o, ...paceOf(f.o), seed: f.o.seed, signal: f.o.signal },
  );
}

/** The pace that a fit is asked for, as timing takes it. */
export const paceOf = (o: Pick<FitOptions, "paced">): Pick<TimingOptions, "intervalMs"> =>
  o.paced === undefined ? {} : { intervalMs: parsePace(o.paced) };

/** Settings of the run whose figures the report gives. */
export const FINAL_RUN: TimingOptions = { minSamples: 200, minTimeMs: 3000 };

/** Accuracy and outputs of original and fitted model on the test part; undefined without data. */
export async function evaluateBoth(
  f: Fitting,
  fitted: Uint8Array,
): Promise<[Evaluation | undefined, Evaluation | undefined]> {
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
