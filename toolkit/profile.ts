/**
 * The story of a profile: random sub-nets of a model are sliced, measured on a device, and turned into a latency table that
 * predicts any sub-net. Tables are kept per device, so that a second profile costs nothing.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type DeviceFacts, type DeviceRunner, fingerprint } from "../runners/index.js";
import { EdgefitError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import type { Progress } from "./graph/progress.js";
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
  observeNets,
  type Precision,
  parseTable,
  readCached,
  refuseStale,
  removeCached,
  rowsOf,
  type SampleOptions,
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
  onWarning?: (warning: string) => void;
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

const DEFAULT_SAMPLES = 48;
/** A table that predicts the nets it was made of worse than this (90th percentile, each net left out) is worth another try. */
const ROUGH_PCT = 10;
/** Where nothing can be pruned all sub-nets are the model itself; a few sessions of it are enough. */
const SAMPLES_OF_ONE = 6;

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
  const samples = Math.min(
    o.samples ?? DEFAULT_SAMPLES,
    o.groups.prunable.length > 0 ? Number.POSITIVE_INFINITY : SAMPLES_OF_ONE,
  );
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
  const known = text === undefined ? undefined : parseTable(text, path);
  if (known) refuseStale(known, owner, path);
  if (known && p90Of(known, precision) <= ROUGH_PCT) return { table: known, cached: true };
  if (known) o.onWarning?.(`the ${precision} latency table was measured on a busy machine: it is measured again`);

  const designs = designWidths(o.groups.prunable, o.grids, samples, o.seed);
  const toVariant: ToVariant = o.toVariant ?? fp32Only;
  const partialPath = join(folder, `${name}.partial.json`);
  if (o.refresh) await removeCached(partialPath);
  const observed = await observeNets({
    runner: o.runner,
    kernels: o.kernels,
    feeds: inputFeeds(o.graph, o.seed),
    reference: await toVariant(o.graph, "fp32"),
    count: samples,
    subNet: async (i) => ({
      bytes: await toVariant(sliceGraph(o.graph, o.groups, prefixes(designs[i])), precision),
      dims: dimsAt(o.groups, designs[i]),
    }),
    dims: (i) => dimsAt(o.groups, designs[i]),
    sampling: o.sampling,
    seed: o.seed,
    partialPath,
    stage: `measuring sub-nets, ${precision}`,
    onProgress: o.onProgress,
    signal: o.signal,
  });
  const { nets } = observed;
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
    nets: nets.map(({ ms }, i) => ({ precision, widths: Object.fromEntries(designs[i]), ms })),
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
  const better = known && p90Of(known, precision) < p90ErrorPct ? known : table;
  await writeCached(folder, `${name}.json`, `${JSON.stringify(better)}\n`);
  await removeCached(partialPath);
  const error = p90Of(better, precision);
  if (error > ROUGH_PCT) {
    o.onWarning?.(
      `the ${precision} latency table is rough: one in ten of its own nets is predicted ${error.toFixed(0)} % or more off; other programs may be running`,
    );
  }
  return { table: better, cached: false };
}

const p90Of = (table: LatencyTable, precision: Precision): number => table.quality[precision]?.p90ErrorPct ?? 0;

const fp32Only: ToVariant = (g, precision) => {
  if (precision === "fp32") return writeModel(g);
  throw new EdgefitError(
    "variant-missing",
    `a profile in ${precision} needs a function that makes the ${precision} model`,
  );
};

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
