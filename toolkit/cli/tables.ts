/** Results as tables for the terminal. Pure text. */
import Table from "cli-table3";
import type { TrainedEyeState } from "../../samples/driver-monitoring/training.js";
import type { Inspection } from "../inspect.js";
import type { DeviceProfileResult } from "../profileDevice.js";
import type { FitReport, ModelFigures } from "../report/index.js";
import {
  formatBytes,
  formatCount,
  formatMs,
  formatPercent,
  formatPoints,
  formatRatio,
  formatSeconds,
  headline,
} from "../report/index.js";
import type { Colors } from "./colors.js";

type Align = "left" | "right";

/** A table without vertical lines; `align` per column, the last one repeats. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  colors: Colors,
  align: readonly Align[] = ["left", "right"],
): string {
  const t = new Table({
    head: head.map((h) => colors.bold(h)),
    colAligns: head.map((_, i) => align[Math.min(i, align.length - 1)]),
    style: { head: [], border: [], "padding-left": 1, "padding-right": 1 },
    chars: {
      top: "",
      "top-mid": "",
      "top-left": "",
      "top-right": "",
      bottom: "",
      "bottom-mid": "",
      "bottom-left": "",
      "bottom-right": "",
      left: "",
      "left-mid": "",
      right: "",
      "right-mid": "",
      middle: "",
      mid: "",
      "mid-mid": "",
    },
  });
  t.push(...rows.map((r) => [...r]));
  return t
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** Label and value pairs, values aligned. */
export function facts(pairs: readonly (readonly [string, string])[], colors: Colors): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => ` ${colors.dim(name.padEnd(width))}  ${value}`).join("\n");
}

const percentChange = (before: number, after: number): string => {
  if (before === 0) return "";
  const percent = (after / before - 1) * 100;
  return `${percent > 0 ? "+" : ""}${percent.toFixed(0)} %`;
};

/** The result of `fit`: headline, before and after, the budget. Warnings were shown when they arose. */
export function fitSummary(r: FitReport, files: readonly string[], c: Colors): string {
  const { original: a, fitted: b, budget, settings } = r;
  const row = (name: string, pick: (m: ModelFigures) => number, format: (v: number) => string) => [
    name,
    format(pick(a)),
    format(pick(b)),
    percentChange(pick(a), pick(b)),
  ];
  const rows: string[][] = [
    row("latency p50", (m) => m.latencyMs.p50, formatMs),
    row("latency p95", (m) => m.latencyMs.p95, formatMs),
    row("latency min", (m) => m.latencyMs.min, formatMs),
    row("first run", (m) => m.firstRunMs, formatMs),
  ];
  if (a.accuracy && b.accuracy) {
    rows.unshift([
      "accuracy, top-1",
      formatPercent(a.accuracy.top1),
      formatPercent(b.accuracy.top1),
      formatPoints(b.accuracy.top1 - a.accuracy.top1),
    ]);
  }
  if (b.agreement) {
    if (b.agreement.top1 !== null) rows.push(["same top class", "", formatPercent(b.agreement.top1), ""]);
    for (const o of b.agreement.outputs) {
      rows.push([
        `${o.name}: cosine, SQNR`,
        "",
        `${o.cosine.toFixed(4)}, ${o.sqnrDb === null ? "identical" : `${o.sqnrDb.toFixed(1)} dB`}`,
        "",
      ]);
    }
  }
  rows.push(
    row("MACs", (m) => m.macs, formatCount),
    row("parameters", (m) => m.params, formatCount),
    row("file", (m) => m.bytes, formatBytes),
    row("peak activations", (m) => m.peakActivationBytes, formatBytes),
  );
  const threads = `${r.runtime.threads} ${r.runtime.threads === 1 ? "thread" : "threads"}`;
  const measured = b.latencyMs[budget.percentile];
  const int8 = r.layers.filter((l) => l.precision === "int8").length;
  const cut = r.groups.filter((g) => g.widthAfter < g.widthBefore).length;
  return [
    "",
    c.bold(headline(r)),
    c.dim(
      `${r.model.file} on ${r.device.cpu}, ${threads}, ${r.runtime.package} ${r.runtime.version} (${r.runtime.provider})`,
    ),
    "",
    table(["", "original", "fitted", "change"], rows, c),
    "",
    facts(
      [
        [
          "budget",
          `${budget.text} = ${formatMs(budget.ms)} at ${budget.percentile}: ${formatMs(measured)} measured, ${budget.met ? c.green("met") : c.red("missed")}`,
        ],
        [
          "speed-up",
          `${formatRatio(r.speedup.ratio)} (95 % interval ${formatRatio(r.speedup.interval[0])} to ${formatRatio(r.speedup.interval[1])}, ${b.latencyMs.n} interleaved samples each)`,
        ],
        [
          "predicted",
          `${formatMs(r.prediction.correctedMs)} (${r.prediction.errorPct > 0 ? "+" : ""}${r.prediction.errorPct.toFixed(1)} % off)`,
        ],
        [
          "changed",
          `${cut} of ${r.groups.length} channel groups narrower, ${int8} of ${r.layers.length} layers in INT8`,
        ],
        ...(settings.data && settings.preprocessing
          ? [["images", `${settings.data.name}, preprocessing: ${settings.preprocessing.source}`] as const]
          : []),
        ["took", formatSeconds(Object.values(r.seconds).reduce((sum, s) => sum + s, 0))],
        ...files.map((f, i) => [i === 0 ? "written" : "", f] as const),
      ],
      c,
    ),
  ].join("\n");
}

