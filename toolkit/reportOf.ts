/** Puts what a fit has measured into the form of report.json, and the short of it into the model's metadata. */
import type { DeviceFacts, Ratio } from "../runners/index.js";
import type { Budget } from "./budget.js";
import { cloneGraph, type Graph, typeOf } from "./graph/graph.js";
import { peakActivationBytes } from "./graph/liveness.js";
import type { Tensor } from "./graph/tensor.js";
import type { LatencyModel } from "./latency/index.js";
import { classScores, type Evaluation, type Golden, type Timed } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import { costsOf } from "./ops/costs.js";
import type { FitOptions } from "./options.js";
import { isCut, type Proposal } from "./propose.js";
import type { ChannelGroups, Widths } from "./prune/groups.js";
import { agreement, Similarity } from "./quantize/index.js";
import {
  type Agreement,
  type Candidate,
  type FitReport,
  type GroupChange,
  type LayerChange,
  latencyAt,
  type ModelFigures,
} from "./report/index.js";
import type { Subject } from "./subject.js";
import { toolVersion } from "./version.js";

/** A repaired proposal in its precision. */
export interface Weighed {
  proposal: Proposal;
  /** Float, repaired; what fine-tuning starts from. */
  repaired: Graph;
  /** In the proposal's precision. */
  graph: Graph;
  /** Relative squared difference of its outputs from the original's on held-back images. */
  error: number;
  outputs: readonly Record<string, Tensor>[];
  reference: readonly Record<string, Tensor>[];
  /** Layers left in float, with the reason. */
  keptFloat: ReadonlyMap<string, "not-faster" | "not-safe">;
}

/** A latency that was not measured: the table's median and its range. */
export interface PredictedLatency {
  predicted: true;
  latency: ModelFigures["latencyMs"];
}

export interface Judged {
  timed: Timed | PredictedLatency;
  evaluation: Evaluation | undefined;
  peakMemoryBytes: number | null;
}

export interface ReportInput {
  options: FitOptions & { seed: number; percentile: "p50" | "p95" };
  budget: Budget;
  limitMs: number;
  subject: Subject;
  groups: ChannelGroups;
  facts: DeviceFacts;
  /** Null where the device was not there. */
  golden: Golden | null;
  latency: LatencyModel;
  chosen: Weighed;
  weighed: readonly Weighed[];
  original: Judged;
  fitted: Judged;
  speedup: Ratio;
  calibrationImages: number;
  seconds: Record<string, number>;
  warnings: readonly string[];
}

export interface FitResult {
  report: FitReport;
  /** The fitted ONNX model. */
  model: Uint8Array;
}

/** The report, and the fitted model with its metadata. */
export function assembleReport(i: ReportInput): FitResult {
  const { subject, facts, chosen, options } = i;
  const model = writeModel(withMetadata(i));
  const original = figures(subject.graph, subject.bytes.length, i.original);
  const fitted: ModelFigures = {
    // Costs are counted on the float net: a quantised layer does the same multiplications in another type.
    ...figures(chosen.proposal.cut, model.length, i.fitted),
    agreement:
      i.original.evaluation && i.fitted.evaluation
        ? agreementOf(subject, i.original.evaluation, i.fitted.evaluation)
        : null,
  };
  const { prediction } = chosen.proposal;
  const measured = fitted.latencyMs.p50;
  const predicted = "predicted" in i.fitted.timed;
  // The table knows the machine at the pace it had while it was profiled; the original shows today's.
  const whole = new Map(i.groups.prunable.map((g) => [g.id, g.width]));
  const correctedMs = (prediction.ms * original.latencyMs.p50) / i.latency.msAt(whole, "fp32").ms;
  const report: FitReport = {
    schemaVersion: 1,
    tool: { name: "edgefit", version: toolVersion() },
    date: new Date().toISOString(),
    model: { file: subject.file, sha256: subject.sha256 },
    device: {
      id: facts.id,
      kind: facts.kind,
      cpu: facts.hardware.cpu,
      cores: facts.hardware.cores,
      isa: [...facts.hardware.isa],
      memoryBytes: facts.hardware.memoryBytes,
      os: `${facts.os.platform} ${facts.os.arch}`,
      emulated: facts.emulated,
      conditions: facts.conditions,
    },
    runtime: { ...facts.runtime, node: facts.runtime.node ?? null, clockMs: facts.clockMs },
    latencySource: predicted ? "predicted" : "measured",
    golden: i.golden,
    budget: {
      text: i.budget.text,
      ms: i.limitMs,
      percentile: options.percentile,
      met: latencyAt(fitted, options.percentile) <= i.limitMs,
    },
    original,
    fitted,
    speedup: { ratio: i.speedup.ratio, interval: [...i.speedup.interval] as [number, number] },
    prediction: {
      tableMs: prediction.tableMs,
      correctedMs,
      errorPct: predicted ? null : (100 * (correctedMs - measured)) / measured,
    },
    candidates: candidatesOf(i, original, fitted),
    layers: layersOf(i),
    groups: groupsOf(i.groups, chosen.proposal.widths),
    seconds: i.seconds,
    settings: settingsOf(i),
    warnings: [...i.warnings],
  };
  return { report, model };
}

