/** What the stories ask of a device: does it compute what the host computes, how fast, and how well. */

import { type DeviceProfile, listProfiles, loadProfile } from "../device-profiles/index.js";
import {
  assertGolden,
  DeviceError,
  type DeviceFacts,
  type DeviceRunner,
  describeFallen,
  type Feeds,
  type LatencySummary,
  type LoadedModel,
  type Measurement,
  measureMemory,
  pairedRatio,
  type Ratio,
  resolveDevice,
  summarize,
  type WireTensor,
} from "../runners/index.js";
import type { Split } from "./data/index.js";
import { type Progress, throwIfAborted } from "./graph/progress.js";
import type { Tensor } from "./graph/tensor.js";
import type { DeviceOptions, FleetOptions } from "./options.js";
import { argmaxRows } from "./quantize/index.js";
import { withSession } from "./runtime/session.js";
import { hasFixedBatch, noiseBatches, type Subject } from "./subject.js";

/** A device that a story holds; `close` ends it only when the story opened it. */
export interface OpenDevice {
  runner: DeviceRunner;
  facts: DeviceFacts;
  /** Widths in multiples of this suit the device, by its profile; undefined where the device is no profile. */
  alignment?: number;
  close(): Promise<void>;
}

/** Opens the named device, or takes the runner that the caller opened. `subject` is what it will run: some devices choose by it. */
export async function openDevice(o: DeviceOptions, subject?: Subject): Promise<OpenDevice> {
  if (o.device !== undefined && typeof o.device !== "string") {
    return { runner: o.device, facts: await o.device.describe(), close: async () => {} };
  }
  if (o.fleet) return openFleetDevice(o.fleet, o);
  const name = o.device ?? "local";
  const settings = [
    ...(o.threads === undefined ? [] : [`threads=${o.threads}`]),
    ...(o.provider === undefined ? [] : [`provider=${o.provider}`]),
    ...(o.allowFallback ? ["fallback"] : []),
  ].join();
  const runner = await resolveDevice(settings ? `${name}${name.includes(":") ? "," : ":"}${settings}` : name, {
    ...(o.onLog ? { log: o.onLog } : {}),
    ...(o.onWarning ? { onNote: o.onWarning } : {}),
    ...(o.onInvite ? { onInvite: o.onInvite } : {}),
    ...(o.signal ? { signal: o.signal } : {}),
    ...(subject ? { purpose: subject.file, probe: () => probeOf(subject) } : {}),
  });
  const facts = await runner.describe();
  const profile = profileNamed(name);
  const remark = profile && versionRemark(profile, facts);
  if (remark) o.onWarning?.(remark);
  const alignment = profile && { alignment: profile.channelAlignment };
  return { runner, facts, ...alignment, close: () => runner.close() };
}

const profileNamed = (name: string): DeviceProfile | undefined =>
  /[/\\]|\.json$/.test(name) || listProfiles().includes(name) ? loadProfile(name) : undefined;

/** One sentence when a profile was made with another version of the runtime than the device has; else null. */
export function versionRemark(saved: DeviceProfile, { runtime }: Pick<DeviceFacts, "runtime">): string | null {
  const { version } = saved.runtime;
  if (version === null || version === runtime.version) return null;
  return `profile "${saved.id}" was measured with ${saved.runtime.package} ${version}, this device runs ${runtime.version}: kernels may have other times`;
}

/** A device of a queue. Throws DeviceError where queue or device cannot be had. */
async function openFleetDevice(
  fleet: FleetOptions,
  { device, onWarning }: Pick<DeviceOptions, "device" | "onWarning">,
): Promise<OpenDevice> {
  const { deviceClass } = fleet;
  const target = deviceClass === undefined ? { device: String(device) } : { class: deviceClass };
  const { connect, openFleetRunner } = await import("../runners/fleet/index.js");
  const connection = await connect(fleet);
  try {
    const runner = await openFleetRunner({ ...connection, target, ...(onWarning ? { onWarning } : {}) });
    const close = async (): Promise<void> => {
      await runner.close();
      connection.close();
    };
    return { runner, facts: await runner.describe(), close };
  } catch (error) {
    connection.close();
    throw error;
  }
}

const probeOf = (s: Subject) => ({ model: s.bytes, feeds: feedsFor(s, oneCall(s, noiseBatches(s, 1, 1)[0])) });