const dimsText = (dims: readonly (number | string | null)[] | undefined): string =>
  dims === undefined ? "?" : `[${dims.map((d) => d ?? "?").join(", ")}]`;

/** The result of `inspect`: costs, then what can be pruned, then what cannot and why. */
export function inspectionSummary(file: string, m: Inspection, o: { ops: boolean }, c: Colors): string {
  const opsets = Object.entries(m.opsets).map(([domain, version]) => `${domain} ${version}`);
  const value = (v: Inspection["inputs"][number]) => `${v.name} ${v.elemType} ${dimsText(v.dims)}`;
  const counts = new Map<string, { calls: number; macs: number; params: number }>();
  for (const n of m.nodes) {
    const sum = counts.get(n.op) ?? { calls: 0, macs: 0, params: 0 };
    counts.set(n.op, { calls: sum.calls + 1, macs: sum.macs + n.macs, params: sum.params + n.params });
  }
  const operators = [...counts].map(([op, s]) => [
    op in m.unknownOps ? `${op} (unknown)` : op,
    String(s.calls),
    formatCount(s.macs),
    formatCount(s.params),
  ]);
  const calls = m.nodes.map((n) => [n.name, n.op, dimsText(n.outputDims), formatCount(n.macs), formatCount(n.params)]);
  const frozen = m.frozen.map((g) => [shorten(g.producers), String(g.width), g.reason]);
  const groups = m.groups.map((g) => [shorten(g.producers), String(g.width), shorten(g.consumers)]);
  return [
    c.bold(file),
    facts(
      [
        ["opsets", `${opsets.join(", ")}, IR version ${m.irVersion}${m.producer ? `, by ${m.producer}` : ""}`],
        ...m.inputs.map((v, i) => [i === 0 ? "inputs" : "", value(v)] as const),
        ...m.outputs.map((v, i) => [i === 0 ? "outputs" : "", value(v)] as const),
        ["MACs", formatCount(m.totals.macs)],
        ["parameters", `${formatCount(m.totals.params)}, ${formatBytes(m.totals.parameterBytes)}`],
      ],
      c,
    ),
    "",
    o.ops
      ? table(["call", "operator", "output", "MACs", "parameters"], calls, c, ["left", "left", "left", "right"])
      : table(["operator", "calls", "MACs", "parameters"], operators, c),
    "",
    c.bold(`${m.groups.length} channel groups can be pruned`),
    ...(groups.length ? [table(["made by", "channels", "read by"], groups, c, ["left", "right", "left"])] : []),
    "",
    c.bold(`${m.frozen.length} cannot`),
    ...(frozen.length ? [table(["made by", "channels", "why"], frozen, c, ["left", "right", "left"])] : []),
  ].join("\n");
}

