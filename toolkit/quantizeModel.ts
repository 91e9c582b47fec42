/** The story of `quantize`: a float model and images become an INT8 model, or the reason why it had better stay float. */
import type { Dataset } from "./data/index.js";
import { UsageError } from "./graph/errors.js";
import { cloneGraph, type Graph } from "./graph/graph.js";
import { remarks } from "./graph/remarks.js";
import { type Judge, openJudge } from "./judge.js";
import { type LayerTime, layerTimes } from "./layerTimes.js";
import { feedsFor, type OpenDevice, oneCall, openDevice, ratioOf, type Timed, timeTogether } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import { costsOf } from "./ops/costs.js";
import type { QuantizeModelOptions } from "./options.js";
import { knapsack } from "./prune/allocate.js";
import {
  chooseByKnapsack,
  explainLayers,
  type ImageBatch,
  type NodeSensitivity,
  outputSqnrDb,
  placePrepared,
  prepareForQuantization,
  type QuantizeResult,
  quantizableNodes,
  quantize,
  quantizeWeightsOnly,
  sensitivity,
  worstDb,
} from "./quantize/index.js";
import { type Answer, quantizeReportOf } from "./quantizeReport.js";
import { checkNames, noIntegersBecause, type QuantizeSettings, refuseDynamic, settingsOf } from "./quantizeSettings.js";
import type { QuantizeReport } from "./report/index.js";
import { hasFixedBatch, imageBatches, openSubject, remarksOn, type Subject } from "./subject.js";

export interface QuantizedModel {
  /** The file's bytes: INT8, mixed, or float where that is the answer. */
  model: Uint8Array;
  report: QuantizeReport;
}

const DEFAULT_IMAGES = 512;
/** Training images behind those that calibrate, on which the drop is measured. */
const JUDGING_IMAGES = 1000;
/** INT8 must be this much faster than float to be the answer on a device. */
const WORTHWHILE = 1.03;
/** Without class scores: outputs nearer to float than this are near enough. */
const SAFE_DB = 20;

/**
 * Quantises a model. Throws UsageError for settings that exclude each other, and what reading, data, calibration and
 * device throw.
 */
export async function quantizeModel(o: QuantizeModelOptions): Promise<QuantizedModel> {
  if (o.dynamic) refuseDynamic();
  if (o.data === undefined && !o.weightOnly) {
    throw new UsageError("no-data", "ranges come from images, and none were given", {
      where: "--data",
      hint: "give --data FORMAT:PATH, or --weight-only, which needs none",
    });
  }
  const begin = performance.now();
  const { said: warnings, say: warn } = remarks(o.onWarning);
  const subject = await openSubject(o);
  checkNames(prepareForQuantization(subject.graph), o.keepFloat ?? []);
  for (const text of remarksOn(subject)) warn(text);
  const device = await openDevice({ ...o, device: o.device ?? "local" }, subject);
  try {
    const run = new Run(o, subject, device, settingsOf(o, device.facts), warn);
    const found = o.weightOnly ? run.weightsOnly() : await run.static();
    const answer = { ...found, test: await run.tested(found) };
    const seconds = (performance.now() - begin) / 1000;
    const model = writeModel(named(answer.graph, subject));
    return {
      model,
      report: quantizeReportOf({ o, subject, device, answer, settings: run.settings, model, seconds, warnings }),
    };
  } finally {
    await device.close();
  }
}

class Run {
  constructor(
    private readonly o: QuantizeModelOptions,
    private readonly subject: Subject,
    private readonly device: OpenDevice,
    readonly settings: QuantizeSettings,
    private readonly warn: (text: string) => void,
  ) {}

  private get common() {
    const { onProgress, signal } = this.o;
    return { ...(onProgress ? { onProgress, progress: onProgress } : {}), ...(signal ? { signal } : {}) };
  }

  weightsOnly(): Answer {
    const { graph, prepared, nodes } = quantizeWeightsOnly(this.subject.graph, {
      keepFloat: this.settings.keepFloat ?? new Set(),
    });
    if (nodes.length === 0) this.warn("the model has no product with a constant matrix: nothing was quantised");
    return { kind: "weights-only", graph, why: null, prepared, layers: [], images: 0, keptFloat: new Map() };
  }

