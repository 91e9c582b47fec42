/** What `fit` and `validate` found, for the terminal. */

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
  latencyAt,
} from "../report/index.js";
import type { Sustained } from "../sustain.js";
import type { Validation } from "../validate.js";
import type { Colors } from "./colors.js";
import { facts, table } from "./tables.js";

const percentChange = (before: number, after: number): string => {
  if (before === 0) return "";
  const percent = (after / before - 1) * 100;
  return `${percent > 0 ? "+" : ""}${percent.toFixed(0)} %`;
};

const known = (ms: number | null): string => (ms === null ? "not known" : formatMs(ms));

/** The result of `fit`: headline, before and after, the budget. Warnings were shown when they arose. */
export function fitSummary(r: FitReport, files: readonly string[], c: Colors): string {
  const { original: a, fitted: b, budget, settings } = r;
  const row = (name: string, pick: (m: ModelFigures) => number | null, format: (v: number) => string): string[][] => {
    const [before, after] = [pick(a), pick(b)];
    if (before === null || after === null) return [];
    return [[name, format(before), format(after), percentChange(before, after)]];
  };
  const predicted = r.latencySource === "predicted";
  const rows: string[][] = [
    ...row(predicted ? "latency p50, predicted" : "latency p50", (m) => m.latencyMs.p50, formatMs),
    ...row("latency p95", (m) => m.latencyMs.p95, formatMs),
    ...row("latency min", (m) => m.latencyMs.min, formatMs),
    ...row("first run", (m) => m.firstRunMs, formatMs),
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
    ...row("MACs", (m) => m.macs, formatCount),
    ...row("parameters", (m) => m.params, formatCount),
    ...row("file", (m) => m.bytes, formatBytes),
    ...row("peak activations", (m) => m.peakActivationBytes, formatBytes),
  );
  const threads = `${r.runtime.threads} ${r.runtime.threads === 1 ? "thread" : "threads"}`;
  const latency = latencyAt(b, budget.percentile);
  const verdict = predicted ? (budget.met ? "met by the table" : "missed by the table") : budget.met ? "met" : "missed";
  const [low, high] = r.speedup.interval.map(formatRatio);
  const off = r.prediction.errorPct;
  const left = r.layers.filter((l) => l.widthAfter !== 0);
  const int8 = left.filter((l) => l.precision === "int8").length;
  const cut = r.groups.filter((g) => g.widthAfter > 0 && g.widthAfter < g.widthBefore).length;
  const gone = r.layers.length - left.length;
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
          `${budget.text} = ${formatMs(budget.ms)} at ${budget.percentile}${settings.paced === null ? "" : `, paced at ${settings.paced}`}: ${formatMs(latency)} ${r.latencySource}, ${budget.met ? c.green(verdict) : c.red(verdict)}`,
        ],
        [
          "speed-up",
          predicted
            ? `${formatRatio(r.speedup.ratio)}, predicted (${low} to ${high} by the table's own error)`
            : `${formatRatio(r.speedup.ratio)} (95 % interval ${low} to ${high}, ${b.latencyMs.n} interleaved samples each)`,
        ],
        ...(off === null
          ? []
          : [
              [
                "predicted",
                `${formatMs(r.prediction.correctedMs)} (${off > 0 ? "+" : ""}${off.toFixed(1)} % off)`,
              ] as const,
            ]),
        [
          "changed",
          `${cut} of ${r.groups.length} channel groups narrower, ${gone > 0 ? `${gone} of ${r.layers.length} layers left out, ` : ""}${int8} of ${left.length} layers in INT8`,
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

/** The result of `validate`: one column per model. */
export function validationSummary(v: Validation, c: Colors): string {
  const { device, models } = v;
  const { runtime } = device;
  const row = (name: string, show: (m: Validation["models"][number]) => string) => [name, ...models.map(show)];
  const rows = [
    ...(models.some((m) => m.accuracy)
      ? [row("accuracy, top-1", (m) => (m.accuracy ? formatPercent(m.accuracy.top1) : "not known"))]
      : []),
    ...(models.some((m) => m.host)
      ? [
          ...(models.some((m) => m.host?.accuracy)
            ? [
                row("the same on this machine", (m) =>
                  m.host?.accuracy ? formatPercent(m.host.accuracy.host) : "not known",
                ),
              ]
            : []),
          row("answers as this machine", (m) =>
            m.host ? `${m.host.images - m.host.differing} of ${m.host.images}` : "",
          ),
        ]
      : []),
    ...(["p50", "p90", "p95", "min", "mean", "std"] as const).map((k) =>
      row(`latency ${k}`, (m) => known(m.latencyMs[k])),
    ),
    row("latency p99", (m) => (m.latencyMs.p99 === null ? "n too small" : formatMs(m.latencyMs.p99))),
    row("p50, 95 % interval", (m) => m.latencyMs.p50Interval.map(formatMs).join(" to ")),
    row("samples", (m) => String(m.latencyMs.n)),
    row("first run", (m) => known(m.firstRunMs)),
    row("session creation", (m) => known(m.initMs)),
    row("MACs", (m) => formatCount(m.macs)),
    row("parameters", (m) => formatCount(m.params)),
    row("file", (m) => formatBytes(m.bytes)),
    row("peak activations", (m) => formatBytes(m.peakActivationBytes)),
    row("peak memory", (m) => (m.peakMemoryBytes === null ? "not known" : formatBytes(m.peakMemoryBytes))),
    row("output check, largest error", (m) => m.golden.maxAbsError.toExponential(1)),
  ];
  const agreement = models[1]?.agreement;
  const compared: (readonly [string, string])[] = [];
  if (v.speedup) {
    const { ratio, interval } = v.speedup;
    compared.push([
      "speed-up",
      `${formatRatio(ratio)} (95 % interval ${formatRatio(interval[0])} to ${formatRatio(interval[1])})`,
    ]);
  }
  if (agreement) {
    if (agreement.top1 !== null) {
      compared.push(["same answer", `${formatPercent(agreement.top1)} of ${agreement.samples} samples`]);
    }
    for (const o of agreement.outputs) {
      const sqnr = o.sqnrDb === null ? "identical" : `SQNR ${o.sqnrDb.toFixed(1)} dB`;
      compared.push([o.name, `cosine ${o.cosine.toFixed(5)}, ${sqnr}`]);
    }
  }
  const threads = `${runtime.threads} ${runtime.threads === 1 ? "thread" : "threads"}`;
  const pace = v.pacedMs === null ? [] : [c.dim(`one call per ${formatMs(v.pacedMs)}`)];
  return [
    c.bold(`${device.hardware.cpu}, ${threads}, ${runtime.package} ${runtime.version} (${runtime.provider})`),
    ...pace,
    ...(v.data ? [c.dim(`${v.data.name}, ${v.data.images} test images`)] : []),
    "",
    table(["", ...models.map((m) => m.file)], rows, c),
    ...(compared.length ? ["", facts(compared, c)] : []),
    ...(v.sustained ? ["", sustainedSummary(v.sustained, c)] : []),
  ].join("\n");
}

/** Minute by minute, and the slope. */
function sustainedSummary(s: Sustained, c: Colors): string {
  const rows = s.minutes.map((m) => [
    String(m.minute + 1),
    formatMs(m.p50),
    formatMs(m.p90),
    formatMs(m.referenceMs),
    m.temperatureC === null ? "not known" : `${m.temperatureC.toFixed(0)} °C`,
    String(m.samples),
  ]);
  const slope = (percent: number) => `${percent >= 0 ? "+" : ""}${percent.toFixed(2)} % per minute`;
  return [
    table(["minute", "p50", "p90", "reference kernel", "temperature", "samples"], rows, c),
    facts(
      [
        ["slope of the median", slope(s.slopePctPerMinute)],
        ["of the reference kernel", slope(s.referenceSlopePctPerMinute)],
        ["last over first minute", formatRatio(s.lastOverFirst)],
        ...(s.intervalMs === null ? [] : [["frames missed", String(s.missedFrames)] as const]),
      ],
      c,
    ),
  ].join("\n");
}
