/** A fit against a saved device: the same work as `fit`, with the latency table in place of every measurement. */
import { allocationProblem, withFull } from "./allocation.js";
import { budgetMs, parseBudget } from "./budget.js";
import { evaluateBoth, type Fitting, missed, NEAR, prepare, quickRanges, rankingOf, WORTHWHILE } from "./fitting.js";
import { EdgefitError, UsageError } from "./graph/errors.js";
import {
  candidateWidths,
  type Kernel,
  kernelsOf,
  latencyModel,
  type Precision,
  type Prediction,
  widthGrid,
} from "./latency/index.js";
import { openDevice } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import type { OfflineOptions } from "./options.js";
import type { ModelProfile } from "./profile.js";
import { symbolicOf } from "./profileDesign.js";
import { cutAt, type Proposal, within } from "./propose.js";
import { findBranches } from "./prune/branches.js";
import { findGroups } from "./prune/groups.js";
import { assembleReport, type FitResult, type PredictedLatency } from "./reportOf.js";
import { otherVersion, readSavedDevice, type SavedDevice } from "./savedDevice.js";
import { Stopwatch } from "./stopwatch.js";
import { openSubject } from "./subject.js";
import { finetuned, weigh } from "./weigh.js";

/**
 * Cuts a model to a latency budget by a saved table. Accuracy is that of this machine's runtime; every latency is predicted and says so.
 * Throws BudgetError when no net is predicted to keep the budget, EdgefitError `table-mismatch` when the table was measured for
 * other layers, UsageError for a budget on p95, which a table of medians cannot tell, and what reading and data throw.
 */
export async function fitOffline(options: OfflineOptions): Promise<FitResult> {
  if (options.percentile === "p95") {
    throw new UsageError("offline-p95", "a saved table knows medians, not p95", {
      where: "--percentile",
      hint: "fit the p50 offline, or measure on the device",
    });
  }
  if (options.paced !== undefined) {
    throw new UsageError("offline-paced", "a saved table knows calls in a row, not paced ones", { where: "--paced" });
  }
  const o = { ...options, offline: true, seed: options.seed ?? 1, percentile: "p50" as const };
  const budget = parseBudget(o.budget);
  const watch = new Stopwatch();
  const saved = await readSavedDevice(options.device);
  const subject = await watch.time("reading", () => openSubject(o));
  const groups = findGroups(subject.graph);
  const profile = await watch.time("reading the table", async () => savedProfile(saved, subject.graph, groups));
  const host = await openDevice({ ...o, device: "local" });
  try {
    // Models run here, for accuracy; what the device is like decides everything else.
    const device = { ...host, facts: saved.facts };
    const f: Fitting = await watch.time("loading images", () => prepare(o, budget, subject, groups, device));
    f.warn("the device was not there: latencies are predicted from its saved table, not measured");
    const version = otherVersion(saved.table.runtime);
    if (version) f.warn(version);
    const precisions = worthwhile(profile, o.int8 ?? "auto", f.warn);
    const ranges = precisions.includes("int8") ? await watch.time("calibrating", () => quickRanges(f)) : undefined;
    if (ranges === undefined && precisions.includes("int8")) precisions.splice(precisions.indexOf("int8"), 1);

    const { model } = profile;
    const full = new Map(groups.prunable.map((g) => [g.id, g.width]));
    const whole = model.msAt(full, "fp32");
    const limitMs = budgetMs(budget, whole.ms);
    const propose = (precision: Precision, widths: ReadonlyMap<string, number>, loss: number, orders: Orders) => {
      const { keep, gone, cut } = cutAt({ subject, groups, branches: f.branches, orders }, widths);
      const all = withFull(full, widths);
      const prediction = model.msAt(all, precision, gone);
      return { precision, widths: all, keep, gone, cut, prediction, loss, measuredMs: prediction.ms, limitMs };
    };
    const uncut: Proposal[] = precisions
      .map((precision) => propose(precision, full, 0, new Map()))
      .filter((p) => p.measuredMs <= limitMs);
    const weighed = await watch.time("repairing", () => weigh(f, uncut, model));
    if (!weighed.some((w) => w.error <= NEAR)) {
      const ranking = await watch.time("ranking channels", () => rankingOf(f, profile));
      const choices = [...ranking.losses].map(([id, { widths, loss }]) => ({ id, widths, loss }));
      const rest = precisions.filter((p) => !uncut.some((u) => u.precision === p));
      const found = rest.map((precision) => {
        const { widths, loss } = within(allocationProblem(model, groups, f.branches, choices, precision), limitMs);
        return propose(precision, widths, loss, ranking.orders);
      });
      const kept = found.filter((p) => p.measuredMs <= limitMs);
      weighed.push(...(await watch.time("repairing", () => weigh(f, kept, model))));
      if (weighed.length === 0)
        throw missed(budget.text, Math.min(...found.map((p) => p.measuredMs)), limitMs, "predicted");
    }
    const chosen = weighed.reduce((a, b) => (b.error < a.error ? b : a));
    const finished = await watch.time("fine-tuning", () => finetuned(f, chosen, model));
    const bytes = writeModel(finished.graph);
    const evaluations = await watch.time("evaluating", () => evaluateBoth({ ...f, device: host }, bytes));
    const { prediction } = chosen.proposal;
    return assembleReport({
      options: o,
      budget,
      limitMs,
      subject,
      groups,
      facts: saved.facts,
      golden: null,
      latency: model,
      chosen: { ...chosen, ...finished },
      weighed,
      original: { timed: predictedLatency(whole), evaluation: evaluations[0], peakMemoryBytes: null },
      fitted: { timed: predictedLatency(prediction), evaluation: evaluations[1], peakMemoryBytes: null },
      speedup: {
        n: 0,
        ratio: whole.ms / prediction.ms,
        interval: [whole.low / prediction.high, whole.high / prediction.low],
      },
      calibrationImages: f.calibration.reduce((n, t) => n + t.dims[0], 0),
      seconds: watch.seconds,
      warnings: f.warnings,
    });
  } finally {
    await host.close();
  }
}

