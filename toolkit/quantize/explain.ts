/** What quantisation does to every layer: ranges, histograms, clipping, rounding errors, and what it costs at the output. */
import { cloneGraph, type Graph } from "../graph/graph.js";
import { throwIfAborted } from "../graph/progress.js";
import { type ElemType, toNumbers } from "../graph/tensor.js";
import { withSession } from "../runtime/session.js";
import type { ActivationGrid } from "./affine.js";
import type { RunOptions } from "./evaluate.js";
import { feedsOfBatch, type ImageBatch } from "./feed.js";
import { integerTypes } from "./integers.js";
import type { RangeObserver } from "./observer.js";
import { placePrepared } from "./place.js";
import { gridOwner, resultsOf } from "./plan.js";
import type { QuantizeResult } from "./quantize.js";
import { activationGrids, type PlaceOptions, planWith, weightGrids } from "./scheme.js";
import { Similarity, sqnrDb } from "./similarity.js";
import { dequantized, roundToGrid } from "./weights.js";

/** Elements of a value between its smallest and largest one, in equally wide bins. */
export interface LayerHistogram {
  low: number;
  high: number;
  counts: number[];
}

export interface LayerExplanation {
  /** Name of the node in the prepared graph. */
  node: string;
  op: string;
  /** The value whose grid the rest is about: the layer's result, behind the activation that its range takes over. */
  value: string;
  precision: "int8" | "fp32";
  /** Real interval that the integers cover; null for a float layer. */
  range: { low: number; high: number; scale: number; zeroPoint: number } | null;
  /** Smallest and largest element that calibration saw. */
  observed: { low: number; high: number } | null;
  histogram: LayerHistogram | null;
  /** Share of elements that lie outside the range and are clipped to its ends. */
  saturatedShare: number | null;
  /** Signal to rounding noise of the weights, in decibels; null without weights. */
  weightDb: number | null;
  /** The layer's result in the INT8 model against float, in decibels: what all layers so far have done to it. */
  valueDb: number | null;
}

/** Bins of the histograms that are handed out. */
const SHOWN_BINS = 48;

/** Explains every layer of a result that has weights or a range of its own, in graph order. One run of both nets over the judging images. */
export async function explainLayers(
  r: QuantizeResult,
  o: RunOptions & { keepFloat?: ReadonlySet<string> } = {},
): Promise<LayerExplanation[]> {
  const placement: PlaceOptions = { ...r.placement, keepFloat: o.keepFloat ?? r.placement.keepFloat ?? new Set() };
  const plan = planWith(r.prepared, r.ranges, placement);
  const everything = planWith(r.prepared, r.ranges, { ...placement, keepFloat: new Set() });
  const gridOf = activationGrids(r.prepared, r.ranges, plan, placement);
  const weights = weightGrids(r.prepared, r.ranges, placement);
  const layers: LayerExplanation[] = [];
  for (const n of r.prepared.nodes) {
    const rule = everything.quantized.get(n.name);
    if (!rule || rule.passThrough) continue;
    const [value] = resultsOf(everything, n);
    const integer = plan.quantized.has(n.name);
    const observer = r.seen.observers.get(gridOwner(everything, value));
    const floatResult = plan.floatOutput.has(n.name);
    const grid = integer && !floatResult ? gridOf(value) : undefined;
    const name = rule.weight ? n.inputs[rule.weight.input] : undefined;
    const own = integer && name !== undefined ? weights.get(name) : undefined;
    let weightDb: number | null = null;
    if (own && name !== undefined) {
      const weight = r.prepared.initializers.get(name)!;
      weightDb = sqnrDb(toNumbers(weight), dequantized(roundToGrid(weight, own, placement.rounded?.get(name)), own));
    }
    layers.push({
      node: n.name,
      op: n.opType,
      value,
      precision: integer ? "int8" : "fp32",
      range: grid ? { ...endsOf(grid), scale: grid.scale, zeroPoint: grid.zeroPoint } : null,
      observed: observer && observer.count > 0 ? { low: observer.min, high: observer.max } : null,
      histogram: observer ? histogramOf(observer) : null,
      saturatedShare: grid && observer ? saturatedShare(observer, grid) : null,
      weightDb,
      valueDb: null,
    });
  }
  const noises = await valueNoises(
    r,
    placement,
    layers.filter((l) => l.range).map((l) => l.value),
    gridOf,
    o,
  );
  return layers.map((l) => ({ ...l, valueDb: noises.get(l.value) ?? null }));
}

