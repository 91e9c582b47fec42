/** Calibration: runs the float graph on data and remembers, per value, what its range must cover. */

import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph, typeOf } from "../graph/graph.js";
import { type Progress, throwIfAborted } from "../graph/progress.js";
import { type Tensor, toFloat32 } from "../graph/tensor.js";
import { openSession, type Session, withSession } from "../runtime/session.js";
import type { QuantRange } from "./affine.js";
import { CHUNK, DEFAULT_METHOD, feedsOfBatch, type ImageBatch } from "./feed.js";
import { type RangeMethod, RangeObserver } from "./observer.js";
import { activationInputs, gridOwner, planQdq, resultsOf } from "./plan.js";
import { prepareForQuantization } from "./prepare.js";
import { type Summary, strideFor, summaryGraph, summaryOf } from "./summaries.js";

/** Ranges of the values that may be quantised. */
export interface Ranges {
  method: RangeMethod;
  /** Images that were seen. */
  images: number;
  values: Map<string, QuantRange>;
  /** Values that took on NaN or infinity, with how often: their nodes stay float. */
  nonFinite: Map<string, number>;
}

/** What calibration data looked like, before a method turns it into ranges. Size: 64 KiB per value, whatever the data. */
export interface Observations {
  images: number;
  observers: Map<string, RangeObserver>;
}

export interface CalibrationOptions {
  /** Default `mse`. */
  method?: RangeMethod;
  /** Calls whose elements all enter the histograms (thinned); of later ones, every second, fourth, ... does. Default 16. */
  sampledCalls?: number;
  threads?: number;
  /** Number of images that `batches` will give, for progress only. */
  total?: number;
  progress?: Progress;
  signal?: AbortSignal;
}

/** Values whose ranges a placement may ask for: everything that integer nodes read and make. */
export function valuesToObserve(prepared: Graph): string[] {
  const plan = planQdq(prepared);
  const wanted = new Set<string>();
  for (const n of prepared.nodes) {
    const rule = plan.quantized.get(n.name);
    if (!rule) continue;
    for (const i of activationInputs(n, rule)) wanted.add(gridOwner(plan, n.inputs[i]));
    if (plan.floatOutput.has(n.name)) continue;
    for (const v of resultsOf(plan, n)) wanted.add(gridOwner(plan, v));
  }
  for (const name of prepared.initializers.keys()) wanted.delete(name);
  wanted.delete("");
  return [...wanted];
}

const SAMPLED_CALLS = 16;

/** How often a call's sample counts: 0 where none is taken. Constant work per doubling of the data. */
export function weightOfCall(call: number, sampledCalls: number): number {
  const step = 2 ** Math.max(0, Math.floor(Math.log2((call + 1) / sampledCalls)));
  return call % step === step - 1 ? step : 0;
}

/** What all observed values of one call may take together. */
const CALL_BYTES = 16 * 2 ** 20;

/** Images per call at which the observed values stay within `CALL_BYTES`. */
function chunkFor(g: Graph, values: readonly string[]): number {
  const bytes = values.reduce((sum, v) => {
    const dims = typeOf(g, v)?.dims ?? [];
    return sum + 4 * dims.slice(1).reduce<number>((a, d) => a * (typeof d === "number" ? d : 1), 1);
  }, 0);
  return Math.min(CHUNK, Math.max(1, Math.floor(CALL_BYTES / Math.max(1, bytes))));
}

/** Streams `batches` through the prepared graph once. Throws ModelError `no-data` when there are none. */
export async function observe(
  prepared: Graph,
  batches: AsyncIterable<ImageBatch>,
  o: CalibrationOptions = {},
): Promise<Observations> {
  const values = valuesToObserve(prepared);
  const observers = new Map(values.map((v) => [v, new RangeObserver()]));
  const inputs = new Set(prepared.inputs.map((v) => v.name));
  const inside = values.filter((v) => !inputs.has(v));
  let images = 0;
  if (inside.length === 0) return { images, observers };
  const chunk = chunkFor(prepared, values);
  const threads = o.threads ? { threads: o.threads } : {};
  const sampledCalls = o.sampledCalls ?? SAMPLED_CALLS;
  const [thin, full] = [false, true].map((sampled) => summaryGraph(prepared, inside, chunk, sampled));
  let call = 0;
  // Few calibrations get beyond the calls of which samples are taken.
  let thinSession: Session | undefined;
  const session = await openSession(full.graph, threads);
  try {
    for await (const batch of batches) {
      for (const f of feedsOfBatch(prepared, batch, chunk)) {
        throwIfAborted(o.signal);
        const weight = weightOfCall(call++, sampledCalls);
        if (weight === 0) thinSession ??= await openSession(thin.graph, threads);
        const results = await (weight === 0 ? thinSession! : session).run(f.feeds);
        const found = new Map((weight === 0 ? thin : full).read(results, f.images).map((s, i) => [inside[i], s]));
        for (const v of values) if (inputs.has(v)) found.set(v, thinned(summaryOf(toFloat32(f.feeds[v]))));
        if ([...found.values()].every((s) => s.finite)) {
          for (const [name, s] of found)
            observers.get(name)!.addSample(weight > 0 ? s : { ...s, sample: NONE }, Math.max(1, weight));
        } else await addWhole(prepared, values, observers, f.feeds, threads);
        images += f.images;
        o.progress?.({ stage: "calibrating", done: images, total: o.total ?? images });
      }
    }
  } finally {
    await session.dispose();
    await thinSession?.dispose();
  }
  if (images === 0) {
    throw new ModelError("no-data", "calibration was given no images", {
      hint: "give a data set with at least one training image",
    });
  }
  return { images, observers };
}

const NONE = new Float32Array(0);

const thinned = (s: Summary): Summary => {
  const stride = strideFor(s.sample.length);
  return stride === 1 ? s : { ...s, sample: s.sample.filter((_, i) => i % stride === 0) };
};

/** Looks at every element of all values in a call where some are not numbers: a rare case, so it may cost a session. */
async function addWhole(
  prepared: Graph,
  values: readonly string[],
  observers: ReadonlyMap<string, RangeObserver>,
  feeds: Record<string, Tensor>,
  threads: { threads?: number },
): Promise<void> {
  const computed = values.filter((v) => !feeds[v]);
  const exposed = cloneGraph(prepared);
  exposed.outputs = computed.map((name) => ({ name, type: { elemType: "float32" } }));
  const results = computed.length > 0 ? await withSession(exposed, threads, (s) => s.run(feeds)) : {};
  for (const v of values) observers.get(v)!.add(toFloat32(feeds[v] ?? results[v]));
}

/** Ranges by one method, for grids of `steps` intervals; the observations can be asked again with another. */
export function rangesFrom(seen: Observations, method: RangeMethod = DEFAULT_METHOD, steps = 255): Ranges {
  const ranges: Ranges = { method, images: seen.images, values: new Map(), nonFinite: new Map() };
  for (const [name, observer] of seen.observers) {
    if (observer.nonFinite > 0) ranges.nonFinite.set(name, observer.nonFinite);
    else ranges.values.set(name, observer.range(method, steps));
  }
  return ranges;
}

/**
 * Observes and chooses ranges in one go. `g` is any float graph with one image input; it is prepared here, and the names
 * in the result are those of `prepareForQuantization(g)`. Memory does not grow with the number of images.
 */
export async function calibrate(
  g: Graph,
  batches: AsyncIterable<ImageBatch>,
  o: CalibrationOptions = {},
): Promise<Ranges> {
  return rangesFrom(await observe(prepareForQuantization(g), batches, o), o.method);
}
