/** One latency table of several models on one device, for others to use: the kernels of all, and one correction for all. */
import {
  crossValidate,
  fitCorrection,
  type LatencyTable,
  mergeTables,
  observationsOf,
  type Precision,
  sumKernels,
  surfacesOf,
} from "./latency/index.js";
import type { ModelProfile } from "./profile.js";
import { shapingOf } from "./profileDesign.js";

/**
 * Rows of all models (equal kernels pooled), and per precision a correction fitted on the sub-nets of all of them. The sub-nets
 * themselves are left out: group names of one model mean nothing to another. Throws `table-stale` for profiles of different devices.
 */
export function sharedTable(profiles: readonly ModelProfile[]): LatencyTable {
  const merged = profiles.map((p) => p.table).reduce((a, b) => mergeTables(a, b));
  const corrections: LatencyTable["corrections"] = {};
  const quality: LatencyTable["quality"] = {};
  for (const precision of Object.keys(merged.corrections) as Precision[]) {
    const observed = profiles.flatMap(({ table, model, groups, branches }) =>
      observationsOf(
        table.nets.filter((n) => n.precision === precision),
        model.kernels,
        shapingOf({ groups, branches }),
      ),
    );
    const surfaces = surfacesOf(merged.rows, precision);
    corrections[precision] = fitCorrection(
      observed.map((n) => sumKernels(n.kernels, surfaces)),
      observed.map((n) => n.ms),
    );
    const { medianErrorPct, p90ErrorPct, spearman } = crossValidate(observed, precision);
    const own = profiles.map((p) => p.table.quality[precision]);
    const count = (pick: "discarded" | "drifting") => own.reduce((s, q) => s + (q?.[pick] ?? 0), 0);
    quality[precision] = {
      n: observed.length,
      medianErrorPct,
      p90ErrorPct,
      spearman,
      discarded: count("discarded"),
      drifting: count("drifting"),
    };
  }
  return { ...merged, nets: [], corrections, quality, reference: {} };
}