type Orders = Parameters<typeof cutAt>[0]["orders"];

const predictedLatency = ({ ms, low, high }: Prediction): PredictedLatency => ({
  predicted: true,
  latency: {
    n: 0,
    min: null,
    mean: null,
    std: null,
    p50: ms,
    p90: null,
    p95: null,
    p99: null,
    p50Interval: [low, high],
  },
});

/** The saved table tied to the model's kernels. */
function savedProfile(
  { table, alignment }: SavedDevice,
  graph: Parameters<typeof kernelsOf>[0],
  groups: ReturnType<typeof findGroups>,
): ModelProfile {
  const begin = performance.now();
  const kernels = kernelsOf(graph, symbolicOf(groups));
  const model = latencyModel(table, kernels);
  refuseOneWidth(table, kernels);
  const grids = new Map(groups.prunable.map((g) => [g.id, widthGrid(g.width, { step: alignment })]));
  return {
    table,
    model,
    groups,
    branches: groups.prunable.length > 0 ? findBranches(graph, groups) : [],
    grids,
    candidateWidths: candidateWidths(model, groups.groups, grids),
    seconds: (performance.now() - begin) / 1000,
    cached: true,
  };
}

/** Imported measurements are of one net: what a narrower layer would take is not in them. */
function refuseOneWidth({ rows, device }: SavedDevice["table"], kernels: readonly Kernel[]): void {
  const varied = kernels.filter((k) => k.widths.length > 0);
  const known = varied.some((k) => new Set(rows.filter((r) => r.key === k.key).map((r) => r.widths.join())).size > 2);
  if (varied.length === 0 || known) return;
  throw new EdgefitError("table-one-width", "the saved table knows each layer at the model's own width only", {
    where: device.id,
    hint: "widths cannot be chosen by it; measure a table on the device: edgefit devices export NAME --model model.onnx",
  });
}

/** Precisions that the table holds and that are worth a look. */
function worthwhile(
  { model, groups }: ModelProfile,
  int8: "auto" | "off" | "on",
  warn: (text: string) => void,
): Precision[] {
  const full = new Map(groups.prunable.map((g) => [g.id, g.width]));
  if (int8 === "off") return ["fp32"];
  if (!model.precisions.includes("int8")) {
    warn("INT8 is not used: the saved table holds no INT8 times");
    return ["fp32"];
  }
  if (int8 === "on") return ["int8"];
  const ratio = model.msAt(full, "fp32").ms / model.msAt(full, "int8").ms;
  if (ratio >= WORTHWHILE) return ["fp32", "int8"];
  warn(`INT8 is not used: by the table the whole model runs at ${ratio.toFixed(2)}x the speed of float in INT8`);
  return ["fp32"];
}
