/** Measures sub-nets for a table, a few at a time, and keeps what is done so that an interrupted profile can go on. */
import { basename, dirname } from "node:path";
import { median } from "simple-statistics";
import * as z from "zod";
import type { DeviceRunner, Feeds } from "../../runners/runner.js";
import { type Progress, throwIfAborted } from "../graph/progress.js";
import type { NetObservation } from "./assemble.js";
import type { DimsOf, Kernel, Precision } from "./kernel.js";
import { openReference, type Reference, type SampleOptions, type SubNet, sampleNets, withLoaded } from "./sample.js";
import { readCached, writeCached } from "./store.js";
import { type MeasuredNet, measuredNetSchema } from "./table.js";

/** A sub-net to measure: the width of every prunable group, and the sums whose branch is left out. */
export interface SubNetDesign {
  widths: ReadonlyMap<string, number>;
  gone: ReadonlySet<string>;
}

/** What a design means for a table. */
export interface Shaping {
  dims(d: SubNetDesign): DimsOf;
  /** Nodes that the net lacks, by name. */
  goneNodes(d: SubNetDesign): ReadonlySet<string>;
}

/** Sub-nets measured so far. */
export interface Observed {
  nets: readonly MeasuredNet[];
  discarded: number;
  drifting: number;
}

export interface ObserveOptions {
  runner: DeviceRunner;
  precision: Precision;
  kernels: readonly Kernel[];
  feeds: Feeds;
  /** The model that all latencies are ratios to. */
  reference: Uint8Array;
  /** Measured before; more is added. */
  known?: Observed;
  /** The next sub-nets, given all that are measured; none when it is enough. Asked again after every few nets. */
  next(nets: readonly MeasuredNet[]): readonly SubNetDesign[];
  /** Most that `next` will ask for, for the progress bar. */
  most: number;
  shape: Shaping;
  toBytes(d: SubNetDesign): Promise<Uint8Array>;
  sampling?: Omit<SampleOptions, "seed" | "signal">;
  seed: number;
  /** File that holds the finished sub-nets of an unfinished profile. */
  partialPath: string;
  stage: string;
  onProgress?: Progress;
  signal?: AbortSignal;
}

/** Sub-nets that share rounds of a job: few enough that samples of one round see the same moment of the machine. */
export const NETS_PER_JOB = 6;

const partialSchema = z.object({
  seed: z.number(),
  kernels: z.number(),
  discarded: z.number(),
  drifting: z.number(),
  nets: z.array(measuredNetSchema),
});
type State = z.infer<typeof partialSchema>;

/** Profiles and times what `next` asks for. Whatever the runner throws passes through; finished sub-nets stay on disk. */
export async function observeNets(o: ObserveOptions): Promise<Observed> {
  const state = await resume(o);
  const report = () => o.onProgress?.({ stage: o.stage, done: state.nets.length, total: o.most });
  report();
  let designs = o.next(atOnePace(state.nets));
  if (designs.length > 0) {
    const reference = await openReference(o.runner, o.reference, o.feeds);
    await withLoaded(o.runner, [reference.model], async () => {
      const roughMs = await roughly(o.runner, reference, o.seed);
      while (designs.length > 0) {
        throwIfAborted(o.signal);
        const job = designs.slice(0, NETS_PER_JOB);
        const nets: SubNet[] = [];
        for (const d of job)
          nets.push({ bytes: await o.toBytes(d), dims: o.shape.dims(d), gone: o.shape.goneNodes(d) });
        const got = await sampleNets(o.runner, reference, nets, o.kernels, o.feeds, {
          ...suited(reference.medians.length > 0 ? median(reference.medians) : roughMs, o.sampling),
          seed: o.seed + 1000 * state.nets.length,
          signal: o.signal,
        });
        job.forEach((d, i) => {
          state.nets.push({
            precision: o.precision,
            widths: Object.fromEntries(d.widths),
            gone: [...d.gone],
            ms: got.ratios[i] * got.referenceMs,
            ratio: got.ratios[i],
            referenceMs: got.referenceMs,
            us: got.kernels[i].map((k) => k.us),
            launches: got.kernels[i].map((k) => k.launches),
          });
        });
        state.discarded += got.discarded;
        state.drifting += got.drifting;
        report();
        await writeCached(dirname(o.partialPath), basename(o.partialPath), JSON.stringify(state));
        designs = o.next(atOnePace(state.nets));
      }
    });
  }
  o.onProgress?.({ stage: o.stage, done: state.nets.length, total: state.nets.length });
  return { nets: atOnePace(state.nets), discarded: state.discarded, drifting: state.drifting };
}

