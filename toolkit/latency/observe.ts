/** Measures all sub-nets of a profile, a few at a time, and keeps what is done so that an interrupted profile can go on. */
import { basename, dirname } from "node:path";
import { median } from "simple-statistics";
import * as z from "zod";
import type { DeviceRunner, Feeds } from "../../runners/runner.js";
import { type Progress, throwIfAborted } from "../graph/progress.js";
import type { NetObservation } from "./assemble.js";
import type { DimsOf, Kernel } from "./kernel.js";
import { openReference, type SampleOptions, type SubNet, sampleNets, withLoaded } from "./sample.js";
import { readCached, writeCached } from "./store.js";

export interface ObserveOptions {
  runner: DeviceRunner;
  kernels: readonly Kernel[];
  feeds: Feeds;
  /** The model that all latencies are ratios to. */
  reference: Uint8Array;
  /** Number of sub-nets. */
  count: number;
  /** Makes sub-net `i`; called only for those that are not yet measured. */
  subNet(i: number): Promise<SubNet>;
  dims(i: number): DimsOf;
  sampling?: Omit<SampleOptions, "seed" | "signal">;
  seed: number;
  /** File that holds the finished sub-nets of an unfinished profile. */
  partialPath: string;
  stage: string;
  onProgress?: Progress;
  signal?: AbortSignal;
}

export interface Observed {
  nets: NetObservation[];
  discarded: number;
  drifting: number;
}

/** Sub-nets that share rounds of a job: few enough that samples of one round see the same moment of the machine. */
const NETS_PER_JOB = 6;

/** Of one sub-net: kernels in order, and its latency over that of the reference, `referenceMs`, at that time. */
const recordSchema = z.object({
  us: z.array(z.number()),
  launches: z.array(z.number()),
  ratio: z.number().positive(),
  referenceMs: z.number().positive(),
});
const partialSchema = z.object({
  seed: z.number(),
  kernels: z.number(),
  discarded: z.number(),
  drifting: z.number(),
  nets: z.array(recordSchema),
});
type Partial = z.infer<typeof partialSchema>;

/** Profiles and times sub-nets 0 to `count - 1`. Whatever the runner throws passes through; finished sub-nets stay on disk. */
export async function observeNets(o: ObserveOptions): Promise<Observed> {
  const state = await resume(o);
  const report = () => o.onProgress?.({ stage: o.stage, done: state.nets.length, total: o.count });
  report();
  if (state.nets.length < o.count) {
    const reference = await openReference(o.runner, o.reference, o.feeds);
    await withLoaded(o.runner, [reference.model], async () => {
      while (state.nets.length < o.count) {
        throwIfAborted(o.signal);
        const nets: SubNet[] = [];
        for (let i = state.nets.length; i < Math.min(o.count, state.nets.length + NETS_PER_JOB); i++) {
          nets.push(await o.subNet(i));
        }
        const got = await sampleNets(o.runner, reference, nets, o.kernels, o.feeds, {
          ...suited(reference.medians, o.sampling),
          seed: o.seed + 1000 * state.nets.length,
          signal: o.signal,
        });
        for (const [i, kernels] of got.kernels.entries()) {
          state.nets.push({
            us: kernels.map((k) => k.us),
            launches: kernels.map((k) => k.launches),
            ratio: got.ratios[i],
            referenceMs: got.referenceMs,
          });
        }
        state.discarded += got.discarded;
        state.drifting += got.drifting;
        report();
        await writeCached(dirname(o.partialPath), basename(o.partialPath), JSON.stringify(state));
      }
    });
  }
  return { nets: toObservations(state, o), discarded: state.discarded, drifting: state.drifting };
}

function toObservations(state: Partial, o: ObserveOptions): NetObservation[] {
  const referenceMs = median(state.nets.map((n) => n.referenceMs));
  return state.nets.map((net, i) => {
    const dims = o.dims(i);
    // A machine that ran slower when this net was profiled did so for the reference too.
    const pace = referenceMs / net.referenceMs;
    return {
      kernels: o.kernels.map((k, j) => ({ ...k.signature(dims), us: pace * net.us[j], launches: net.launches[j] })),
      ms: net.ratio * referenceMs,
    };
  });
}

/** The partial file, when it is of the same random sub-nets; a fresh start otherwise. It is a scratch file: one that cannot be understood is not worth an error. */
async function resume(o: ObserveOptions): Promise<Partial> {
  const fresh: Partial = { seed: o.seed, kernels: o.kernels.length, discarded: 0, drifting: 0, nets: [] };
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
  const same = known.success && known.data.seed === o.seed && known.data.kernels === o.kernels.length;
  return same && known.data.nets.length <= o.count ? known.data : fresh;
}

/** Fewer calls for slower models: about 120 ms of profiled and of plain calls per net and session, within limits. */
function suited(referenceMs: readonly number[], given: ObserveOptions["sampling"] = {}): Omit<SampleOptions, "seed"> {
  const ms = referenceMs.length > 0 ? median([...referenceMs]) : 1;
  const within = (low: number, value: number, high: number) => Math.round(Math.min(high, Math.max(low, value)));
  return { calls: within(20, 120 / ms, 120), samples: within(15, 60 / ms, 60), ...given };
}
