/** What every layer of a whole model takes on a device, in floats and on integers. */
import type { Graph } from "./graph/graph.js";
import type { OpenDevice } from "./onDevice.js";
import type { DeviceOptions } from "./options.js";
import { profileModel, type ToVariant } from "./profile.js";
import { findGroups } from "./prune/groups.js";

export interface LayerTime {
  floatMs: number;
  integerMs: number;
}

/**
 * Node of `g` -> time of the kernel that it belongs to (a kernel of several nodes is listed under each). Measured on the
 * uncut model, or read from the cache. Throws as `profileModel` does, on emulated devices among others.
 */
export async function layerTimes(
  g: Graph,
  device: OpenDevice,
  toVariant: ToVariant,
  o: Pick<DeviceOptions, "seed" | "cacheDir" | "onProgress" | "signal">,
): Promise<Map<string, LayerTime>> {
  const groups = findGroups(g);
  const profile = await profileModel({
    graph: g,
    // Without prunable groups every sub-net is the model itself.
    groups: { ...groups, prunable: [] },
    runner: device.runner,
    precisions: ["fp32", "int8"],
    toVariant,
    seed: o.seed ?? 1,
    ...(o.cacheDir ? { cacheDir: o.cacheDir } : {}),
    ...(o.onProgress ? { onProgress: o.onProgress } : {}),
    ...(o.signal ? { signal: o.signal } : {}),
  });
  const [float, integer] = [profile.model.layerMs(new Map(), "fp32"), profile.model.layerMs(new Map(), "int8")];
  const out = new Map<string, LayerTime>();
  for (const k of profile.model.kernels) {
    const time = { floatMs: float.get(k.id)!, integerMs: integer.get(k.id)! };
    for (const n of k.nodes) out.set(n, time);
  }
  return out;
}
