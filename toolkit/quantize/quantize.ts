/** The whole of static quantisation: repair, calibrate, choose ranges, round, correct biases, and say how good the result is. */
import type { Graph } from "../graph/graph.js";
import type { Progress } from "../graph/progress.js";
import type { Tensor } from "../graph/tensor.js";
import type { ActivationGrid } from "./affine.js";
import { biasShifts } from "./bias.js";
import { edgeLayers } from "./edges.js";
import { outputSqnrDb, type Reference, referenceOutputs, worstDb } from "./evaluate.js";
import type { ImageBatch } from "./feed.js";
import { integerTypes } from "./integers.js";
import type { RangeMethod } from "./observer.js";
import { placePrepared } from "./place.js";
import { prepareForQuantization } from "./prepare.js";
import { type Observations, observe, type Ranges, rangesFrom } from "./ranges.js";
import { type FloatRepair, type RoundingMethod, roundWeights } from "./repair/index.js";
import { activationGrids, type PlaceOptions, planWith, weightGrids } from "./scheme.js";
import { sensitivity } from "./sensitivity.js";
import { Shares } from "./shares.js";
import { smallHarmfulLayers } from "./smallLayers.js";

/** A rewrite of the float net that is kept only where the integer net comes nearer to float by it. */
export interface NamedRepair {
  name: string;
  run: FloatRepair;
}

export interface QuantizeOptions extends Omit<PlaceOptions, "biasShifts" | "rounded"> {
  /** `auto` tries several and keeps the one whose output is nearest to float on held-back images. Default. */
  method?: RangeMethod | "auto";
  /** Tried in this order. Default none. */
  repairs?: readonly NamedRepair[];
  /** How weights become integers. Default `nearest`. */
  rounding?: RoundingMethod;
  /** Whether the correction of biases is tried. Default true. */
  biasCorrection?: boolean;
  /**
   * Whether small first and last layers (`edgeLayers`), and in a net that loses much by integers the most harmful small ones
   * (`smallHarmfulLayers`), may stay float where that brings the output nearer. Default false.
   */
  floatEdges?: boolean;
  threads?: number;
  /** Number of images that will come, for progress only. */
  total?: number;
  progress?: Progress;
  signal?: AbortSignal;
}

/** One way to the integers, with the worst output's ratio on the held-back images. */
export interface Candidate {
  method: RangeMethod;
  rounded: boolean;
  biasCorrected: boolean;
  sqnrDb: number;
}

export interface QuantizeResult {
  /** The INT8 model. */
  graph: Graph;
  /** The float graph that it was made from, repairs included; names of nodes and values are shared. */
  prepared: Graph;
  ranges: Ranges;
  /** What the calibration images looked like at every value. */
  seen: Observations;
  /** All that `graph` was placed with: with another `keepFloat` it makes a variant. */
  placement: PlaceOptions;
  biasCorrected: boolean;
  biasShifts: Map<string, Float64Array>;
  /** First and last layers that stay float. */
  floatEdges: readonly string[];
  /** Other small layers that stay float because they harm the output most. */
  floatSmall: readonly string[];
  /** Names of the repairs that were kept. */
  repairs: readonly string[];
  /** Signal-to-noise ratio per output on the held-back images, in decibels. */
  sqnrDb: Record<string, number>;
  /** All that was tried, with the worst output's ratio. */
  candidates: readonly Candidate[];
  /** Held-back images and the original's outputs, for `sensitivity`. */
  reference: Reference;
}

const AUTO: readonly RangeMethod[] = [
  { kind: "minmax" },
  { kind: "mse" },
  { kind: "percentile", percentile: 99.999 },
  { kind: "percentile", percentile: 99.99 },
  { kind: "percentile", percentile: 99.9 },
  { kind: "entropy" },
];

/**
 * Quantises a float graph with one image input. `batches` is read once; a fifth of the images is held back to choose among
 * ranges, repairs and roundings. With one to four images they judge and calibrate alike. Throws ModelError `no-data`
 * without images.
 */