function withMetadata(i: ReportInput): Graph {
  const { timed } = i.fitted;
  const { latency } = timed;
  const g = cloneGraph(i.chosen.graph);
  g.model.producerName = "edgefit";
  g.model.producerVersion = toolVersion();
  for (const [key, value] of [
    ["source_sha256", i.subject.sha256],
    ["tool", `edgefit ${toolVersion()}`],
    ["budget", `${i.budget.text} ${i.options.percentile}`],
    ["p50_ms", `${latency.p50.toFixed(4)}${"predicted" in timed ? " (predicted)" : ""}`],
    ...(latency.p95 === null ? [] : ([["p95_ms", latency.p95.toFixed(4)]] as const)),
    ["device", i.facts.id],
  ] as const) {
    g.model.metadata.set(`edgefit.${key}`, value);
  }
  return g;
}

/** Everything report.json says of one model, agreement aside. */
export function figures(g: Graph, bytes: number, j: Judged): ModelFigures {
  const { macs, params } = costsOf(g);
  return {
    latencyMs: { ...j.timed.latency, p50Interval: [...j.timed.latency.p50Interval] as [number, number] },
    initMs: "predicted" in j.timed ? null : j.timed.initMs,
    firstRunMs: "predicted" in j.timed ? null : j.timed.measurement.firstRunMs,
    accuracy: j.evaluation?.accuracy ?? null,
    agreement: null,
    macs,
    params,
    bytes,
    peakActivationBytes: peakActivationBytes(g),
    peakMemoryBytes: j.peakMemoryBytes,
  };
}

/** How closely the second evaluation's outputs follow the first's on the same images. */
export function agreementOf(s: Subject, original: Evaluation, fitted: Evaluation): Agreement {
  const samples = original.outputs.reduce((n, o) => n + (classScores(s, o)?.dims[0] ?? s.input.dims[0]), 0);
  return {
    samples,
    top1: topAgreement(s, original.outputs, fitted.outputs),
    outputs: s.graph.outputs.map(({ name }) => {
      const similarity = new Similarity();
      original.outputs.forEach((o, b) => {
        similarity.add(o[name].data as Float32Array, fitted.outputs[b][name].data as Float32Array);
      });
      const db = similarity.sqnrDb;
      return { name, cosine: Math.min(1, similarity.cosine), sqnrDb: Number.isFinite(db) ? db : null };
    }),
  };
}

/** Share of images with the same top class; null when the model gives no single vector of class scores. */
export function topAgreement(
  s: Subject,
  a: readonly Record<string, Tensor>[],
  b: readonly Record<string, Tensor>[],
): number | null {
  const [first] = a;
  const classes = first && classScores(s, first)?.dims[1];
  if (!classes) return null;
  const { name } = s.graph.outputs[0];
  const rows = (list: readonly Record<string, Tensor>[]) =>
    list.flatMap((o) => Array.from(o[name].data as Float32Array));
  return agreement(rows(a), rows(b), classes);
}

