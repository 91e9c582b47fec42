/**
 * The story of a profile: sub-nets of a model are sliced, measured on a device, and turned into a latency table that predicts any
 * sub-net. Only what an allocator needs is measured: a coarse design, then nets near what it chooses, until they tell
 * nothing new. Tables are kept per device, so that a second profile costs nothing.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type DeviceRunner, fingerprint } from "../runners/index.js";
import { EdgefitError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import type { Progress } from "./graph/progress.js";
import {
  candidateWidths,
  defaultCacheDir,
  type GridOptions,
  inputFeeds,
  kernelsOf,
  type LatencyModel,
  type LatencyTable,
  latencyModel,
  type MeasuredNet,
  mergeTables,
  NETS_PER_JOB,
  type Observed,
  observeNets,
  type Precision,
  parseTable,
  readCached,
  refuseStale,
  removeCached,
  type SampleOptions,
  type SubNetDesign,
  structuralHash,
  TABLE_VERSION,
  widthGrid,
  writeCached,
} from "./latency/index.js";
import { writeModel } from "./onnx/index.js";
import { type DesignSpace, shapingOf, subNetOf, symbolicOf } from "./profileDesign.js";
import { coarseThenChosen, nearChoice, ROUNDS_PER_CHOICE, type TableOf, tableFrom } from "./profileTable.js";
import { type Branch, findBranches } from "./prune/branches.js";
import { type ChannelGroups, findGroups, type Widths } from "./prune/groups.js";

/** The model's bytes in a precision: `placeQdq` with ranges of the original for `int8`, plain `writeModel` for `fp32`. */
export type ToVariant = (g: Graph, precision: Precision) => Uint8Array | Promise<Uint8Array>;

