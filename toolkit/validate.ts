/** Speed and accuracy of one model, or of two side by side, on a device. */
import type { DeviceFacts, Ratio } from "../runners/index.js";
import { UsageError } from "./graph/errors.js";
import { compareWithHost, differenceFrom, type HostComparison } from "./hostComparison.js";
import {
  type Contestant,
  conditionsOf,
  type Evaluation,
  evaluateOn,
  feedsFor,
  type Golden,
  goldenRun,
  oneCall,
  openDevice,
  peakMemoryOf,
  ratioOf,
  shownOn,
  timeTogether,
} from "./onDevice.js";
import type { ValidateOptions } from "./options.js";
import { parseDuration, parsePace } from "./pace.js";
import type { ModelFigures } from "./report/index.js";
import { agreementOf, figures } from "./reportOf.js";
import { imageBatches, noiseBatches, openSubject, remarksOn, type Subject } from "./subject.js";
import { type Sustained, sustain } from "./sustain.js";

export interface ValidatedModel extends ModelFigures {
  file: string;
  sha256: string;
  golden: Golden;
  /** How this machine's own runtime answers the same images; null without data, and where the device is that very runtime. */
  host: HostComparison | null;
}

export interface Validation {
  device: DeviceFacts;
  /** In the order they were given. The second one's `agreement` is against the first. */
  models: ValidatedModel[];
  /** How many times faster the second model is than the first; null for a single model. */
  speedup: Ratio | null;
  /** Milliseconds per frame where calls were paced; null for calls in a row. */
  pacedMs: number | null;
  /** The last model over many minutes; null unless asked for. */
  sustained: Sustained | null;
  /** Name of the data set, with the number of test images run; null without data. */
  data: { name: string; images: number } | null;
  warnings: string[];
}

/** Rounding alone moves the best class of some images in a thousand, most of all in INT8. */
const WORTH_SAYING = 0.01;

/**
 * Golden check, interleaved latency, and accuracy over the test part on the device.
 * Throws UsageError unless one or two models are given, and what reading, data and device throw.
 */
export async function validate(o: ValidateOptions): Promise<Validation> {
  if (o.models.length < 1 || o.models.length > 2) {
    throw new UsageError("models", `${o.models.length} models were given`, {
      hint: "validate takes one model, or two to compare",
    });
  }
  const intervalMs = o.paced === undefined ? undefined : parsePace(o.paced);
  const minutes = o.sustain === undefined ? undefined : parseDuration(o.sustain);
  const pace = intervalMs === undefined ? {} : { intervalMs };
  const warnings: string[] = [];
  const warn = (text: string): void => {
    warnings.push(text);
    o.onWarning?.(text);
  };
  const subjects: Subject[] = [];
  for (const model of o.models) subjects.push(await openSubject({ ...o, model, integers: true }));
  for (const text of new Set(subjects.flatMap(remarksOn))) warn(text);
  const device = await openDevice(o, subjects[0]);
  try {
    const calls = await Promise.all(subjects.map((s) => firstCall(s, o.seed ?? 1)));
    const goldens: Golden[] = [];
    for (const [i, s] of subjects.entries()) goldens.push(await goldenRun(device, s, s.bytes, calls[i]));
    const contestants: Contestant[] = subjects.map((s, i) => ({ model: s.bytes, feeds: feedsFor(s, calls[i]) }));
    const timed = await timeTogether(device, contestants, {
      minSamples: 200,
      minTimeMs: 3000,
      ...pace,
      seed: o.seed ?? 1,
      signal: o.signal,
    });
    const evaluations: (Evaluation | undefined)[] = [];
    const models: ValidatedModel[] = [];
    for (const [i, s] of subjects.entries()) {
      for (const text of conditionsOf(s.file, timed[i])) warn(text);
      const evaluation = s.data
        ? await evaluateOn(device, s, s.bytes, s.data.test, {
            ...o,
            stage: `evaluating ${s.file}`,
            onProgress: shownOn(device, s.file, o.onProgress),
          })
        : undefined;
      evaluations.push(evaluation);
      const host = evaluation ? await compareWithHost(device.facts, s, evaluation, o) : null;
      if (host && host.differing > WORTH_SAYING * host.images) warn(differenceFrom(device.facts, s.file, host));
      const peakMemoryBytes = await peakMemoryOf(device, s, s.bytes, calls[i]);
      const own = figures(s.graph, s.bytes.length, { timed: timed[i], evaluation, peakMemoryBytes });
      models.push({ file: s.file, sha256: s.sha256, golden: goldens[i], host, ...own });
    }
    const [first, second] = evaluations;
    if (first && second && sameOutputs(subjects)) models[1].agreement = agreementOf(subjects[0], first, second);
    else if (first && second)
      warn("the two models have outputs of different names: they are not compared with each other");
    const data = subjects[0].data;
    const { model, feeds } = contestants[contestants.length - 1];
    const { onProgress, signal } = o;
    const sustained =
      minutes === undefined
        ? null
        : await sustain(device.runner, model, feeds, { minutes, ...pace, onProgress, signal });
    return {
      device: device.facts,
      models,
      speedup: timed.length === 2 ? ratioOf(timed[0], timed[1]) : null,
      pacedMs: intervalMs ?? null,
      sustained,
      data: data ? { name: data.name, images: Math.min(o.limit ?? data.test.count, data.test.count) } : null,
      warnings,
    };
  } finally {
    await device.close();
  }
}

async function firstCall(s: Subject, seed: number) {
  if (!s.data) return oneCall(s, noiseBatches(s, 1, seed)[0]);
  const count = Math.min(s.batchSize, s.data.test.count);
  const { tensors } = await imageBatches(
    s,
    s.data.test,
    Array.from({ length: count }, (_, i) => i),
  );
  return oneCall(s, tensors[0]);
}

const sameOutputs = ([a, b]: readonly Subject[]): boolean =>
  a.graph.outputs.map((v) => v.name).join() === b.graph.outputs.map((v) => v.name).join();
