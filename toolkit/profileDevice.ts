/** The latency table of a device for a model's file: what `edgefit profile` makes, and `fit` finds in the cache afterwards. */
import type { DeviceFacts } from "../runners/index.js";
import type { Tensor } from "./graph/tensor.js";
import type { LatencyTable, Precision } from "./latency/index.js";
import { feedsFor, goldenRun, type OpenDevice, oneCall, openDevice, shownOn } from "./onDevice.js";
import { writeModel } from "./onnx/index.js";
import type { ProfileOptions } from "./options.js";
import { needsReducedRange, timingVariant } from "./precision.js";
import { gridOf, profileModel } from "./profile.js";
import { calibrate } from "./quantize/index.js";
import { noiseBatches, openSubject, type Subject } from "./subject.js";
import { type TraceEvent, traceEvents } from "./traceEvents.js";

export interface KernelCost {
  /** Name of the node around which the kernel is built. */
  id: string;
  ops: readonly string[];
  /** Milliseconds per call at full width, per measured precision; the correction for the whole model is in them. */
  ms: Partial<Record<Precision, number>>;
}

export interface DeviceProfileResult {
  device: DeviceFacts;
  /** True when the table was there and nothing was measured. */
  cached: boolean;
  seconds: number;
  /** Milliseconds of the unpruned model, per measured precision. */
  referenceMs: Partial<Record<Precision, number>>;
  kernels: readonly KernelCost[];
  table: LatencyTable;
  /** Calls of the whole model node by node, where they were asked for. */
  trace: TraceEvent[] | null;
}

const CALIBRATION_IMAGES = 2;
/** Of a trace: enough to see one call as typical. */
const TRACED_CALLS = 10;

async function traceOf(device: OpenDevice, s: Subject, call: Tensor): Promise<TraceEvent[]> {
  const { id } = await device.runner.load(s.bytes, { profiling: true });
  const nodes = await device.runner.profile(id, feedsFor(s, oneCall(s, call)), TRACED_CALLS, 3);
  return traceEvents(nodes, `${s.file} on ${device.facts.id}`);
}

/**
 * Measures the table, in fp32 and, unless `int8` is `off`, in INT8, or reads it from the cache. INT8 ranges come from
 * noise: they shape no time. Throws ModelError for a file that is no model and DeviceError as the device does.
 */
export async function profile(o: ProfileOptions): Promise<DeviceProfileResult> {
  const seed = o.seed ?? 1;
  const { signal, refresh, cacheDir } = o;
  const subject = await openSubject(o);
  const device = await openDevice(o, subject);
  try {
    const [call] = noiseBatches(subject, 1, seed);
    await goldenRun(device, subject, subject.bytes, oneCall(subject, call));
    const batches = (async function* () {
      for (const t of noiseBatches(subject, CALIBRATION_IMAGES, seed))
        yield { data: t.data as Float32Array, dims: t.dims };
    })();
    const ranges =
      o.int8 === "off" ? undefined : await calibrate(subject.graph, batches, { method: { kind: "minmax" }, signal });
    const precisions: readonly Precision[] = ranges ? ["fp32", "int8"] : ["fp32"];
    const { table, model, groups, seconds, cached } = await profileModel({
      graph: subject.graph,
      runner: device.runner,
      precisions,
      toVariant: (g, precision) =>
        precision === "int8" && ranges ? timingVariant(g, ranges, needsReducedRange(device.facts)) : writeModel(g),
      ...gridOf(device),
      seed,
      cacheDir,
      refresh,
      onProgress: shownOn(device, subject.file, o.onProgress),
      ...(o.onWarning ? { onWarning: o.onWarning } : {}),
      signal,
    });
    const full = new Map(groups.groups.map((g) => [g.id, g.width]));
    const costs = precisions.map((p) => [p, model.layerMs(full, p)] as const);
    const kernels = model.kernels.map(({ id, ops }) => ({
      id,
      ops,
      ms: Object.fromEntries(costs.map(([p, ms]) => [p, ms.get(id)])),
    }));
    const trace = o.trace ? await traceOf(device, subject, call) : null;
    return { device: device.facts, cached, seconds, referenceMs: table.reference, kernels, table, trace };
  } finally {
    await device.close();
  }
}