  async static(): Promise<Answer> {
    const { o, subject } = this;
    const never = noIntegersBecause(this.device.facts);
    const { train } = subject.data as Dataset;
    const wanted = o.images ?? DEFAULT_IMAGES;
    const used = Math.min(wanted, train.count);
    if (used < wanted && o.images !== undefined)
      this.warn(`the training part has ${train.count} images: ${used} calibrate`);
    const result = await quantize(subject.graph, this.images(used), { ...this.settings, total: used, ...this.common });
    const all = quantizableNodes(result.prepared, result.ranges, { ...result.placement, keepFloat: new Set() });
    if (all.length === 0) this.warn("no layer of this model has an integer form: it stays float");
    for (const [value, count] of result.ranges.nonFinite)
      this.warn(`"${value}" took on ${count} values that are not finite numbers: what reads or makes it stays float`);

    const judge = await openJudge(subject, train, range(used, Math.min(train.count, used + JUDGING_IMAGES)), {
      stage: "measuring accuracy",
      threads: 1,
      ...this.common,
    });
    const times = o.device === undefined || never ? undefined : await this.times(result);
    let choice = await this.choose(result, judge, times);
    const all8 = this.onIntegers(result);
    const timed =
      o.device === undefined ? undefined : await this.timed(never ? [result.graph] : [choice.graph, all8], used);
    let latency: Answer["latency"];
    if (timed) {
      const [float, chosen, whole] = timed;
      // The table knows layers, not what changing between floats and integers costs: the whole model decides.
      if (
        whole &&
        choice.keptFloat.size > 0 &&
        ratioOf(chosen, whole).ratio > WORTHWHILE &&
        (await this.accepts(all8, result, judge))
      )
        choice = { graph: all8, keptFloat: this.asked(), ...(await this.dropOf(all8, judge)) };
      const best = choice.graph === all8 && whole ? whole : chosen;
      latency = { float, answer: best, ratio: ratioOf(float, best) };
    }
    const { ratio } = latency?.ratio ?? { ratio: Number.POSITIVE_INFINITY };
    const loses =
      never ??
      (ratio < WORTHWHILE
        ? `on this device the INT8 model runs at ${ratio.toFixed(2)}x the speed of float`
        : undefined);
    const allFloat = choice.keptFloat.size >= all.length;
    const layers = await this.explain(result, choice.keptFloat, times);
    const base = {
      prepared: result.prepared,
      result,
      layers,
      images: used,
      ...(judge ? { judge } : {}),
      ...(latency ? { latency } : {}),
    };
    if (loses || allFloat) {
      const why = loses ?? "every layer had to stay float";
      this.warn(`INT8 is not used: ${why}`);
      return { ...base, kind: "fp32", graph: subject.graph, why, keptFloat: choice.keptFloat, drop: 0 };
    }
    return {
      ...base,
      kind: choice.keptFloat.size > 0 ? "mixed" : "int8",
      graph: choice.graph,
      why: choice.keptFloat.size > 0 ? whyMixed(choice.keptFloat) : null,
      keptFloat: choice.keptFloat,
      ...(choice.drop === undefined ? {} : { drop: choice.drop }),
    };
  }

  /** Both models on the test part; null without one, or without class scores. */
  async tested(answer: Answer): Promise<QuantizeReport["test"]> {
    const { subject } = this;
    const test = subject.data?.test;
    if (!test || test.count === 0) return null;
    const judge = await openJudge(subject, test, range(0, Math.min(this.o.limit ?? test.count, test.count)), {
      stage: "evaluating",
      ...this.common,
    });
    if (!judge) return null;
    const after = answer.kind === "fp32" ? judge.original : await judge.share(answer.graph);
    return { measures: judge.measures, before: judge.original, after, images: judge.images };
  }

  private asked = (): Map<string, string> => new Map([...(this.settings.keepFloat ?? [])].map((n) => [n, "asked for"]));

  /** Everything on integers that the user did not except: first and last layers too. */
  private onIntegers(result: QuantizeResult): Graph {
    if (result.floatEdges.length + result.floatSmall.length === 0) return result.graph;
    const keepFloat = this.settings.keepFloat ?? new Set<string>();
    return placePrepared(result.prepared, result.ranges, { ...result.placement, keepFloat });
  }

  /** Training images 0 to `count`, a few at a time. */
  private async *images(count: number): AsyncIterable<ImageBatch> {
    const { subject } = this;
    const { train } = subject.data as Dataset;
    const step = hasFixedBatch(subject) ? subject.batchSize : 32;
    const whole = hasFixedBatch(subject) ? count - (count % step) : count;
    for (let i = 0; i < whole; i += step) yield train.batch(range(i, Math.min(whole, i + step)));
  }

  /** What stays float for the allowed drop, at least latency. */
  private async choose(
    result: QuantizeResult,
    judge: Judge | undefined,
    times: ReadonlyMap<string, LayerTime> | undefined,
  ): Promise<{ graph: Graph; keptFloat: Map<string, string>; drop?: number }> {
    const asked = new Map([
      ...result.floatEdges.map((n) => [n, "first or last layer"] as const),
      ...result.floatSmall.map((n) => [n, "accuracy"] as const),
      ...this.asked(),
    ]);
    const place = (keepFloat: ReadonlySet<string>): Graph =>
      placePrepared(result.prepared, result.ranges, {
        ...result.placement,
        keepFloat: new Set([...keepFloat, ...asked.keys()]),
      });
    const slower = times && [...times.values()].some((t) => t.integerMs > t.floatMs);
    const fine = await this.accepts(result.graph, result, judge);
    if (fine && !slower) return { graph: result.graph, keptFloat: asked, ...(await this.dropOf(result.graph, judge)) };
    const harm = await this.harm(result);
    // Without a device, time is taken to go with multiplications.
    const macs = new Map(costsOf(result.prepared).nodes.map((c) => [c.node.name, c.macs]));
    const cost = (n: string): LayerTime =>
      times?.get(n) ?? { floatMs: 2 * (macs.get(n) ?? 0) + 1, integerMs: macs.get(n) ?? 0 };
    const choice = await chooseByKnapsack(harm, {
      floatMs: (n) => cost(n).floatMs,
      integerMs: (n) => cost(n).integerMs,
      knapsack,
      accepts: (keepFloat) => this.accepts(place(keepFloat), result, judge),
    });
    if (!choice.meetsFloor) this.warn("even the float model misses the allowed drop: check data and preprocessing");
    const graph = place(choice.keepFloat);
    const reasons = new Map(
      [...choice.reasons].map(([n, r]) => [n, r === "not-faster" ? "no faster in INT8" : "accuracy"]),
    );
    return { graph, keptFloat: new Map([...reasons, ...asked]), ...(await this.dropOf(graph, judge)) };
  }