const endsOf = ({ scale, zeroPoint, type }: ActivationGrid): { low: number; high: number } => ({
  low: (integerTypes[type].lowest - zeroPoint) * scale,
  high: (integerTypes[type].highest - zeroPoint) * scale,
});

/** Share of the observed elements that are more than half a step outside the grid. */
function saturatedShare(seen: RangeObserver, grid: ActivationGrid): number {
  if (seen.count === 0) return 0;
  const { low, high } = endsOf(grid);
  const { centers, counts } = seen.histogram(1);
  let outside = 0;
  for (let i = 0; i < centers.length; i++) {
    if (centers[i] < low - grid.scale / 2 || centers[i] > high + grid.scale / 2) outside += counts[i];
  }
  return outside / seen.count;
}

/** The observer's fine bins in `SHOWN_BINS` wide ones; null when nothing was seen. */
export function histogramOf(seen: RangeObserver, bins = SHOWN_BINS): LayerHistogram | null {
  if (seen.count === 0) return null;
  const { min, max } = seen;
  const counts = new Array<number>(bins).fill(0);
  const width = (max - min) / bins;
  const binOf = (v: number): number =>
    width === 0 ? 0 : Math.max(0, Math.min(bins - 1, Math.floor((v - min) / width)));
  const fine = seen.histogram(1);
  for (let i = 0; i < fine.centers.length; i++) counts[binOf(fine.centers[i])] += fine.counts[i];
  if (seen.zeros > 0) counts[binOf(0)] += seen.zeros;
  return { low: min, high: max, counts };
}

/** Signal-to-noise ratio of the named values of the integer net, over the judging images. */
async function valueNoises(
  r: QuantizeResult,
  placement: PlaceOptions,
  values: readonly string[],
  gridOf: (value: string) => ActivationGrid,
  o: RunOptions,
): Promise<Map<string, number>> {
  const integer = placePrepared(r.prepared, r.ranges, placement);
  const made = new Set(integer.nodes.flatMap((n) => n.outputs));
  const pairs = values.filter((v) => made.has(`${v}_q`) && !r.prepared.inputs.some((i) => i.name === v));
  if (pairs.length === 0) return new Map();
  const floats = exposing(r.prepared, pairs, "float32");
  const codes = exposing(
    integer,
    pairs.map((v) => `${v}_q`),
    placement.activations ?? "uint8",
  );
  const sums = new Map(pairs.map((v) => [v, new Similarity()]));
  const threads = o.threads ? { threads: o.threads } : {};
  await withSession(floats, threads, async (float) => {
    // Fusion would not change these values, but exposing them keeps it from happening.
    await withSession(codes, { ...threads, level: "basic" }, async (quantized) => {
      for (const batch of judged(r)) {
        for (const f of feedsOfBatch(r.prepared, batch)) {
          throwIfAborted(o.signal);
          const [expected, actual] = [
            await float.run(f.feeds, pairs),
            await quantized.run(
              f.feeds,
              pairs.map((v) => `${v}_q`),
            ),
          ];
          for (const v of pairs) {
            const { scale, zeroPoint } = gridOf(v);
            const q = actual[`${v}_q`].data as ArrayLike<number>;
            sums.get(v)!.add(
              expected[v].data as Float32Array,
              Float32Array.from(q, (code) => (code - zeroPoint) * scale),
            );
          }
        }
      }
    });
  });
  return new Map([...sums].map(([v, s]) => [v, s.sqnrDb]));
}

/** Images whose intermediate values are compared: these take more room than outputs do. */
const COMPARED_IMAGES = 32;

function judged(r: QuantizeResult): ImageBatch[] {
  const out: ImageBatch[] = [];
  let images = 0;
  for (const b of r.reference.batches) {
    if (images >= COMPARED_IMAGES) break;
    out.push(b);
    images += b.dims[0];
  }
  return out;
}

function exposing(g: Graph, names: readonly string[], elemType: ElemType): Graph {
  const out = cloneGraph(g);
  out.outputs = names.map((name) => ({ name, type: { elemType } }));
  return out;
}
