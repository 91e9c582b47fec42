/**
 * The story of a profile: random sub-nets of a model are sliced, measured on a device, and turned into a latency table that
 * predicts any sub-net. Tables are kept per device, so that a second profile costs nothing.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { median } from "simple-statistics";
import { type DeviceFacts, type DeviceRunner, fingerprint } from "../runners/index.js";
import { EdgefitError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import { type Progress, throwIfAborted } from "./graph/progress.js";
import {
  candidateWidths,
  crossValidate,
  type DimsOf,
  defaultCacheDir,
  designWidths,
  evaluateDim,
  fitCorrection,
  type GridOptions,
  inputFeeds,
  type Kernel,
  kernelsOf,
  type LatencyModel,
  type LatencyTable,
  latencyModel,
  mergeTables,
  type NetObservation,
  openReference,
  type Precision,
  parseTable,
  readCached,
  refuseStale,
  removeCached,
  rowsOf,
  type SampleOptions,
  sampleNets,
  structuralHash,
  sumKernels,
  surfacesOf,
  TABLE_VERSION,
  widthGrid,
  writeCached,
} from "./latency/index.js";
import { writeModel } from "./onnx/index.js";
import { type ChannelGroups, findGroups, type Widths } from "./prune/groups.js";
import { sliceGraph } from "./prune/slice.js";

/** The model's bytes in a precision: `placeQdq` with ranges of the original for `int8`, plain `writeModel` for `fp32`. */
export type ToVariant = (g: Graph, precision: Precision) => Uint8Array | Promise<Uint8Array>;

export interface ProfileModelOptions {
  /** Tidy and inferred. */
  graph: Graph;
  /** Found when absent. */
  groups?: ChannelGroups;
  runner: DeviceRunner;
  /** Default fp32 alone. */
  precisions?: readonly Precision[];
  /** Needed for int8. Default: writes fp32. */
  toVariant?: ToVariant;
  grid?: GridOptions;
  /** Sub-nets per precision, the unpruned model included. Default 48. */
  samples?: number;
  sampling?: Omit<SampleOptions, "seed" | "signal">;
  seed: number;
  /** Default: `defaultCacheDir()`. */
  cacheDir?: string;
  /** Measure although a table is cached. */
  refresh?: boolean;
  onProgress?: Progress;
  signal?: AbortSignal;
}

export interface ModelProfile {
  table: LatencyTable;
  model: LatencyModel;
  groups: ChannelGroups;
  /** Every width that may have been measured, per prunable group, ascending. */
  grids: Map<string, number[]>;
  /** Widths worth choosing, per prunable group, ascending, the full one included: right edges of plateaus in any precision. */
  candidateWidths: Map<string, number[]>;
  seconds: number;
  /** True when nothing was measured. */
  cached: boolean;
}

/** Sub-nets that share rounds of a job: few enough that samples of one round see the same moment of the machine. */
const NETS_PER_JOB = 6;
const DEFAULT_SAMPLES = 48;

/**
 * Measures a model's table, or reads it from the cache; an interrupted profile goes on where it stopped.
 *
 * Throws EdgefitError `emulated-device` where times would not be those of hardware, and whatever the runner throws.
 */
export async function profileModel(o: ProfileModelOptions): Promise<ModelProfile> {
  const begin = performance.now();
  const { graph, runner, precisions = ["fp32"] } = o;
  const groups = o.groups ?? findGroups(graph);
  const facts = await runner.describe();
  if (facts.emulated) {
    throw new EdgefitError(
      "emulated-device",
      "times on an emulated device are not those of any hardware, so no table is made of them",
      {
        where: facts.id,
        hint: "profile on the device itself",
      },
    );
  }
  const kernels = kernelsOf(graph, symbolicOf(groups));
  const grids = new Map(groups.prunable.map((g) => [g.id, widthGrid(g.width, o.grid)]));
  let table: LatencyTable | undefined;
  let cached = true;
  for (const precision of precisions) {
    const one = await tableFor(precision, { ...o, groups, facts, kernels, grids });
    cached &&= one.cached;
    table = table ? mergeTables(table, one.table) : one.table;
  }
  if (!table) throw new EdgefitError("precisions", "a profile needs at least one precision");
  const model = latencyModel(table, kernels);
  return {
    table,
    model,
    groups,
    grids,
    candidateWidths: candidateWidths(model, groups.groups, grids),
    seconds: (performance.now() - begin) / 1000,
    cached,
  };
}