function candidatesOf(i: ReportInput, original: ModelFigures, fitted: ModelFigures): Candidate[] {
  const { percentile } = i.options;
  const out: Omit<Candidate, "onFront">[] = [
    {
      name: "original",
      latencyMs: latencyAt(original, percentile),
      measured: !("predicted" in i.original.timed),
      accuracy: original.accuracy?.top1 ?? null,
      agreement: 1,
      precision: "fp32",
      chosen: false,
    },
    ...i.weighed.map((w) => {
      const chosen = w.proposal === i.chosen.proposal;
      const cut = isCut(w.proposal);
      return {
        name: `${cut ? "cut" : "uncut"}, ${w.proposal.precision}`,
        latencyMs: chosen ? latencyAt(fitted, percentile) : w.proposal.measuredMs,
        measured: !("predicted" in i.fitted.timed),
        accuracy: chosen ? (fitted.accuracy?.top1 ?? null) : null,
        agreement: topAgreement(i.subject, w.reference, w.outputs) ?? Math.max(0, 1 - w.error),
        precision: w.proposal.precision,
        chosen,
      };
    }),
  ];
  const quality = (c: Omit<Candidate, "onFront">): number => c.agreement ?? 0;
  return out.map((c) => ({
    ...c,
    onFront: !out.some(
      (d) =>
        d !== c &&
        d.latencyMs <= c.latencyMs &&
        quality(d) >= quality(c) &&
        (d.latencyMs < c.latencyMs || quality(d) > quality(c)),
    ),
  }));
}

function layersOf(i: ReportInput): LayerChange[] {
  const { latency, chosen, groups, subject } = i;
  const { precision, widths, gone } = chosen.proposal;
  const full: Widths = new Map(groups.prunable.map((g) => [g.id, g.width]));
  const before = latency.layerMs(full, "fp32");
  const after = latency.layerMs(widths, precision, gone);
  const channels = (g: Graph, value: string): number | null => {
    const d = typeOf(g, value)?.dims?.[1];
    return typeof d === "number" ? d : null;
  };
  return latency.kernels.map((k) => ({
    name: k.id,
    op: k.ops.join(" + "),
    widthBefore: channels(subject.graph, k.output),
    widthAfter: gone.has(k.id) ? 0 : channels(chosen.proposal.cut, k.output),
    msBefore: Math.max(0, before.get(k.id) ?? 0),
    msAfter: Math.max(0, after.get(k.id) ?? 0),
    precision: precision === "int8" && !k.nodes.some((n) => chosen.keptFloat.has(n)) ? "int8" : "fp32",
    sqnrDb: null,
  }));
}

function groupsOf(groups: ChannelGroups, widths: Widths): GroupChange[] {
  return groups.groups.map((g) => ({
    id: g.id,
    producers: g.producers.map((p) => p.node),
    widthBefore: g.width,
    widthAfter: widths.get(g.id) ?? g.width,
    frozen: g.frozen ?? null,
  }));
}

function settingsOf(i: ReportInput): FitReport["settings"] {
  const { options, subject } = i;
  const { data, preprocessing } = subject;
  return {
    seed: options.seed,
    criterion: options.criterion ?? "reconstruction",
    int8: options.int8 ?? "auto",
    finetuneEpochs: options.finetune ?? 0,
    calibrationImages: i.calibrationImages,
    dims: { ...options.dims },
    paced: options.paced ?? null,
    data: data
      ? {
          name: data.name,
          trainImages: data.train.count,
          testImages: data.test.count,
          evaluatedImages: Math.min(options.limit ?? data.test.count, data.test.count),
          skipped: data.skipped.length,
        }
      : null,
    preprocessing: preprocessing
      ? { source: preprocessing.source, values: JSON.parse(JSON.stringify(preprocessing.values)) }
      : null,
  };
}