/** At most three names. */
const shorten = (names: readonly string[]): string =>
  names.length <= 3 ? names.join(", ") : `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;

/** The result of `train`: how accurate the model is on each kind of crop. */
export function trainingSummary(t: TrainedEyeState, out: string, c: Colors): string {
  const { evaluation: e } = t;
  const rows = [
    ["all", e.accuracy, e.count, e.total] as const,
    ...Object.entries(e.kinds).map(([name, k]) => [name, k.accuracy, k.count, k.confusion] as const),
  ].map(([name, accuracy, count, k]) => [
    name,
    String(count),
    formatPercent(accuracy),
    `${k.closedAsOpen} of ${k.closedAsClosed + k.closedAsOpen}`,
    `${k.openAsClosed} of ${k.openAsClosed + k.openAsOpen}`,
  ]);
  return [
    table(["held-out crops", "count", "accuracy", "closed taken for open", "open taken for closed"], rows, c),
    "",
    facts(
      [
        ["took", formatSeconds(t.seconds)],
        ["written", `${out}/eye-state.onnx`],
      ],
      c,
    ),
  ].join("\n");
}

/** The result of `profile`: what each kernel costs at full width, and how well the table predicts nets that it has not seen. */
export function profileSummary(file: string, p: DeviceProfileResult, c: Colors): string {
  const { device, table: t } = p;
  const precisions = (["fp32", "int8"] as const).filter((q) => p.referenceMs[q] !== undefined);
  const both = precisions.length === 2;
  const cost = (v: number | undefined) => (v === undefined ? "" : v.toFixed(4));
  const gain = ({ fp32, int8 }: DeviceProfileResult["referenceMs"]) =>
    fp32 === undefined || int8 === undefined || !(int8 > 0) ? "" : formatRatio(fp32 / int8);
  const row = (name: string, ops: string, ms: DeviceProfileResult["referenceMs"]) => [
    name,
    ops,
    ...precisions.map((q) => cost(ms[q])),
    ...(both ? [gain(ms)] : []),
  ];
  const rows = p.kernels.map((k) => row(k.id, k.ops.join(" + "), k.ms));
  const head = ["kernel", "operators", ...precisions.map((q) => `${q}, ms`), ...(both ? ["INT8 gain"] : [])];
  const quality = precisions.flatMap((q) => {
    const found = t.quality[q];
    if (!found) return [];
    const { n, medianErrorPct, p90ErrorPct, drifting } = found;
    const drift = drifting > 0 ? `; the speed drifted during ${drifting} measurements` : "";
    const error = `median ${medianErrorPct.toFixed(1)} %, 90th percentile ${p90ErrorPct.toFixed(1)} %`;
    return [[`error, ${q}`, `${error} on ${n} random sub-nets, each left out in turn${drift}`] as const];
  });
  const threads = `${device.runtime.threads} ${device.runtime.threads === 1 ? "thread" : "threads"}`;
  return [
    c.bold(`${file} on ${device.hardware.cpu}, ${threads}`),
    "",
    table(head, [...rows, row("whole model", "", p.referenceMs)], c, ["left", "left", "right"]),
    "",
    facts(
      [
        ["device", `${device.id}, ${device.runtime.package} ${device.runtime.version}, ${device.runtime.provider}`],
        ...quality,
        [
          "table",
          `${t.rows.length} rows, ${p.cached ? "read from the cache" : "measured"} in ${formatSeconds(p.seconds)}`,
        ],
      ],
      c,
    ),
  ].join("\n");
}
