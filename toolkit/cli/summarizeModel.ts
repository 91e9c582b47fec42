/** What `inspect`, `import`, `profile` and `train` found, for the terminal. */
import type { TrainedEyeState } from "../../samples/driver-monitoring/training.js";
import type { Inspection } from "../inspect.js";
import type { DeviceProfileResult } from "../profileDevice.js";
import { formatBytes, formatCount, formatPercent, formatRatio, formatSeconds } from "../report/index.js";
import type { Colors } from "./colors.js";
import { facts, table } from "./tables.js";

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
  const isRenormalised = m.groups.some((g) => g.renormalisedBy);
  const groups = m.groups.map((g) => [
    shorten(g.producers),
    String(g.width),
    shorten(g.consumers),
    ...(isRenormalised ? [shorten(g.renormalisedBy ?? [])] : []),
  ]);
  const headings = ["made by", "channels", "read by", ...(isRenormalised ? ["statistics over what is left"] : [])];
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
    ...(groups.length ? [table(headings, groups, c, ["left", "right", "left", "left"])] : []),
    "",
    c.bold(`${m.frozen.length} cannot`),
    ...(frozen.length ? [table(["made by", "channels", "why"], frozen, c, ["left", "right", "left"])] : []),
  ].join("\n");
}

/** The result of `import`: what was written. */
export function importSummary(file: string, m: Inspection, c: Colors): string {
  const value = (v: Inspection["inputs"][number]) => `${v.name} ${v.elemType} ${dimsText(v.dims)}`;
  return facts(
    [
      ["written", file],
      ...m.inputs.map((v, i) => [i === 0 ? "inputs" : "", value(v)] as const),
      ...m.outputs.map((v, i) => [i === 0 ? "outputs" : "", value(v)] as const),
      ["operators", formatCount(m.totals.nodes)],
      ["parameters", `${formatCount(m.totals.params)}, ${formatBytes(m.totals.parameterBytes)}`],
      ["channel groups", `${m.groups.length} can be pruned, ${m.frozen.length} cannot`],
    ],
    c,
  );
}

/** At most three names. */
const shorten = (names: readonly string[]): string =>
  names.length <= 3 ? names.join(", ") : `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;

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