interface Measuring extends ProfileModelOptions {
  groups: ChannelGroups;
  facts: DeviceFacts;
  kernels: readonly Kernel[];
  grids: ReadonlyMap<string, readonly number[]>;
}

async function tableFor(precision: Precision, o: Measuring): Promise<{ table: LatencyTable; cached: boolean }> {
  const folder = o.cacheDir ?? defaultCacheDir();
  const samples = o.samples ?? DEFAULT_SAMPLES;
  const owner = { fingerprint: fingerprint(o.facts), runtime: o.facts.runtime };
  const settings = hashOf([
    TABLE_VERSION,
    structuralHash(o.graph),
    o.kernels.map((k) => k.key),
    [...o.grids],
    samples,
    o.sampling ?? {},
  ]);
  const name = `latency-${owner.fingerprint}-${settings}-${precision}`;
  const path = join(folder, `${name}.json`);
  const text = o.refresh ? undefined : await readCached(path);
  if (text !== undefined) {
    const table = parseTable(text, path);
    refuseStale(table, owner, path);
    return { table, cached: true };
  }

  const observed = await observe(precision, samples, join(folder, `${name}.partial.json`), o);
  const nets = observed.nets.map((n) => n.observation);
  const rows = rowsOf(nets, precision);
  const surfaces = surfacesOf(rows, precision);
  const correction = fitCorrection(
    nets.map((n) => sumKernels(n.kernels, surfaces)),
    nets.map((n) => n.ms),
  );
  const { medianErrorPct, p90ErrorPct, spearman } = crossValidate(nets, precision);
  const { hardware, os, runtime } = o.facts;
  const table: LatencyTable = {
    schemaVersion: TABLE_VERSION,
    device: {
      id: o.facts.id,
      fingerprint: owner.fingerprint,
      cpu: hardware.cpu,
      arch: os.arch,
      isa: [...hardware.isa],
      emulated: false,
    },
    runtime: {
      package: runtime.package,
      version: runtime.version,
      provider: runtime.provider,
      threads: runtime.threads,
      graphOptimizationLevel: runtime.graphOptimizationLevel,
    },
    date: new Date().toISOString(),
    basis: "p50",
    seed: o.seed,
    rows,
    nets: observed.nets.map(({ widths, observation: { ms } }) => ({
      precision,
      widths: Object.fromEntries(widths),
      ms,
    })),
    corrections: { [precision]: correction },
    quality: {
      [precision]: {
        n: nets.length,
        medianErrorPct,
        p90ErrorPct,
        spearman,
        discarded: observed.discarded,
        drifting: observed.drifting,
      },
    },
    reference: { [precision]: nets[0].ms },
  };
  await writeCached(folder, `${name}.json`, `${JSON.stringify(table)}\n`);
  await removeCached(join(folder, `${name}.partial.json`));
  return { table, cached: false };
}

/** What the partial file keeps of one sub-net: kernels in order, and its latency over the reference's. */
interface NetRecord {
  us: number[];
  launches: number[];
  ratio: number;
  /** The reference's latency next to it, in ms. */
  referenceMs: number;
}

/** An interrupted profile, to be gone on with. */
interface Partial {
  seed: number;
  /** One median per job. */
  referenceMs: number[];
  discarded: number;
  drifting: number;
  nets: NetRecord[];
}