  private async dropOf(g: Graph, judge: Judge | undefined): Promise<{ drop?: number }> {
    const drop = await this.drop(g, judge);
    return drop === undefined ? {} : { drop };
  }

  private async drop(g: Graph, judge: Judge | undefined): Promise<number | undefined> {
    return judge && 100 * (judge.original - (await judge.share(g)));
  }

  /** Near enough to the original: within the allowed drop where one is given and can be measured, else by the outputs. */
  private async accepts(g: Graph, result: QuantizeResult, judge: Judge | undefined): Promise<boolean> {
    const { maxDrop } = this.o;
    if (maxDrop !== undefined && judge) return (await this.drop(g, judge))! <= maxDrop + 1e-9;
    return worstDb(await outputSqnrDb(g, result.reference, { threads: 1, ...this.common })) >= SAFE_DB;
  }

  private harmKnown: NodeSensitivity[] | undefined;

  /** The worst output with each layer alone on integers. */
  private async harm(result: QuantizeResult): Promise<NodeSensitivity[]> {
    this.harmKnown ??= await sensitivity(result.prepared, result.ranges, result.reference, {
      ...result.placement,
      mode: "alone",
      threads: 1,
      ...this.common,
    });
    return this.harmKnown;
  }

  private async times(result: QuantizeResult): Promise<ReadonlyMap<string, LayerTime> | undefined> {
    const { rounded: _r, biasShifts: _b, ...placement } = result.placement;
    if (this.device.facts.emulated) {
      this.warn("the device is emulated, so layers were not timed");
      return undefined;
    }
    const variant = (g: Graph): Uint8Array =>
      writeModel(placePrepared(prepareForQuantization(g), result.ranges, placement));
    return layerTimes(result.prepared, this.device, (g, p) => (p === "int8" ? variant(g) : writeModel(g)), {
      seed: this.o.seed ?? 1,
      ...(this.o.cacheDir ? { cacheDir: this.o.cacheDir } : {}),
      ...this.common,
    });
  }

  /** The original and variants in one shuffled run. */
  private async timed(graphs: readonly Graph[], used: number): Promise<Timed[]> {
    const { subject } = this;
    const { tensors } = await imageBatches(
      subject,
      (subject.data as Dataset).train,
      range(0, Math.min(used, subject.batchSize)),
    );
    const feeds = feedsFor(subject, oneCall(subject, tensors[0]));
    const models = [subject.bytes, ...new Set(graphs)].map((g) => ({
      model: g instanceof Uint8Array ? g : writeModel(g),
      feeds,
    }));
    return timeTogether(this.device, models, {
      minSamples: 200,
      minTimeMs: 3000,
      seed: this.o.seed ?? 1,
      ...(this.o.signal ? { signal: this.o.signal } : {}),
    });
  }

  private async explain(
    result: QuantizeResult,
    keptFloat: ReadonlyMap<string, string>,
    times: ReadonlyMap<string, LayerTime> | undefined,
  ): Promise<Answer["layers"]> {
    const layers = await explainLayers(result, { keepFloat: new Set(keptFloat.keys()), threads: 1, ...this.common });
    const harm =
      this.o.explain || this.harmKnown ? new Map((await this.harm(result)).map((h) => [h.node, h.sqnrDb])) : undefined;
    return layers
      .map((l) => ({
        ...l,
        reason: keptFloat.get(l.node) ?? null,
        harmDb: harm?.get(l.node) ?? null,
        floatMs: times?.get(l.node)?.floatMs ?? null,
        integerMs: times?.get(l.node)?.integerMs ?? null,
      }))
      .sort((a, b) =>
        harm ? (a.harmDb ?? Number.POSITIVE_INFINITY) - (b.harmDb ?? Number.POSITIVE_INFINITY) || 0 : 0,
      );
  }
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

function whyMixed(kept: ReadonlyMap<string, string>): string {
  const counts = new Map<string, number>();
  for (const reason of kept.values()) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return `float: ${[...counts].map(([reason, n]) => `${n} ${n === 1 ? "layer" : "layers"} (${reason})`).join(", ")}`;
}

function named(g: Graph, s: Subject): Graph {
  const out = cloneGraph(g);
  out.model.metadata.set("edgefit.source_sha256", s.sha256);
  return out;
}
