import { expect, test } from "vitest";
import {
  formatBytes,
  formatCount,
  formatMs,
  formatPercent,
  formatPoints,
  formatSeconds,
  significant,
} from "../../toolkit/report/format.js";

test.each([
  [formatMs, 3.4567, "3.46 ms"],
  [formatMs, 0.0731, "73.1 µs"],
  [formatMs, 1234.5, "1235 ms"],
  [formatMs, 0, "0 ms"],
  [significant, 0.012345, "0.0123"],
  [significant, -2.5, "-2.50"],
  [formatCount, 999, "999"],
  [formatCount, 41_170_304, "41.2 M"],
  [formatCount, 1.5e9, "1.50 G"],
  [formatBytes, 512, "512 B"],
  [formatBytes, 1_100_000, "1.10 MB"],
  [formatPercent, 0.91769, "91.77 %"],
  [formatPoints, -0.00351, "-0.35 points"],
  [formatPoints, 0.01, "+1.00 points"],
  [formatPoints, -0.0000001, "0.00 points"],
  [formatSeconds, 9.87, "9.9 s"],
  [formatSeconds, 125.2, "2 min 05 s"],
])("%o of %d is %s", (format, value, text) => {
  expect((format as (v: number) => string)(value)).toBe(text);
});