export async function quantize(
  g: Graph,
  batches: AsyncIterable<ImageBatch>,
  o: QuantizeOptions = {},
): Promise<QuantizeResult> {
  const original = prepareForQuantization(g);
  const shares = new Shares(batches, fixedBatch(original));
  const run = { ...(o.threads ? { threads: o.threads } : {}), ...(o.signal ? { signal: o.signal } : {}) };
  const { prepared, repairs } = await repaired(original, shares, o);
  const { method: _method, ...calibration } = o;
  const seen = await observe(prepared, shares.calibration(), { ...calibration, ...sampling(o.method) });
  const reference = await referenceOutputs(original, shares.judges, run);
  const tried = new Attempts(prepared, reference, o);
  const methods = o.method === undefined || o.method === "auto" ? AUTO : [o.method];
  for (const method of methods) await tried.attempt(rangesFrom(seen, method, stepsOf(o)));
  const edges = o.floatEdges ? edgeLayers(prepared, planWith(prepared, tried.best.ranges, placementOf(o))) : [];
  if (edges.length > 0) {
    const keepFloat = new Set([...(o.keepFloat ?? []), ...edges]);
    await tried.attempt(tried.best.ranges, { keepFloat });
  }
  const small = o.floatEdges ? await keptForAccuracy(tried, reference, o) : [];
  const plain = tried.best;
  const corrected = async (placement: PlaceOptions): Promise<Attempt> => {
    if (!(o.biasCorrection ?? true)) return tried.attempt(plain.ranges, placement);
    const shifts = await biasShifts(prepared, plain.ranges, shares.kept, { ...placement, ...run });
    return tried.attempt(plain.ranges, { ...placement, biasShifts: shifts });
  };
  let rounded: Attempt | undefined;
  if ((o.rounding ?? "nearest") !== "nearest") {
    const codes = await roundWeights(prepared, weightGrids(prepared, plain.ranges, plain.placement), {
      method: o.rounding!,
      grids: readGrids(prepared, plain.ranges, plain.placement),
      biasCorrected: o.biasCorrection ?? true,
      batches: shares.kept.map((b): Tensor => ({ elemType: "float32", dims: b.dims, data: b.data })),
      ...run,
      ...(o.progress ? { onProgress: o.progress } : {}),
    });
    rounded = await corrected({ ...plain.placement, rounded: codes });
  }
  // Biases of nearest integers are a second choice, looked at where the first one fails.
  if ((o.biasCorrection ?? true) && !(rounded && rounded.worst > plain.worst)) await corrected(plain.placement);
  const { worst: _, ...chosen } = tried.best;
  return {
    ...chosen,
    prepared,
    repairs,
    seen,
    reference,
    floatEdges: edges.filter((n) => chosen.placement.keepFloat?.has(n)),
    floatSmall: small.filter((n) => chosen.placement.keepFloat?.has(n)),
    biasCorrected: chosen.placement.biasShifts !== undefined,
    biasShifts: new Map(chosen.placement.biasShifts ?? []),
    candidates: tried.all.map((t) => ({
      method: t.ranges.method,
      rounded: t.placement.rounded !== undefined,
      biasCorrected: t.placement.biasShifts !== undefined,
      sqnrDb: t.worst,
    })),
  };
}

/** Outputs nearer to float than this have no layer whose harm would be worth a search. */
const NEAR_DB = 26;
/** Images on which each layer's harm is measured. */
const HARM_IMAGES = 32;

/** Tries the best net so far with its most harmful small layers in float; gives their names. */
async function keptForAccuracy(tried: Attempts, reference: Reference, o: QuantizeOptions): Promise<string[]> {
  const { best, prepared } = tried;
  if (best.worst >= NEAR_DB) return [];
  const already = best.placement.keepFloat ?? new Set<string>();
  const harm = await sensitivity(prepared, best.ranges, firstImages(reference, HARM_IMAGES), {
    ...best.placement,
    mode: "alone",
    ...(o.threads ? { threads: o.threads } : {}),
    ...(o.signal ? { signal: o.signal } : {}),
    ...(o.progress ? { progress: o.progress } : {}),
  });
  const small = smallHarmfulLayers(prepared, harm, already);
  if (small.length > 0) await tried.attempt(best.ranges, { keepFloat: new Set([...already, ...small]) });
  return small;
}

/** The first calls of a reference, at least `count` images where there are as many. */
function firstImages(reference: Reference, count: number): Reference {
  const batches: ImageBatch[] = [];
  let images = 0;
  for (const b of reference.batches) {
    if (images >= count) break;
    batches.push(b);
    images += b.dims[0];
  }
  return { batches, outputs: reference.outputs };
}

