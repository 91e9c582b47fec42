/**
 * From sums over kernels to the latency of whole calls. Profiling slows every launch, a call costs something of its own, and
 * kernels run a little slower or faster in company: three numbers per precision, fitted on random sub-nets.
 */
import { quantile, sampleRankCorrelation } from "simple-statistics";
import { type NetObservation, rowsOf, surfacesOf } from "./assemble.js";
import type { Precision } from "./kernel.js";
import type { Surface } from "./surface.js";
import type { Correction } from "./table.js";

/** Sums over the kernels of a net: what a correction is applied to. */
export interface KernelSum {
  us: number;
  launches: number;
  /** Kernels whose widths no measured sub-net had. */
  interpolated: number;
}

/** Adds up the estimates of a net's kernels. Kernels without any row add nothing and are counted as interpolated. */
export function sumKernels(kernels: NetObservation["kernels"], surfaces: ReadonlyMap<string, Surface>): KernelSum {
  const sum: KernelSum = { us: 0, launches: 0, interpolated: 0 };
  for (const k of kernels) {
    const estimate = surfaces.get(k.key)?.at(k.widths);
    sum.us += estimate?.us ?? 0;
    sum.launches += estimate?.launches ?? 0;
    if (estimate?.interpolated ?? true) sum.interpolated++;
  }
  return sum;
}

/** Whole-call latency in ms. */
export const correct = (c: Correction, s: Pick<KernelSum, "us" | "launches">): number =>
  (c.scale * s.us + c.perLaunchUs * s.launches + c.perCallUs) / 1000;

/**
 * Least squares of relative errors of `correct`, reweighted by Huber's rule so that a disturbed measurement counts little
 * (Huber, Robust Statistics, 1981; threshold 1.345 of the residuals' scale). Drawn faintly to "the sum is the latency", which
 * decides what few or uniform nets leave open: with the same number of launches everywhere, their price is unknown.
 */
export function fitCorrection(
  sums: readonly Pick<KernelSum, "us" | "launches">[],
  latencies: readonly number[],
): Correction {
  const us = latencies.map((ms) => ms * 1000);
  const size = us.reduce((a, b) => a + b, 0) / us.length || 1;
  const launches = sums.reduce((a, s) => a + s.launches, 0) / sums.length || 1;
  // In units of the mean latency, so that the faint pull is the same for large and small models.
  const scale = [1, size / launches, size];
  const X = sums.map((s, i) => [s.us / us[i], (s.launches * scale[1]) / us[i], scale[2] / us[i]]);
  const prior = [1, 0, 0];
  const pull = 1e-3 * X.length;
  let weights = X.map(() => 1);
  let beta = prior;
  for (let pass = 0; pass < 8; pass++) {
    const A = [0, 1, 2].map((j) => [0, 1, 2].map((k) => (j === k ? pull * (j === 0 ? 1 : 0.1) : 0)));
    const b = [0, 1, 2].map((j) => A[j][j] * prior[j]);
    X.forEach((x, i) => {
      for (let j = 0; j < 3; j++) {
        b[j] += weights[i] * x[j];
        for (let k = 0; k < 3; k++) A[j][k] += weights[i] * x[j] * x[k];
      }
    });
    beta = solve3(A, b);
    const residuals = X.map((x) => Math.abs(x.reduce((s, v, j) => s + v * beta[j], 0) - 1));
    const spread = residuals.length > 0 ? quantile(residuals, 0.5) / 0.6745 : 0;
    const limit = Math.max(1.345 * spread, 1e-9);
    weights = residuals.map((r) => (r <= limit ? 1 : limit / r));
  }
  return { scale: Math.max(beta[0], 1e-3), perLaunchUs: beta[1] * scale[1], perCallUs: beta[2] * scale[2] };
}

function solve3(A: number[][], b: number[]): number[] {
  const M = A.map((row, i) => [...row, b[i]]);
  for (let i = 0; i < 3; i++) {
    let pivot = i;
    for (let r = i + 1; r < 3; r++) if (Math.abs(M[r][i]) > Math.abs(M[pivot][i])) pivot = r;
    [M[i], M[pivot]] = [M[pivot], M[i]];
    for (let r = 0; r < 3; r++) {
      if (r === i) continue;
      const f = M[r][i] / M[i][i];
      for (let k = i; k < 4; k++) M[r][k] -= f * M[i][k];
    }
  }
  return M.map((row, i) => row[3] / row[i]);
}

/** Predicted against measured for every net, each by a table and a correction that never saw it. */
export interface CrossValidation {
  errorsPct: number[];
  medianErrorPct: number;
  p90ErrorPct: number;
  spearman: number | null;
}

/** `folds`-fold cross-validation over whole nets: rows, staircases and correction are made anew for each fold. */
export function crossValidate(nets: readonly NetObservation[], precision: Precision, folds = 6): CrossValidation {
  const predicted: number[] = Array(nets.length);
  const parts = Math.min(folds, nets.length);
  for (let fold = 0; fold < parts; fold++) {
    const kept = nets.filter((_, i) => i % parts !== fold);
    const known = kept.length > 0 ? kept : nets;
    const surfaces = surfacesOf(rowsOf(known, precision), precision);
    const correction = fitCorrection(
      known.map((n) => sumKernels(n.kernels, surfaces)),
      known.map((n) => n.ms),
    );
    for (let i = fold; i < nets.length; i += parts)
      predicted[i] = correct(correction, sumKernels(nets[i].kernels, surfaces));
  }
  const errorsPct = nets.map((n, i) => Math.abs(predicted[i] / n.ms - 1) * 100);
  return {
    errorsPct,
    ...errorFigures(
      predicted,
      nets.map((n) => n.ms),
    ),
  };
}

/** Median and 90th percentile of |predicted / measured - 1| in percent, and Spearman's rank correlation. */
export function errorFigures(
  predicted: readonly number[],
  measured: readonly number[],
): Omit<CrossValidation, "errorsPct"> {
  const errors = predicted.map((p, i) => Math.abs(p / measured[i] - 1) * 100);
  const rank = errors.length < 3 ? null : sampleRankCorrelation([...predicted], [...measured]);
  return {
    medianErrorPct: quantile(errors, 0.5),
    p90ErrorPct: quantile(errors, 0.9),
    spearman: rank === null || Number.isNaN(rank) ? null : rank,
  };
}
