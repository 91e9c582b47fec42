/** What `train` did, for the terminal. */
import { formatPercent, formatSeconds, type TrainingReport } from "../report/index.js";
import type { Colors } from "./colors.js";
import { facts } from "./tables.js";

const BLOCKS = "▁▂▃▄▅▆▇█";
/** Columns of a curve; longer runs are thinned. */
const WIDEST = 60;

/** A curve in one line of text: the highest value is a full block. A single value, or equal ones, lie in the middle. */
export function sparkline(values: readonly number[]): string {
  const step = Math.max(1, values.length / WIDEST);
  const shown = Array.from(
    { length: Math.min(values.length, WIDEST) },
    (_, i) =>
      // The last value always shows.
      values[Math.min(values.length - 1, Math.ceil((i + 1) * step) - 1)],
  );
  const low = Math.min(...shown);
  const span = Math.max(...shown) - low;
  return shown
    .map((v) => BLOCKS[span > 0 ? Math.min(BLOCKS.length - 1, Math.floor(((v - low) / span) * BLOCKS.length)) : 3])
    .join("");
}

/** Figures and curves of a run, and where its files are. */
export function trainedSummary(r: TrainingReport, paths: readonly string[], c: Colors): string {
  const curve = (values: readonly number[], show: (v: number) => string): string =>
    values.length === 0
      ? "-"
      : `${c.cyan(sparkline(values))}  ${show(values[0])} to ${show(values[values.length - 1])}`;
  const followed = r.history.flatMap((h) => (h.metric === null ? [] : [h.metric]));
  const waits = r.history.flatMap((h) => (h.waited === null ? [] : [h.waited]));
  const waited = waits.length
    ? `, ${formatPercent(waits.reduce((a, b) => a + b, 0) / waits.length)} of the steps' time waiting for data`
    : "";
  const { before, after } = r.accuracy;
  return [
    c.bold(`${r.model}: ${r.history.length} ${r.history.length === 1 ? "epoch" : "epochs"} on ${r.data.images} images`),
    "",
    facts(
      [
        [
          "loss",
          curve(
            r.history.map((h) => h.loss),
            (v) => v.toFixed(4),
          ),
        ],
        ...(followed.length ? [["held-out accuracy", curve(followed, (v) => formatPercent(v))] as const] : []),
        ...(before !== null && after !== null
          ? [
              [
                "accuracy",
                `${formatPercent(after)} on ${r.data.test} test images; ${formatPercent(before)} before`,
              ] as const,
            ]
          : []),
        ...(r.bestEpoch === null ? [] : [["kept", `the weights of epoch ${r.bestEpoch}`] as const]),
        ["took", `${formatSeconds(r.seconds)}${waited}`],
        ["written", paths.join(", ")],
      ],
      c,
    ),
  ].join("\n");
}