async function observe(precision: Precision, samples: number, partialPath: string, o: Measuring) {
  const { graph, groups, kernels, runner, signal } = o;
  const toVariant: ToVariant = o.toVariant ?? fp32Only;
  const designs = designWidths(groups.prunable, o.grids, samples, o.seed);
  const folder = join(partialPath, "..");
  const state = await resume(partialPath, o.seed);
  const feeds = inputFeeds(graph, o.seed);
  const reference = await openReference(runner, await toVariant(graph, "fp32"), feeds);
  reference.medians.push(...state.referenceMs);
  try {
    const stage = `measuring sub-nets, ${precision}`;
    o.onProgress?.({ stage, done: state.nets.length, total: samples });
    while (state.nets.length < samples) {
      throwIfAborted(signal);
      const chunk = designs.slice(state.nets.length, state.nets.length + NETS_PER_JOB);
      const nets = [];
      for (const widths of chunk) {
        const bytes = await toVariant(sliceGraph(graph, groups, prefixes(widths)), precision);
        nets.push({ bytes, dims: dimsAt(groups, widths) });
      }
      const seed = o.seed + 1000 * state.nets.length;
      const got = await sampleNets(runner, reference, nets, kernels, feeds, {
        ...sampling(reference.medians, o.sampling),
        seed,
        signal,
      });
      got.kernels.forEach((observations, i) => {
        state.nets.push({
          us: observations.map((k) => k.us),
          launches: observations.map((k) => k.launches),
          ratio: got.ratios[i],
          referenceMs: got.referenceMs,
        });
      });
      state.discarded += got.discarded;
      state.drifting += got.drifting;
      state.referenceMs = reference.medians;
      o.onProgress?.({ stage, done: state.nets.length, total: samples });
      await writeCached(folder, partialPath.slice(folder.length + 1), JSON.stringify(state));
    }
  } finally {
    await runner.unload(reference.model);
  }
  const referenceMs = median(state.referenceMs);
  const nets = state.nets.slice(0, samples).map((record, i) => {
    const dims = dimsAt(groups, designs[i]);
    // A machine that ran slower when this net was profiled did so for the reference too.
    const pace = referenceMs / record.referenceMs;
    const observation: NetObservation = {
      kernels: kernels.map((k, j) => ({ ...k.signature(dims), us: pace * record.us[j], launches: record.launches[j] })),
      ms: record.ratio * referenceMs,
    };
    return { widths: designs[i], observation };
  });
  return { nets, discarded: state.discarded, drifting: state.drifting };
}

const fp32Only: ToVariant = (g, precision) => {
  if (precision === "fp32") return writeModel(g);
  throw new EdgefitError(
    "variant-missing",
    `a profile in ${precision} needs a function that makes the ${precision} model`,
  );
};

/** The partial file, if there is one for the same random sub-nets. */
async function resume(path: string, seed: number): Promise<Partial> {
  const text = await readCached(path);
  const fresh: Partial = { seed, referenceMs: [], discarded: 0, drifting: 0, nets: [] };
  if (text === undefined) return fresh;
  const known = JSON.parse(text) as Partial;
  return known.seed === seed ? known : fresh;
}

/** Fewer calls for slower models: about 60 ms of profiled and of plain calls per net and session. */
function sampling(
  referenceMs: readonly number[],
  given: Omit<SampleOptions, "seed" | "signal"> = {},
): Omit<SampleOptions, "seed"> {
  const ms = referenceMs.length > 0 ? median([...referenceMs]) : 1;
  const within = (low: number, value: number, high: number) => Math.round(Math.min(high, Math.max(low, value)));
  return { calls: within(12, 60 / ms, 120), samples: within(10, 30 / ms, 60), ...given };
}

/** The first channels of each group: a latency does not depend on which ones are kept. */
function prefixes(widths: Widths): Map<string, Int32Array> {
  return new Map([...widths].map(([id, width]) => [id, Int32Array.from({ length: width }, (_, i) => i)]));
}

/** Symbolic dims with the cost of finding them paid once per value. */
function symbolicOf(groups: ChannelGroups): (value: string) => ReturnType<ChannelGroups["symbolicDims"]> {
  const known = new Map<string, ReturnType<ChannelGroups["symbolicDims"]>>();
  const prunable = new Set(groups.prunable.map((g) => g.id));
  return (value) => {
    let dims = known.get(value);
    if (!dims) {
      // Groups of a single channel are not frozen, but they cannot change either.
      dims = groups.symbolicDims(value).map(({ fixed, terms }) => {
        const still = terms.filter((t) => !prunable.has(t.group));
        const extra = still.reduce((s, t) => s + t.multiplicity * groups.group(t.group).width, 0);
        return { fixed: fixed + extra, terms: terms.filter((t) => prunable.has(t.group)) };
      });
      known.set(value, dims);
    }
    return dims;
  };
}

function dimsAt(groups: ChannelGroups, widths: Widths): DimsOf {
  const symbolic = symbolicOf(groups);
  return (value) => symbolic(value).map((dim) => evaluateDim(dim, widths));
}

const hashOf = (x: unknown): string => createHash("sha256").update(JSON.stringify(x)).digest("hex").slice(0, 16);
