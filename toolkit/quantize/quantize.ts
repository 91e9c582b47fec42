/** The whole of static quantisation: calibrate, choose ranges, place, correct biases, and say how good the result is. */
import type { Graph } from "../graph/graph.js";
import type { Progress } from "../graph/progress.js";
import { biasShifts } from "./bias.js";
import { outputSqnrDb, type Reference, referenceOutputs, worstDb } from "./evaluate.js";
import type { ImageBatch } from "./feed.js";
import type { RangeMethod } from "./observer.js";
import { placePrepared } from "./place.js";
import { prepareForQuantization } from "./prepare.js";
import { observe, type Ranges, rangesFrom } from "./ranges.js";
import type { PlaceOptions } from "./scheme.js";

export interface QuantizeOptions {
  /** `auto` tries the candidates below and keeps the one whose output is nearest to float on held-back images. Default. */
  method?: RangeMethod | "auto";
  /** Nodes of the prepared graph that stay float. */
  keepFloat?: ReadonlySet<string>;
  /** 7-bit weights for x64 without VNNI; see `PlaceOptions`. */
  reduceRange?: boolean;
  threads?: number;
  /** Number of images that will come, for progress only. */
  total?: number;
  progress?: Progress;
  signal?: AbortSignal;
}

export interface QuantizeResult {
  /** The QDQ model. */
  graph: Graph;
  /** The float graph that it was made from; names of nodes and values are shared. */
  prepared: Graph;
  ranges: Ranges;
  biasCorrected: boolean;
  biasShifts: Map<string, Float64Array>;
  /** Signal-to-noise ratio per output on the held-back images, in decibels. */
  sqnrDb: Record<string, number>;
  /** All that was tried, with the worst output's ratio. */
  candidates: readonly { method: RangeMethod; biasCorrected: boolean; sqnrDb: number }[];
  /** Held-back images and their float outputs, for `sensitivity`. */
  reference: Reference;
}

const AUTO: readonly RangeMethod[] = [
  { kind: "minmax" },
  { kind: "mse" },
  { kind: "percentile", percentile: 99.99 },
  { kind: "percentile", percentile: 99.9 },
];

/** Every fifth image judges and is not calibrated on. */
const HELD_BACK = 5;

/** What is kept in memory of each part for judging and for bias correction; ranges see every image. */
const KEPT_IMAGES = 128;
const KEPT_BYTES = 64 * 2 ** 20;

/**
 * Quantises a float graph with one image input. `batches` is read once; a fifth of the images is held back to choose the
 * range method and to tell whether the bias correction helped. With one to four images they judge and calibrate alike.
 * Throws ModelError `no-data` without images.
 */
export async function quantize(
  g: Graph,
  batches: AsyncIterable<ImageBatch>,
  o: QuantizeOptions = {},
): Promise<QuantizeResult> {
  const prepared = prepareForQuantization(g);
  const shares = new Shares(fixedBatch(prepared));
  const { method: _method, ...calibration } = o;
  const seen = await observe(prepared, shares.calibration(batches), calibration);
  const run = { ...(o.threads ? { threads: o.threads } : {}), ...(o.signal ? { signal: o.signal } : {}) };
  const held = shares.held.length > 0 ? shares.held : shares.kept;
  const reference = await referenceOutputs(prepared, held, run);
  const place: PlaceOptions = { keepFloat: o.keepFloat ?? new Set(), reduceRange: o.reduceRange ?? false };
  const methods = o.method === undefined || o.method === "auto" ? AUTO : [o.method];
  const tried: (Omit<QuantizeResult, "candidates" | "reference" | "prepared"> & { worst: number })[] = [];
  const attempt = async (ranges: Ranges, shifts?: Map<string, Float64Array>): Promise<void> => {
    const graph = placePrepared(prepared, ranges, { ...place, ...(shifts ? { biasShifts: shifts } : {}) });
    const sqnrDb = await outputSqnrDb(graph, reference, run);
    tried.push({
      graph,
      ranges,
      sqnrDb,
      worst: worstDb(sqnrDb),
      biasCorrected: !!shifts,
      biasShifts: shifts ?? new Map(),
    });
    o.progress?.({ stage: "choosing ranges", done: tried.length, total: methods.length + 1 });
  };
  for (const method of methods) await attempt(rangesFrom(seen, method));
  const plain = best(tried);
  await attempt(plain.ranges, await biasShifts(prepared, plain.ranges, shares.kept, { ...place, ...run }));
  const { worst: _, ...chosen } = best(tried);
  const candidates = tried.map((t) => ({ method: t.ranges.method, biasCorrected: t.biasCorrected, sqnrDb: t.worst }));
  return { ...chosen, prepared, candidates, reference };
}

const best = <T extends { worst: number }>(list: readonly T[]): T => list.reduce((a, b) => (b.worst > a.worst ? b : a));

const fixedBatch = (g: Graph): number => {
  const first = g.inputs.find((v) => !g.initializers.has(v.name))?.type.dims?.[0];
  return typeof first === "number" ? first : 1;
};

/** Deals images out in units of the model's batch: four to calibration, one held back, and so on; keeps a bounded number of each. */
class Shares {
  readonly held: ImageBatch[] = [];
  readonly kept: ImageBatch[] = [];
  private units = 0;

  constructor(private readonly unit: number) {}

  async *calibration(batches: AsyncIterable<ImageBatch>): AsyncIterable<ImageBatch> {
    for await (const batch of batches) {
      const [forRanges, forJudging] = this.deal(batch);
      if (forJudging) this.keep(this.held, forJudging);
      if (forRanges) {
        this.keep(this.kept, forRanges);
        yield forRanges;
      }
    }
  }

  private deal(batch: ImageBatch): [ImageBatch | undefined, ImageBatch | undefined] {
    const [count, ...item] = batch.dims;
    // A remainder that does not fill the model's batch goes with the calibration part, where it is reported.
    const units = Array.from({ length: Math.ceil(count / this.unit) }, (_, k) => k);
    const first = this.units;
    this.units += units.length;
    const judges = units.filter((k) => (first + k) % HELD_BACK === HELD_BACK - 1);
    const part = (chosen: readonly number[]): ImageBatch | undefined => {
      const size = item.reduce((a, b) => a * b, 1) * this.unit;
      const pieces = chosen.map((k) => batch.data.subarray(k * size, (k + 1) * size));
      const length = pieces.reduce((a, p) => a + p.length, 0);
      if (length === 0) return undefined;
      const data = new Float32Array(length);
      let at = 0;
      for (const p of pieces) {
        data.set(p, at);
        at += p.length;
      }
      return { data, dims: [(length / size) * this.unit, ...item] };
    };
    return [part(units.filter((k) => !judges.includes(k))), part(judges)];
  }

  private keep(list: ImageBatch[], batch: ImageBatch): void {
    const images = list.reduce((a, b) => a + b.dims[0], 0);
    const bytes = list.reduce((a, b) => a + b.data.byteLength, 0);
    if (list.length > 0 && (images >= KEPT_IMAGES || bytes + batch.data.byteLength > KEPT_BYTES)) return;
    list.push(batch);
  }
}
