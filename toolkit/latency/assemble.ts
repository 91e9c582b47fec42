/** From what was observed on sub-nets to the rows and the correction of a table. Pure arithmetic. */
import { mean, median } from "simple-statistics";
import type { Precision } from "./kernel.js";
import { fitSurface, type Surface } from "./surface.js";
import type { LatencyRow } from "./table.js";

/** One kernel of one profiled sub-net. */
export interface KernelObservation {
  key: string;
  widths: readonly number[];
  us: number;
  launches: number;
}

/** One sub-net: its kernels as profiled, and the latency of whole unprofiled calls. */
export interface NetObservation {
  kernels: readonly KernelObservation[];
  /** Median of calls, in milliseconds. */
  ms: number;
}

/**
 * Rows of the table: the median over nets per key and widths. A session as a whole runs faster or slower with where its memory
 * landed and with the machine's clock, so every net's times are first scaled by one factor to agree with the others.
 */
export function rowsOf(nets: readonly NetObservation[], precision: Precision): LatencyRow[] {
  const factors = nets.map(() => 1);
  let rows = gather(nets, factors, precision);
  for (let pass = 0; pass < 12; pass++) {
    nets.forEach((net, i) => {
      let own = 0;
      let expected = 0;
      for (const k of net.kernels) {
        const row = rows.get(rowId(k))!;
        // A row that only this net has agrees with it whatever the factor.
        if (row.n < 2) continue;
        own += k.us;
        expected += row.us;
      }
      if (own > 0 && expected > 0) factors[i] = expected / own;
    });
    const middle = factors.length > 0 ? median(factors) : 1;
    for (let i = 0; i < factors.length; i++) factors[i] /= middle;
    rows = gather(nets, factors, precision);
  }
  return [...rows.values()];
}

const rowId = (k: { key: string; widths: readonly number[] }): string => `${k.key}|${k.widths.join(",")}`;

function gather(
  nets: readonly NetObservation[],
  factors: readonly number[],
  precision: Precision,
): Map<string, LatencyRow> {
  const groups = new Map<string, { k: KernelObservation; us: number[]; launches: number[] }>();
  nets.forEach((net, i) => {
    for (const k of net.kernels) {
      const id = rowId(k);
      const group = groups.get(id) ?? { k, us: [], launches: [] };
      groups.set(id, group);
      group.us.push(k.us * factors[i]);
      group.launches.push(k.launches);
    }
  });
  const rows = new Map<string, LatencyRow>();
  for (const [id, { k, us, launches }] of groups) {
    const middle = median(us);
    const variance = us.length > 1 ? us.reduce((s, v) => s + (v - middle) ** 2, 0) / (us.length - 1) : 0;
    rows.set(id, {
      key: k.key,
      widths: [...k.widths],
      precision,
      us: middle,
      launches: mean(launches),
      n: us.length,
      spread: middle > 0 ? Math.sqrt(variance) / middle : 0,
    });
  }
  return rows;
}

/** Relative standard deviation of one observation, pooled over rows that were seen more than once; 3 % where none was. */
export function pooledNoise(rows: readonly LatencyRow[]): number {
  let squares = 0;
  let degrees = 0;
  for (const r of rows) {
    if (r.n < 2) continue;
    squares += (r.n - 1) * r.spread ** 2;
    degrees += r.n - 1;
  }
  return degrees > 0 ? Math.sqrt(squares / degrees) : 0.03;
}

/** One surface per kernel key of a precision. */
export function surfacesOf(rows: readonly LatencyRow[], precision: Precision): Map<string, Surface> {
  const own = rows.filter((r) => r.precision === precision);
  const noise = pooledNoise(own);
  const byKey = new Map<string, LatencyRow[]>();
  for (const r of own) byKey.set(r.key, [...(byKey.get(r.key) ?? []), r]);
  return new Map([...byKey].map(([key, group]) => [key, fitSurface(group, noise)]));
}
