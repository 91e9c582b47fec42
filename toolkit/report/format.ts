/** Numbers as people read them, the same in the terminal and on the page. */
import type { ModelFigures } from "./schema.js";

/** The statistic that a budget is on; the median where the latency is predicted, which is all that a table knows. */
export const latencyAt = (m: ModelFigures, percentile: "p50" | "p95"): number =>
  m.latencyMs[percentile] ?? m.latencyMs.p50;

/** `1.23 ms`, three significant digits; below 0.1 ms in microseconds. */
export function formatMs(ms: number): string {
  if (ms > 0 && ms < 0.1) return `${significant(ms * 1000)} µs`;
  return `${significant(ms)} ms`;
}

/** Three significant digits without an exponent: `0.0123`, `1.23`, `123`, `12345`. */
export function significant(v: number): string {
  if (v === 0 || !Number.isFinite(v)) return String(v);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(v))));
  return v.toFixed(Math.min(digits, 20));
}

/** `1.23 k`, `41.2 M`, `3.1 G`: decimal thousands. */
export function formatCount(v: number): string {
  for (const [size, unit] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    if (v >= size) return `${significant(v / size)} ${unit}`;
  }
  return String(v);
}

/** `1.1 MB`: decimal kilobytes and megabytes. */
export function formatBytes(bytes: number): string {
  return bytes < 1000 ? `${bytes} B` : `${formatCount(bytes)}B`;
}

/** A share as `91.77 %`. */
export const formatPercent = (share: number, digits = 2): string => `${(share * 100).toFixed(digits)} %`;

/** `2.13x`. */
export const formatRatio = (ratio: number): string => `${ratio.toFixed(2)}x`;

/** Signed difference of two shares in points: `-0.3 points`. */
export function formatPoints(difference: number): string {
  const points = (difference * 100).toFixed(2);
  return `${difference >= 0 ? "+" : ""}${Number(points) === 0 ? "0.00" : points} points`;
}

/** `12.3 s`, `2 min 05 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}
