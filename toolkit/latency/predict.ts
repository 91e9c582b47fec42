/** A latency table turned into answers: milliseconds of a whole net, of each layer, and of each kernel for an allocator. */
import { EdgefitError } from "../graph/errors.js";
import { surfacesOf } from "./assemble.js";
import { correct } from "./correction.js";
import { type DimsOf, evaluateDim, type Kernel, type Precision } from "./kernel.js";
import type { KernelCostEstimate } from "./surface.js";
import type { Correction, LatencyTable } from "./table.js";

/** Group id to width. */
export type Widths = ReadonlyMap<string, number>;

/** One precision for the whole net, or one per kernel. */
export type PrecisionChoice = Precision | ((k: Kernel) => Precision);

/** Latency of whole calls at the table's basis (p50). */
export interface Prediction {
  ms: number;
  /** Interval that held nine of ten random sub-nets. */
  low: number;
  high: number;
  /** Plain sum of the table's entries, before correction. */
  tableMs: number;
  /** Kernels that had to be interpolated because no measured sub-net had their widths. */
  interpolated: number;
}

/** Cost of one kernel, in the form that an allocator of widths asks for. */
export interface WidthCost {
  id: string;
  groups: readonly string[];
  ms(widths: Widths): number;
  /** Standard error of `ms` from the scatter of measurements. */
  errorMs(widths: Widths): number;
}

export interface LatencyModel {
  readonly table: LatencyTable;
  readonly kernels: readonly Kernel[];
  /** Precisions that the table holds. */
  readonly precisions: readonly Precision[];
  /** A net given by the dims of its values. */
  ms(dims: DimsOf, precision?: PrecisionChoice): Prediction;
  /**
   * A net given by the widths of its groups. Cheap: estimates are kept per kernel and widths.
   * @param gone nodes that the net no longer has; a kernel built around one of them costs nothing
   */
  msAt(widths: Widths, precision?: PrecisionChoice, gone?: ReadonlySet<string>): Prediction;
  /** Kernel id to milliseconds; the values add up to `msAt(...).ms`. */
  layerMs(widths: Widths, precision?: PrecisionChoice, gone?: ReadonlySet<string>): Map<string, number>;
  /**
   * Corrected cost of every kernel; with `fixedMs`, sums of these equal `msAt(...).ms`. The correction subtracts what profiling
   * added per launch, so a kernel of few microseconds may cost slightly less than nothing.
   */
  costs(precision?: PrecisionChoice): WidthCost[];
  /** What a call costs besides its kernels. */
  fixedMs(precision?: PrecisionChoice): number;
}

/**
 * Ties a table to the kernels of a model. Throws EdgefitError `table-mismatch` when the table lacks a kernel of the model
 * entirely: it was measured for another model.
 */
export function latencyModel(table: LatencyTable, kernels: readonly Kernel[]): LatencyModel {
  const precisions = (["fp32", "int8"] as const).filter((p) => table.corrections[p]);
  const first = precisions[0];
  if (first === undefined)
    throw new EdgefitError("table-mismatch", "the latency table holds no precision", {
      hint: "measure it again: edgefit profile --refresh",
    });
  const estimators = new Map<Precision, KernelEstimator[]>();
  for (const p of precisions) {
    const surfaces = surfacesOf(table.rows, p);
    estimators.set(
      p,
      kernels.map((k) => {
        const surface = surfaces.get(k.key);
        if (!surface) {
          throw new EdgefitError(
            "table-mismatch",
            `the latency table has no ${p} row for ${k.ops.join("+")} "${k.id}" (${k.key})`,
            {
              hint: "the table belongs to another model; measure this one: edgefit profile --refresh",
            },
          );
        }
        return keep((widths) => surface.at(widths));
      }),
    );
  }

  const precisionOf = (choice: PrecisionChoice, k: Kernel): Precision =>
    typeof choice === "string" ? choice : choice(k);
  const known = <T>(found: T | undefined, p: Precision): T => {
    if (found === undefined)
      throw new EdgefitError("precision-unmeasured", `the latency table holds ${precisions.join(" and ")}, not ${p}`);
    return found;
  };
  const correctionFor = (p: Precision): Correction => known(table.corrections[p], p);

  /** In a mixed net the cost of a call lies between those of the pure ones, by the share of kernels. */
  const perCallUs = (choice: PrecisionChoice): number =>
    kernels.reduce((sum, k) => sum + correctionFor(precisionOf(choice, k)).perCallUs, 0) / Math.max(1, kernels.length);

  const predict = (
    choice: PrecisionChoice,
    widthsOf: (k: Kernel) => readonly number[],
    gone: ReadonlySet<string> = new Set(),
  ) => {
    let tableUs = 0;
    let ms = perCallUs(choice) / 1000;
    let interpolated = 0;
    let spread = 0;
    const us = kernels.map((k, i) => {
      if (gone.has(k.id)) return 0;
      const p = precisionOf(choice, k);
      const estimate = known(estimators.get(p), p)[i](widthsOf(k));
      tableUs += estimate.us;
      ms += correct({ ...correctionFor(p), perCallUs: 0 }, estimate);
      if (estimate.interpolated) interpolated++;
      spread = Math.max(spread, (table.quality[p]?.p90ErrorPct ?? 0) / 100);
      return estimate.us;
    });
    const whole = Math.max(ms, 0);
    const prediction: Prediction = {
      ms: whole,
      low: whole / (1 + spread),
      high: whole * (1 + spread),
      tableMs: tableUs / 1000,
      interpolated,
    };
    return { prediction, us, tableUs };
  };
  const at = (widths: Widths) => (k: Kernel) => k.widths.map((dim) => evaluateDim(dim, widths));

  return {
    table,
    kernels,
    precisions,
    ms: (dims, precision = first) => predict(precision, (k) => k.signature(dims).widths).prediction,
    msAt: (widths, precision = first, gone) => predict(precision, at(widths), gone).prediction,
    layerMs(widths, precision = first, gone) {
      const { prediction, us, tableUs } = predict(precision, at(widths), gone);
      return new Map(kernels.map((k, i) => [k.id, tableUs > 0 ? (prediction.ms * us[i]) / tableUs : 0]));
    },
    costs: (precision = first) =>
      kernels.map((k, i) => {
        const p = precisionOf(precision, k);
        const estimate = known(estimators.get(p), p)[i];
        const { scale, perLaunchUs } = correctionFor(p);
        return {
          id: k.id,
          groups: [...new Set(k.widths.flatMap((dim) => dim.terms.map((t) => t.group)))],
          ms(widths) {
            const { us, launches } = estimate(at(widths)(k));
            return (scale * us + perLaunchUs * launches) / 1000;
          },
          errorMs(widths) {
            const { us, error } = estimate(at(widths)(k));
            return (scale * us * error) / 1000;
          },
        };
      }),
    fixedMs: (precision = first) => perCallUs(precision) / 1000,
  };
}

type KernelEstimator = (widths: readonly number[]) => KernelCostEstimate;

/** Remembers every answer: an allocator asks for the same few thousand again and again. */
function keep(estimate: KernelEstimator): KernelEstimator {
  const known = new Map<string | number, KernelCostEstimate>();
  return (widths) => {
    // Up to three widths under 2^17 fit one exact number, which is far cheaper to look up than text.
    const small = widths.length <= 3 && widths.every((w) => w < 131072);
    const id = small ? widths.reduce((a, w) => a * 131072 + w, 0) : widths.join(",");
    let found = known.get(id);
    if (!found) known.set(id, (found = estimate(widths)));
    return found;
  };
}