/** Progress that a device with a screen shows too. */
export function shownOn(device: OpenDevice, title: string, onProgress: Progress | undefined): Progress {
  return (e) => {
    onProgress?.(e);
    device.runner.tell?.({ title, stage: e.stage, done: e.done, total: e.total });
  };
}

/** A tensor as the feeds of one call. */
export function feedsFor(s: Subject, t: Tensor): Feeds {
  return { [s.input.name]: { elemType: "float32", dims: t.dims, data: t.data as Float32Array } };
}

/** The first images of a batch, as many as one timed call takes. */
export function oneCall(s: Subject, batch: Tensor): Tensor {
  const n = s.input.dims.reduce((a, b) => a * b, 1);
  return { elemType: "float32", dims: s.input.dims, data: (batch.data as Float32Array).slice(0, n) };
}

export interface Golden {
  maxAbsError: number;
  tolerance: number;
}

const GOLDEN_TOLERANCE = 1e-3;
/** Of a quantised model, where one rounding tie moves an element by a whole step. */
const GOLDEN_COSINE = 0.995;

/** Compares the device's outputs with the host's on one input, before anything is timed. Throws DeviceError when they differ. */
export async function goldenRun(device: OpenDevice, s: Subject, model: Uint8Array, call: Tensor): Promise<Golden> {
  const loaded = await device.runner.load(model);
  try {
    // A model that brings the runtime down does so in the device's process first, where it is an error with a name.
    await device.runner.run(loaded.id, feedsFor(s, call));
    const reference = await withSession(model, { level: "disabled", where: s.file }, (session) =>
      session.run({ [s.input.name]: call }),
    );
    const { maxAbs } = await assertGolden(device.runner, loaded.id, feedsFor(s, call), asWire(reference), {
      absolute: GOLDEN_TOLERANCE,
      relative: GOLDEN_TOLERANCE,
      ...(s.graph.nodes.some((n) => n.opType === "QuantizeLinear") ? { minCosine: GOLDEN_COSINE } : {}),
    });
    return { maxAbsError: maxAbs, tolerance: GOLDEN_TOLERANCE };
  } finally {
    await device.runner.unload(loaded.id);
  }
}

const asWire = (outputs: Record<string, Tensor>): Record<string, WireTensor> =>
  Object.fromEntries(
    Object.entries(outputs).map(([k, t]) => [k, { elemType: t.elemType, dims: t.dims, data: t.data } as WireTensor]),
  );

/** Latency of one model out of an interleaved run. */
export interface Timed {
  latency: LatencySummary;
  measurement: Measurement;
  initMs: number;
}

export interface TimingOptions {
  minSamples?: number;
  minTimeMs?: number;
  /** Paced: one call per this many milliseconds. */
  intervalMs?: number;
  seed?: number;
  signal?: AbortSignal;
}

/** A model and what it is fed. */
export interface Contestant {
  model: Uint8Array;
  feeds: Feeds;
}

/** Times models in one shuffled run. */
export async function timeTogether(
  device: OpenDevice,
  contestants: readonly Contestant[],
  o: TimingOptions = {},
): Promise<Timed[]> {
  const loaded: LoadedModel[] = [];
  try {
    for (const { model } of contestants) loaded.push(await device.runner.load(model));
    const { signal, ...job } = o;
    const models = loaded.map((m, i) => ({ id: m.id, feeds: contestants[i].feeds }));
    const measured = await device.runner.measure({ models, ...job }, signal);
    return measured.map((measurement, i) => ({
      latency: summarize(measurement.samplesMs, { seed: o.seed }),
      measurement,
      initMs: loaded[i].initMs,
    }));
  } finally {
    for (const m of loaded) await device.runner.unload(m.id);
  }
}

/** How many times slower `a` is than `b`, round by round of one interleaved run. */
export const ratioOf = (a: Timed, b: Timed): Ratio => pairedRatio(a.measurement.samplesMs, b.measurement.samplesMs);

