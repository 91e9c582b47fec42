/** Measures ready sub-nets on a device: node times of profiled sessions, and whole calls of unprofiled ones beside a reference. */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { median, quantile } from "simple-statistics";
import type { DeviceRunner, Feeds } from "../../runners/runner.js";
import type { KernelObservation } from "./assemble.js";
import { attribute } from "./attribute.js";
import type { DimsOf, Kernel } from "./kernel.js";

/** A sub-net of the model: nodes and values of the model, other widths. */
export interface SubNet {
  bytes: Uint8Array;
  dims: DimsOf;
  /** Nodes of the model that it lacks, by name. Default: none. */
  gone?: ReadonlySet<string>;
}

export interface SampleOptions {
  /** Profiled calls per net. Default 150. */
  calls?: number;
  /** Calls before them that do not count. Default 8. */
  warmup?: number;
  /** Fresh sessions per net for whole calls: where a session's memory lands moves its latency by some percent. Default 2. */
  sessions?: number;
  /** Samples of whole calls per session. Default 60. */
  samples?: number;
  /** A job during which the reference's latency drifts by more than this share is thrown away and repeated. Default 0.03. */
  maxDrift?: number;
  /** Repeats at most; what still drifts is kept and counted. Default 2. */
  repeats?: number;
  seed: number;
  signal?: AbortSignal;
}

/**
 * The reference net, loaded once: its calls are interleaved with those of every sub-net, and sub-nets are timed as ratios
 * to it, sample by sample. So a machine that slows down between two sub-nets does not favour one of them.
 */
export interface Reference {
  model: number;
  feeds: Feeds;
  /** Medians of all jobs so far, in ms. */
  medians: number[];
}

/** Loads the reference; the caller unloads `model` when done. */
export async function openReference(runner: DeviceRunner, bytes: Uint8Array, feeds: Feeds): Promise<Reference> {
  const { id } = await runner.load(bytes);
  return { model: id, feeds, medians: [] };
}

/** What a handful of sub-nets gave: node times per net, and whole-call latency over that of the reference. */
export interface SampledNets {
  kernels: KernelObservation[][];
  ratios: number[];
  /** Latency of the reference in the same jobs, in ms. */
  referenceMs: number;
  discarded: number;
  drifting: number;
}

/** Profiles and times a handful of sub-nets together. More than about ten at a time make rounds long and pairs loose. */
export async function sampleNets(
  runner: DeviceRunner,
  reference: Reference,
  nets: readonly SubNet[],
  kernels: readonly Kernel[],
  feeds: Feeds,
  o: SampleOptions,
): Promise<SampledNets> {
  const observed: KernelObservation[][] = [];
  for (const net of nets) {
    o.signal?.throwIfAborted();
    observed.push(await profileNet(runner, net, kernels, feeds, o));
  }
  return { kernels: observed, ...(await timeNets(runner, reference, nets, feeds, o)) };
}

/** Whole-call latency over that of the reference, per net: the median over fresh sessions. */
export async function timeNets(
  runner: DeviceRunner,
  reference: Reference,
  nets: readonly Pick<SubNet, "bytes">[],
  feeds: Feeds,
  o: SampleOptions,
): Promise<Omit<SampledNets, "kernels">> {
  const perSession: number[][] = nets.map(() => []);
  const jobsBefore = reference.medians.length;
  let discarded = 0;
  let drifting = 0;
  for (let s = 0; s < (o.sessions ?? 2); s++) {
    const job = await timeOnce(runner, reference, nets, feeds, { ...o, seed: o.seed + s });
    for (const [i, ratio] of job.ratios.entries()) perSession[i].push(ratio);
    discarded += job.discarded;
    drifting += job.drifting ? nets.length : 0;
  }
  const referenceMs = median(reference.medians.slice(jobsBefore));
  return { ratios: perSession.map((r) => median(r)), referenceMs, discarded, drifting };
}

/** Node times of one net, given to the kernels that they stem from; a kernel that the net lacks took nothing. */
export async function profileNet(
  runner: DeviceRunner,
  net: SubNet,
  kernels: readonly Kernel[],
  feeds: Feeds,
  o: Pick<SampleOptions, "calls" | "warmup">,
): Promise<KernelObservation[]> {
  const { id } = await runner.load(net.bytes, { profiling: true });
  const present = kernels.filter((k) => !net.gone?.has(k.id));
  const times = attribute(await runner.profile(id, feeds, o.calls ?? 150, o.warmup ?? 8), present, net.dims);
  return kernels.map((k) => ({ ...k.signature(net.dims), ...(times.get(k.id) ?? { us: 0, launches: 0 }) }));
}

/**
 * A low quantile finds the calls that nothing interrupted, on a busy machine too; on a quiet one its ratio to the reference's
 * predicts medians as well as the ratio of medians does (docs/latency-notes.md).
 */
const UNDISTURBED = 0.1;

/** One job: fresh sessions, calls in shuffled rounds with the reference. */
async function timeOnce(
  runner: DeviceRunner,
  reference: Reference,
  nets: readonly Pick<SubNet, "bytes">[],
  feeds: Feeds,
  o: SampleOptions,
): Promise<{ ratios: number[]; discarded: number; drifting: boolean }> {
  const ids: number[] = [];
  return withLoaded(runner, ids, async () => {
    for (const i of shuffled(nets.length, o.seed)) ids[i] = (await runner.load(nets[i].bytes)).id;
    for (let attempt = 0; ; attempt++) {
      const [base, ...rows] = await runner.measure(
        {
          models: [{ id: reference.model, feeds: reference.feeds }, ...ids.map((id) => ({ id, feeds }))],
          warmup: 4,
          minWarmupMs: 0,
          minSamples: o.samples ?? 60,
          minTimeMs: 0,
          seed: o.seed + 7919 * attempt,
        },
        o.signal,
      );
      const drifting = Math.abs(base.drift) > (o.maxDrift ?? 0.03);
      if (drifting && attempt < (o.repeats ?? 2)) continue;
      reference.medians.push(median(Array.from(base.samplesMs)));
      const baseMs = quantile(Array.from(base.samplesMs), UNDISTURBED);
      const ratios = rows.map((m) => quantile(Array.from(m.samplesMs), UNDISTURBED) / baseMs);
      return { ratios, discarded: attempt, drifting };
    }
  });
}

/**
 * Runs `work`, then unloads the models in `ids` (which may grow meanwhile). When `work` fails its error is the one thrown, even if the
 * device is so far gone that unloading fails too.
 */
export async function withLoaded<T>(runner: DeviceRunner, ids: readonly number[], work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await Promise.allSettled(Object.values(ids).map((id) => runner.unload(id)));
    throw error;
  }
  for (const id of ids) await runner.unload(id);
  return result;
}

/** 0 .. n-1 in an order that depends on the seed (Fisher-Yates). */
function shuffled(n: number, seed: number): number[] {
  const random = xoroshiro128plus(seed);
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
