/** What `quantize` found, for the terminal. */
import {
  formatBytes,
  formatMs,
  formatPercent,
  formatPoints,
  formatRatio,
  type QuantizeReport,
  quantizeHeadline,
  significant,
} from "../report/index.js";
import type { Colors } from "./colors.js";
import { facts, table } from "./tables.js";

const decibels = (db: number | null): string => (db === null ? "" : db.toFixed(1));

/** The answer and its figures; with `explain` every layer as well. */
export function quantizeSummary(r: QuantizeReport, files: readonly string[], explain: boolean, c: Colors): string {
  const s = r.settings;
  const pairs: [string, string][] = [];
  if (r.why) pairs.push(["why", r.why]);
  if (r.test?.measures === "accuracy")
    pairs.push([
      "accuracy, top-1",
      `${formatPercent(r.test.before)} → ${formatPercent(r.test.after)} (${formatPoints(r.test.after - r.test.before)}, ${r.test.images} test images)`,
    ]);
  else if (r.test) pairs.push(["same answer", `${formatPercent(r.test.after)} of ${r.test.images} test images`]);
  if (r.drop)
    pairs.push([
      "drop",
      `${r.drop.points.toFixed(2)} points of ${r.drop.measures} on ${r.drop.images} training images${r.drop.allowed === null ? "" : `, ${r.drop.allowed} allowed`}`,
    ]);
  if (r.latency)
    pairs.push([
      "latency, median",
      `${formatMs(r.latency.floatMs)} → ${formatMs(r.latency.answerMs)} (${formatRatio(r.latency.ratio)}, 95 % interval ${formatRatio(r.latency.interval[0])} to ${formatRatio(r.latency.interval[1])})`,
    ]);
  pairs.push(["file", `${formatBytes(r.bytes.before)} → ${formatBytes(r.bytes.after)}`]);
  for (const o of r.outputs)
    pairs.push([`output ${o.name}`, o.sqnrDb === null ? "identical" : `${o.sqnrDb.toFixed(1)} dB`]);
  if (r.answer === "int8" || r.answer === "mixed") {
    pairs.push(
      ["activations", `${s.activations}${s.symmetric ? " symmetric" : ""}, ranges ${s.ranges}`],
      ["weights", `${s.weights}, ${s.reduceRange ? 7 : 8} bits, rounding ${s.rounding}`],
      ["repairs", [...s.repairs, ...(s.biasCorrected ? ["bias correction"] : [])].join(", ") || "none"],
    );
  }
  pairs.push(["written", files.join(", ")]);
  return [
    c.bold(`${r.model.file}: ${quantizeHeadline(r)}`),
    facts(pairs, c),
    ...(explain && r.layers.length > 0 ? ["", layers(r, c)] : []),
  ].join("\n");
}

function layers(r: QuantizeReport, c: Colors): string {
  const timed = r.layers.some((l) => l.floatMs !== null);
  const head = ["layer", "operator", "type", "range", "clipped", "weights dB", "result dB", "alone dB"];
  const rows = r.layers.map((l) => [
    l.node,
    l.op,
    l.precision === "int8" ? "INT8" : `fp32${l.reason ? ` (${l.reason})` : ""}`,
    l.range ? `${significant(l.range.low)}..${significant(l.range.high)}` : "",
    l.saturatedShare === null ? "" : formatPercent(l.saturatedShare, 3),
    decibels(l.weightDb),
    decibels(l.valueDb),
    decibels(l.harmDb),
    ...(timed
      ? [l.floatMs === null ? "" : formatMs(l.floatMs), l.integerMs === null ? "" : formatMs(l.integerMs)]
      : []),
  ]);
  return table([...head, ...(timed ? ["fp32", "INT8"] : [])], rows, c, ["left", "left", "left", "right"]);
}