/** Conditions of a run that a reader should know of. */
export function conditionsOf(name: string, t: Timed): string[] {
  const out: string[] = [];
  const { drift, saturation, stopped, fallen = [], missedFrames = 0 } = t.measurement;
  const throttling = t.measurement.conditions?.throttling ?? [];
  if (throttling.length > 0)
    out.push(`${name}: the device was held back while it was measured: ${throttling.join(", ")}`);
  if (fallen.length > 0)
    out.push(`${name}: ${fallen.length} nodes did not run on the provider: ${describeFallen(fallen)}`);
  if (Math.abs(drift) > 0.05)
    out.push(`${name}: the latency drifted by ${(100 * drift).toFixed(0)} % while it was measured`);
  if (missedFrames > 0) out.push(`${name}: ${missedFrames} frames went by while a call was still running`);
  if (saturation) out.push(`${name}: the clock is too coarse for this model (${saturation})`);
  if (stopped === "cap") out.push(`${name}: measuring stopped at its time limit after ${t.latency.n} samples`);
  return out;
}

/** What a model gave on a number of images, on the device. */
export interface Evaluation {
  /** Null without labels or without a vector of class scores. */
  accuracy: { top1: number; images: number } | null;
  /** Outputs of the first images, for comparison with another model's. */
  outputs: Record<string, Tensor>[];
}

/** Images whose outputs are kept for comparison. */
const COMPARED_IMAGES = 1000;

/** Runs a model over the first `limit` images of a split, on the device, with all its cores where threads can be chosen. */
export async function evaluateOn(
  device: OpenDevice,
  s: Subject,
  model: Uint8Array,
  split: Split,
  o: { limit?: number; onProgress?: Progress; stage?: string; signal?: AbortSignal } = {},
): Promise<Evaluation> {
  const total = Math.min(o.limit ?? split.count, split.count);
  // WebAssembly has one pool of threads, made when it starts.
  const threads = device.facts.kind === "node-cpu" ? { threads: device.facts.hardware.cores } : {};
  const loaded = await device.runner.load(model, threads);
  const outputs: Record<string, Tensor>[] = [];
  let correct = 0;
  let judged = 0;
  let kept = 0;
  const fixed = hasFixedBatch(s);
  try {
    for (let i = 0; i < total; i += s.batchSize) {
      throwIfAborted(o.signal);
      const indices = Array.from({ length: Math.min(s.batchSize, total - i) }, (_, k) => i + k);
      if (fixed && indices.length < s.batchSize) break;
      const batch = await split.batch(indices);
      const out = await device.runner.run(
        loaded.id,
        feedsFor(s, { elemType: "float32", dims: batch.dims, data: batch.data }),
      );
      if (kept < COMPARED_IMAGES) outputs.push(out as Record<string, Tensor>);
      kept += indices.length;
      const scores = classScores(s, out);
      if (scores && batch.labels) {
        const classes = argmaxRows(scores.data as Float32Array, scores.dims[1]);
        for (let k = 0; k < classes.length; k++) if (classes[k] === batch.labels[k]) correct++;
        judged += classes.length;
      }
      o.onProgress?.({ stage: o.stage ?? "evaluating", done: Math.min(i + s.batchSize, total), total });
    }
  } finally {
    await device.runner.unload(loaded.id);
  }
  return { accuracy: judged > 0 ? { top1: correct / judged, images: judged } : null, outputs };
}

/** The output that holds class scores, [images, classes], if the model has exactly one output and it is of that form. */
export function classScores<T extends { dims: readonly number[] }>(s: Subject, out: Record<string, T>): T | undefined {
  const [first, ...others] = s.graph.outputs;
  const scores = first && out[first.name];
  return others.length === 0 && scores?.dims.length === 2 && scores.dims[1] > 1 ? scores : undefined;
}

/** Highest resident memory of a process that runs only this model; null where the device or platform cannot tell. */
export async function peakMemoryOf(
  device: OpenDevice,
  s: Subject,
  model: Uint8Array,
  call: Tensor,
): Promise<number | null> {
  const { kind, runtime } = device.facts;
  const isHere = "pid" in device.runner;
  if (!isHere || (kind !== "node-cpu" && kind !== "node-wasm")) return null;
  const { threads, graphOptimizationLevel } = runtime;
  const engine = kind === "node-cpu" ? "native" : "wasm";
  try {
    return (await measureMemory(model, feedsFor(s, call), { engine, threads, graphOptimizationLevel })).peakBytes;
  } catch (e) {
    if (e instanceof DeviceError && e.code === "memory-unknown") return null;
    throw e;
  }
}
