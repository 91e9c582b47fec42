/** The main job: a model, a device and a latency budget in; a smaller model that was measured to keep the budget out. */
import { parseBudget } from "./budget.js";
import { fitOffline } from "./fitOffline.js";
import {
  evaluateBoth,
  FINAL_RUN,
  type Fitting,
  missed,
  NEAR,
  paceOf,
  prepare,
  profileOptions,
  proposalsOf,
  quickRanges,
  rankingOf,
  timed,
  wholeProposals,
  worthwhilePrecisions,
} from "./fitting.js";
import { UsageError } from "./graph/errors.js";
import { conditionsOf, goldenRun, openDevice, peakMemoryOf, ratioOf, shownOn } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import type { FitOptions } from "./options.js";
import { profileModel } from "./profile.js";
import { limitOf } from "./propose.js";
import { findGroups } from "./prune/groups.js";
import type { Ranking } from "./ranking.js";
import { assembleReport, type FitResult, type Weighed } from "./reportOf.js";
import { settledNear } from "./settle.js";
import { Stopwatch } from "./stopwatch.js";
import { openSubject } from "./subject.js";
import { finetuned, weigh } from "./weigh.js";

export type { FitResult } from "./reportOf.js";

/** Share of the budget that a net may use while it is looked for, so that the final run has room for its own noise. */
const MARGIN = 0.99;
/** Times that a net found over its budget in the final run is cut again. */
const TIGHTENINGS = 3;

/**
 * Cuts a model to a latency budget.
 *
 * Order: golden check, latency of the original, latency table (cached); nets that keep the budget uncut, in INT8; else channel
 * statistics, widths within the budget, repair; then optional distillation, and a final interleaved measurement. Throws
 * BudgetError, with the fastest latency that was reached, when no measured model keeps the budget; ModelError, DataError
 * and DeviceError as their parts do.
 */
export async function fit(options: FitOptions): Promise<FitResult> {
  if (options.offline) {
    if (typeof options.device === "string") return fitOffline({ ...options, device: options.device });
    throw new UsageError("offline-device", "a fit without the device needs a saved one", {
      where: "--offline",
      hint: "name the JSON file of its profile or table with --device",
    });
  }
  const o = { ...options, seed: options.seed ?? 1, percentile: options.percentile ?? ("p50" as const) };
  const budget = parseBudget(o.budget);
  paceOf(o);
  const watch = new Stopwatch();
  const subject = await watch.time("reading", () => openSubject(o));
  const groups = findGroups(subject.graph);
  const device = await openDevice(o, subject);
  o.onProgress = shownOn(device, subject.file, o.onProgress);
  try {
    const f: Fitting = await watch.time("loading images", () => prepare(o, budget, subject, groups, device));
    const golden = await watch.time("golden check", () => goldenRun(device, subject, subject.bytes, f.call));
    const ranges = await watch.time("calibrating", () => quickRanges(f));
    const precisions = await watch.time("measuring the original", () => worthwhilePrecisions(f, ranges));
    let profile = await watch.time("profiling", () => profileModel(profileOptions(f, ranges, precisions)));
    let ranking: Ranking | undefined;

    for (let round = 1, share = MARGIN; ; round++) {
      const uncut = await watch.time("finding widths", () => wholeProposals(f, profile, precisions, ranges, share));
      const weighed: Weighed[] = await watch.time("repairing", () => weigh(f, uncut, profile.model));
      if (!weighed.some((w) => w.error <= NEAR)) {
        const rest = precisions.filter((p) => !uncut.some((u) => u.precision === p));
        if (!ranking) {
          const known = profile;
          const losses = await watch.time("ranking channels", () => rankingOf(f, known));
          profile = await watch.time("profiling", () => settledNear(f, known, losses, rest, ranges, share));
          ranking = losses;
        }
        const context = {
          subject,
          groups,
          branches: f.branches,
          device,
          call: f.call,
          latency: profile.model,
          ranking,
        };
        const proposals = await watch.time("finding widths", () => proposalsOf(f, context, rest, ranges, share));
        weighed.push(...(await watch.time("repairing", () => weigh(f, proposals.found, profile.model))));
        if (weighed.length === 0) throw missed(budget.text, proposals.fastestMs);
      }
      const chosen = weighed.reduce((a, b) => (b.error < a.error ? b : a));
      const finished = await watch.time("fine-tuning", () => finetuned(f, chosen, profile.model));
      const bytes = writeModel(finished.graph);
      const [original, fitted] = await watch.time("measuring", () => timed(f, [subject.bytes, bytes], FINAL_RUN));
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
        chosen: { ...chosen, ...finished },
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
