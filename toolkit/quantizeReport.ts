/** Puts what a quantisation found into the form of its report. */
import type { Ratio } from "../runners/index.js";
import { type Graph, opsetOf } from "./graph/graph.js";
import type { Judge } from "./judge.js";
import type { OpenDevice, Timed } from "./onDevice.js";
import type { QuantizeModelOptions } from "./options.js";
import type { LayerExplanation, QuantizeResult } from "./quantize/index.js";
import { methodName, type QuantizeSettings } from "./quantizeSettings.js";
import type { QuantizeReport } from "./report/index.js";
import type { Subject } from "./subject.js";
import { toolVersion } from "./version.js";

/** What came of a quantisation. */
export interface Answer {
  kind: QuantizeReport["answer"];
  graph: Graph;
  why: string | null;
  /** The float graph that names refer to. */
  prepared: Graph;
  result?: QuantizeResult;
  layers: (LayerExplanation & {
    reason: string | null;
    harmDb: number | null;
    floatMs: number | null;
    integerMs: number | null;
  })[];
  /** Calibration images. */
  images: number;
  keptFloat: ReadonlyMap<string, string>;
  judge?: Judge;
  /** Points lost on the judging images. */
  drop?: number;
  latency?: { float: Timed; answer: Timed; ratio: Ratio };
  test?: QuantizeReport["test"];
}

export interface QuantizeReportInput {
  o: QuantizeModelOptions;
  subject: Subject;
  device: OpenDevice;
  answer: Answer;
  settings: QuantizeSettings;
  model: Uint8Array;
  seconds: number;
  warnings: readonly string[];
}

/** JSON has no infinity: a ratio of equal values is null. */
const finite = (db: number | null): number | null => (db !== null && Number.isFinite(db) ? db : null);

export function quantizeReportOf(i: QuantizeReportInput): QuantizeReport {
  const { o, subject, device, answer, settings } = i;
  const { result, judge, latency } = answer;
  const { hardware, runtime } = device.facts;
  return {
    schemaVersion: 1,
    tool: { name: "edgefit", version: toolVersion() },
    date: new Date().toISOString(),
    model: { file: subject.file, sha256: subject.sha256 },
    answer: answer.kind,
    why: answer.why,
    settings: {
      format: settings.format ?? "qdq",
      activations: o.activations ?? "u8",
      symmetric: settings.symmetric ?? false,
      weights: o.weights ?? "per-channel",
      reduceRange: settings.reduceRange,
      ranges: result ? methodName(result.ranges.method) : "none",
      quality: o.quality ?? "balanced",
      repairs: [...(result?.repairs ?? [])],
      rounding: result?.placement.rounded ? settings.rounding : "nearest",
      biasCorrected: result?.biasCorrected ?? false,
      images: answer.images,
      opset: opsetOf(answer.graph),
      seed: o.seed ?? 1,
    },
    bytes: { before: subject.bytes.length, after: i.model.length },
    outputs: Object.entries(result?.sqnrDb ?? {}).map(([name, db]) => ({ name, sqnrDb: finite(db) })),
    candidates: (result?.candidates ?? []).map((c) => ({
      ranges: methodName(c.method),
      rounded: c.rounded,
      biasCorrected: c.biasCorrected,
      sqnrDb: finite(c.sqnrDb),
    })),
    drop:
      judge && answer.drop !== undefined
        ? { measures: judge.measures, points: answer.drop, images: judge.images, allowed: o.maxDrop ?? null }
        : null,
    test: answer.test ?? null,
    device:
      o.device === undefined
        ? null
        : {
            id: device.facts.id,
            cpu: hardware.cpu,
            runtime: `${runtime.package} ${runtime.version}, ${runtime.threads} thread(s)`,
          },
    latency: latency
      ? {
          floatMs: latency.float.latency.p50,
          answerMs: latency.answer.latency.p50,
          ratio: latency.ratio.ratio,
          interval: [latency.ratio.interval[0], latency.ratio.interval[1]],
        }
      : null,
    layers: answer.layers.map((l) => ({
      ...l,
      weightDb: finite(l.weightDb),
      valueDb: finite(l.valueDb),
      harmDb: finite(l.harmDb),
      // The table subtracts what profiling adds, which can leave slightly less than nothing.
      floatMs: l.floatMs === null ? null : Math.max(0, l.floatMs),
      integerMs: l.integerMs === null ? null : Math.max(0, l.integerMs),
    })),
    seconds: i.seconds,
    warnings: [...i.warnings],
  };
}