export interface ProfileModelOptions {
  /** Tidy and inferred. */
  graph: Graph;
  /** Found when absent. */
  groups?: ChannelGroups;
  /** Branches that sub-nets may lack. Found when absent. */
  branches?: readonly Branch[];
  runner: DeviceRunner;
  /** Default fp32 alone. */
  precisions?: readonly Precision[];
  /** Needed for int8. Default: writes fp32. */
  toVariant?: ToVariant;
  grid?: GridOptions;
  /** Sub-nets per precision at most, the unpruned model included. Default 48. */
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

/** The grid of widths that suits a device: that of its profile's alignment, else the default. */
export const gridOf = (device: { alignment?: number }): Pick<ProfileModelOptions, "grid"> =>
  device.alignment === undefined ? {} : { grid: { step: device.alignment } };

export interface ModelProfile extends DesignSpace {
  table: LatencyTable;
  model: LatencyModel;
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
  const m = await measuring(o);
  let table: LatencyTable | undefined;
  let cached = true;
  for (const precision of o.precisions ?? ["fp32"]) {
    const one = await tableFor(precision, m);
    cached &&= one.cached;
    table = table ? mergeTables(table, one.table) : one.table;
  }
  if (!table) throw new EdgefitError("precisions", "a profile needs at least one precision");
  return profileOf(table, m, begin, cached);
}

/**
 * Measures nets near the widths that `choose` picks by the table as it is, until the prediction there is settled (three rounds at
 * most), and keeps them in the table. Candidate widths stay those of `profile`. Throws as `profileModel` does.
 */
export async function settleProfile(
  o: ProfileModelOptions,
  profile: ModelProfile,
  precision: Precision,
  choose: (model: LatencyModel) => Widths,
): Promise<ModelProfile> {
  const begin = performance.now();
  const m = await measuring({ ...o, branches: profile.branches, groups: profile.groups });
  const known = profile.table.nets.filter((n) => n.precision === precision);
  const { discarded, drifting } = profile.table.quality[precision] ?? { discarded: 0, drifting: 0 };
  const cache = cacheOf(precision, m);
  const observed = await observe(precision, m, {
    known: { nets: known, discarded, drifting },
    next: nearChoice(m, precision, m, known.length, choose),
    most: known.length + ROUNDS_PER_CHOICE * NETS_PER_JOB,
    partialPath: join(cache.folder, `${cache.name}.near.partial.json`),
    stage: `measuring near the chosen widths, ${precision}`,
  });
  if (observed.nets.length === known.length) return profile;
  const own = tableFrom(observed, precision, m);
  await writeCached(cache.folder, `${cache.name}.json`, `${JSON.stringify(own)}\n`);
  await removeCached(join(cache.folder, `${cache.name}.near.partial.json`));
  const others = profile.table.rows.filter((r) => r.precision !== precision);
  const rest = { ...profile.table, rows: others, nets: profile.table.nets.filter((n) => n.precision !== precision) };
  const { candidateWidths } = profile;
  return { ...profileOf(mergeTables(rest, own), m, begin, false), candidateWidths };
}

/** What all measuring for one model on one device shares. */
interface Measuring extends Omit<ProfileModelOptions, "groups" | "branches">, DesignSpace, TableOf {
  grids: Map<string, number[]>;
  samples: number;
}

async function measuring(o: ProfileModelOptions): Promise<Measuring> {
  const { graph } = o;
  const groups = o.groups ?? findGroups(graph);
  const branches = groups.prunable.length > 0 ? (o.branches ?? findBranches(graph, groups)) : [];
  const facts = await o.runner.describe();
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
  const grids = new Map(groups.prunable.map((g) => [g.id, widthGrid(g.width, o.grid)]));
  const most = groups.prunable.length > 0 ? Number.POSITIVE_INFINITY : SAMPLES_OF_ONE;
  return {
    ...o,
    groups,
    branches,
    facts,
    kernels: kernelsOf(graph, symbolicOf(groups)),
    grids,
    shape: shapingOf({ groups, branches }),
    samples: Math.min(o.samples ?? DEFAULT_SAMPLES, most),
  };
}

function profileOf(table: LatencyTable, m: Measuring, begin: number, cached: boolean): ModelProfile {
  const model = latencyModel(table, m.kernels);
  return {
    table,
    model,
    groups: m.groups,
    branches: m.branches,
    grids: m.grids,
    candidateWidths: candidateWidths(model, m.groups.groups, m.grids),
    seconds: (performance.now() - begin) / 1000,
    cached,
  };
}

/** Where the table of one precision is kept. */
function cacheOf(precision: Precision, m: Measuring): { folder: string; name: string; path: string } {
  const folder = m.cacheDir ?? defaultCacheDir();
  const settings = hashOf([
    TABLE_VERSION,
    structuralHash(m.graph),
    m.kernels.map((k) => k.key),
    [...m.grids],
    m.branches.map((b) => b.sum),
    m.samples,
    m.sampling ?? {},
  ]);
  const name = `latency-${fingerprint(m.facts)}-${settings}-${precision}`;
  return { folder, name, path: join(folder, `${name}.json`) };
}

async function tableFor(precision: Precision, m: Measuring): Promise<{ table: LatencyTable; cached: boolean }> {
  const { folder, name, path } = cacheOf(precision, m);
  const text = m.refresh ? undefined : await readCached(path);
  const known = text === undefined ? undefined : parseTable(text, path);
  if (known) refuseStale(known, { fingerprint: fingerprint(m.facts), runtime: m.facts.runtime }, path);
  if (known && p90Of(known, precision) <= ROUGH_PCT) return { table: known, cached: true };
  if (known) m.onWarning?.(`the ${precision} latency table was measured on a busy machine: it is measured again`);

  const partialPath = join(folder, `${name}.partial.json`);
  if (m.refresh) await removeCached(partialPath);
  const observed = await observe(precision, m, {
    next: coarseThenChosen(m, precision, m, m.samples),
    most: m.samples,
    partialPath,
    stage: `measuring sub-nets, ${precision}`,
  });
  const table = tableFrom(observed, precision, m);
  const better = known && p90Of(known, precision) < p90Of(table, precision) ? known : table;
  await writeCached(folder, `${name}.json`, `${JSON.stringify(better)}\n`);
  await removeCached(partialPath);
  const error = p90Of(better, precision);
  if (error > ROUGH_PCT) {
    m.onWarning?.(
      `the ${precision} latency table is rough: one in ten of its own nets is predicted ${error.toFixed(0)} % or more off; other programs may be running`,
    );
  }
  return { table: better, cached: false };
}

interface Course {
  known?: Observed;
  next(nets: readonly MeasuredNet[]): SubNetDesign[];
  most: number;
  partialPath: string;
  stage: string;
}

async function observe(precision: Precision, m: Measuring, course: Course): Promise<Observed> {
  const toVariant: ToVariant = m.toVariant ?? fp32Only;
  return observeNets({
    ...course,
    runner: m.runner,
    precision,
    kernels: m.kernels,
    feeds: inputFeeds(m.graph, m.seed),
    reference: await toVariant(m.graph, "fp32"),
    shape: m.shape,
    toBytes: async (d) => toVariant(subNetOf(m.graph, m.groups, m.branches, d), precision),
    sampling: m.sampling,
    seed: m.seed,
    onProgress: m.onProgress,
    signal: m.signal,
  });
}

const p90Of = (table: LatencyTable, precision: Precision): number => table.quality[precision]?.p90ErrorPct ?? 0;

const fp32Only: ToVariant = (g, precision) => {
  if (precision === "fp32") return writeModel(g);
  throw new EdgefitError(
    "variant-missing",
    `a profile in ${precision} needs a function that makes the ${precision} model`,
  );
};

const hashOf = (x: unknown): string => createHash("sha256").update(JSON.stringify(x)).digest("hex").slice(0, 16);