/** The nets with `ms` as it would have been at the median pace of the machine. */
function atOnePace(nets: readonly MeasuredNet[]): MeasuredNet[] {
  if (nets.length === 0) return [];
  const referenceMs = median(nets.map((n) => n.referenceMs));
  return nets.map((n) => ({ ...n, ms: n.ratio * referenceMs }));
}

export const designOf = (net: MeasuredNet): SubNetDesign => ({
  widths: new Map(Object.entries(net.widths)),
  gone: new Set(net.gone),
});

/** Measured nets as the rows and the correction are made of: the kernels that each has, at the median pace of the machine. */
export function observationsOf(
  nets: readonly MeasuredNet[],
  kernels: readonly Kernel[],
  shape: Shaping,
): NetObservation[] {
  const referenceMs = nets.length > 0 ? median(nets.map((n) => n.referenceMs)) : 1;
  return nets.map((net) => {
    const design = designOf(net);
    const [dims, gone] = [shape.dims(design), shape.goneNodes(design)];
    // A machine that ran slower when this net was profiled did so for the reference too.
    const pace = referenceMs / net.referenceMs;
    const all = kernels.map((k, j) => ({ ...k.signature(dims), us: pace * net.us[j], launches: net.launches[j] }));
    return { kernels: all.filter((_, j) => !gone.has(kernels[j].id)), ms: net.ratio * referenceMs };
  });
}

/** The partial file, when it is of this profile; else what is known. It is a scratch file: one that cannot be understood is not worth an error. */
async function resume(o: ObserveOptions): Promise<State> {
  const { nets, discarded, drifting } = o.known ?? { nets: [], discarded: 0, drifting: 0 };
  const fresh: State = { seed: o.seed, kernels: o.kernels.length, discarded, drifting, nets: [...nets] };
  const text = await readCached(o.partialPath);
  if (text === undefined) return fresh;
  const known = z
    .string()
    .transform((json, c) => {
      try {
        return JSON.parse(json) as unknown;
      } catch {
        c.addIssue("not JSON");
        return z.NEVER;
      }
    })
    .pipe(partialSchema)
    .safeParse(text);
  const same =
    known.success &&
    known.data.seed === o.seed &&
    known.data.kernels === o.kernels.length &&
    known.data.nets.length >= nets.length &&
    known.data.nets.every((n) => n.us.length === o.kernels.length);
  return same ? known.data : fresh;
}

/** A few calls, to know how many are worth making. */
async function roughly(runner: DeviceRunner, { model, feeds }: Reference, seed: number): Promise<number> {
  const models = [{ id: model, feeds }];
  const [m] = await runner.measure({ models, warmup: 2, minWarmupMs: 0, minSamples: 3, minTimeMs: 0, seed });
  return median(Array.from(m.samplesMs));
}

/** Fewer calls for slower models: about 120 ms of profiled and of plain calls per net and session, within limits. */
function suited(ms: number, given: ObserveOptions["sampling"] = {}): Omit<SampleOptions, "seed"> {
  const within = (low: number, value: number, high: number) => Math.round(Math.min(high, Math.max(low, value)));
  return {
    calls: within(10, 120 / ms, 120),
    warmup: within(3, 40 / ms, 8),
    samples: within(10, 60 / ms, 60),
    ...given,
  };
}