/** Extremes need no histogram: a few calls' suffice for the one that is shown. */
const sampling = (m: QuantizeOptions["method"]): { sampledCalls?: number } =>
  m !== undefined && m !== "auto" && (m.kind === "minmax" || m.kind === "moving-average") ? { sampledCalls: 2 } : {};

/** Grids of the activations that weighted nodes read. */
function readGrids(prepared: Graph, ranges: Ranges, o: PlaceOptions): Map<string, ActivationGrid> {
  const plan = planWith(prepared, ranges, o);
  const gridOf = activationGrids(prepared, ranges, plan, o);
  const out = new Map<string, ActivationGrid>();
  for (const n of prepared.nodes) {
    const rule = plan.quantized.get(n.name);
    if (!rule?.weight) continue;
    const x = n.inputs[rule.activations[0]];
    out.set(x, gridOf(x));
  }
  return out;
}

/** Intervals of the activations' grid. */
const stepsOf = (o: PlaceOptions): number => {
  const { lowest, highest } = integerTypes[o.activations ?? "uint8"];
  return highest - lowest;
};

const placementOf = (o: QuantizeOptions): PlaceOptions => {
  const {
    method: _m,
    repairs: _r,
    rounding: _o,
    biasCorrection: _b,
    floatEdges: _e,
    threads: _t,
    total: _n,
    progress: _p,
    signal: _s,
    ...p
  } = o;
  return p;
};

interface Attempt {
  graph: Graph;
  ranges: Ranges;
  placement: PlaceOptions;
  sqnrDb: Record<string, number>;
  worst: number;
}

/** Integer nets that were made and judged. */
class Attempts {
  readonly all: Attempt[] = [];

  constructor(
    readonly prepared: Graph,
    private readonly reference: Reference,
    private readonly o: QuantizeOptions,
  ) {}

  get best(): Attempt {
    return this.all.reduce((a, b) => (b.worst > a.worst ? b : a));
  }

  async attempt(ranges: Ranges, more: PlaceOptions = {}): Promise<Attempt> {
    const { o } = this;
    const placement = { ...placementOf(o), ...more };
    const graph = placePrepared(this.prepared, ranges, placement);
    const sqnrDb = await outputSqnrDb(graph, this.reference, {
      ...(o.threads ? { threads: o.threads } : {}),
      ...(o.signal ? { signal: o.signal } : {}),
    });
    const made = { graph, ranges, placement, sqnrDb, worst: worstDb(sqnrDb) };
    this.all.push(made);
    o.progress?.({ stage: "choosing ranges and roundings", done: this.all.length, total: this.all.length });
    return made;
  }
}

/** The float net with those repairs, in turn, that bring the integer net nearer to the original on held-back images. */
async function repaired(
  original: Graph,
  shares: Shares,
  o: QuantizeOptions,
): Promise<{ prepared: Graph; repairs: string[] }> {
  const repairs: string[] = [];
  if (!o.repairs?.length) return { prepared: original, repairs };
  await shares.readAhead();
  if (shares.kept.length === 0) return { prepared: original, repairs };
  const run = { ...(o.threads ? { threads: o.threads } : {}), ...(o.signal ? { signal: o.signal } : {}) };
  const reference = await referenceOutputs(original, shares.judges, run);
  const kept = async function* () {
    yield* shares.kept;
  };
  const judge = async (g: Graph): Promise<number> => {
    const ranges = rangesFrom(await observe(g, kept(), run), { kind: "mse" }, stepsOf(o));
    return worstDb(await outputSqnrDb(placePrepared(g, ranges, placementOf(o)), reference, run));
  };
  const batches = shares.kept.map((b): Tensor => ({ elemType: "float32", dims: b.dims, data: b.data }));
  let prepared = original;
  let least = await judge(original);
  for (const { name, run: repair } of o.repairs) {
    const candidate = await repair(prepared, {
      batches,
      ...run,
      ...(o.progress ? { onProgress: o.progress } : {}),
    });
    const db = await judge(candidate);
    if (db <= least) continue;
    least = db;
    prepared = candidate;
    repairs.push(name);
  }
  return { prepared, repairs };
}

const fixedBatch = (g: Graph): number => {
  const first = g.inputs.find((v) => !g.initializers.has(v.name))?.type.dims?.[0];
  return typeof first === "number" ? first : 1;
};
