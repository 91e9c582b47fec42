/** Smallest and largest element of each channel of some values, over calibration images. */
import { GraphBuilder } from "../../graph/builder.js";
import { ModelError } from "../../graph/errors.js";
import { attr, cloneGraph, feedsOf, type Graph, opsetOf, typeOf } from "../../graph/graph.js";
import { throwIfAborted } from "../../graph/progress.js";
import { type Tensor, toNumbers } from "../../graph/tensor.js";
import { withSession } from "../../runtime/session.js";
import { feedsOfBatch } from "../feed.js";
import type { RepairContext } from "./repair.js";
import { type Carrier, readValues, type ScaleGroup } from "./scaleGroups.js";

export interface Extremes {
  low: Float64Array;
  high: Float64Array;
}

/** One pass over the batches. Per value, an entry per place on its channel axis. Throws ModelError `no-data` without images. */
export async function channelExtremes(
  g: Graph,
  carriers: readonly Carrier[],
  c: RepairContext,
): Promise<Map<string, Extremes>> {
  const out = new Map<string, Extremes>();
  if (carriers.length === 0) return out;
  const b = new GraphBuilder(cloneGraph(g));
  b.graph.outputs = [];
  const probes = carriers.map(({ value, axis }) => {
    const axes = (typeOf(g, value)?.dims ?? []).map((_, k) => k).filter((k) => k !== axis);
    const reduce = (op: string): string =>
      opsetOf(g) >= 18
        ? b.emit(op, [value, b.ints(axes)], { keepdims: attr.int(0) })
        : b.emit(op, [value], { axes: attr.ints(axes), keepdims: attr.int(0) });
    return { value, low: b.output(reduce("ReduceMin")), high: b.output(reduce("ReduceMax")) };
  });
  await withSession(b.graph, { ...(c.threads ? { threads: c.threads } : {}) }, async (session) => {
    for (const batch of c.batches) {
      for (const { feeds } of feedsOfBatch(g, { data: batch.data as Float32Array, dims: batch.dims })) {
        throwIfAborted(c.signal);
        const seen = await session.run(feeds);
        for (const p of probes) {
          const [low, high] = [toNumbers(seen[p.low] as Tensor), toNumbers(seen[p.high] as Tensor)];
          const known = out.get(p.value);
          out.set(p.value, {
            low: known ? known.low.map((v, i) => Math.min(v, low[i])) : low,
            high: known ? known.high.map((v, i) => Math.max(v, high[i])) : high,
          });
        }
      }
    }
  });
  if (out.size === 0) {
    throw new ModelError("no-data", "the repair was given no images", {
      where: feedsOf(g)[0]?.name,
      hint: "give a data set with at least one training image",
    });
  }
  return out;
}

/** Largest magnitude of each channel over what the group's readers see. */
export function peaksOf(group: ScaleGroup, extremes: ReadonlyMap<string, Extremes>): Float64Array {
  const out = new Float64Array(group.channels);
  for (const { value, repeat } of readValues(group)) {
    const { low, high } = extremes.get(value)!;
    const magnitudes = high.map((h, i) => Math.max(h, -low[i]));
    perChannel(magnitudes, repeat, Math.max).forEach((p, c) => {
      out[c] = Math.max(out[c], p);
    });
  }
  return out;
}

/** Values per place on an axis, as one value per channel. */
export function perChannel(v: Float64Array, repeat: number, pick: (a: number, b: number) => number): Float64Array {
  if (repeat === 1) return v;
  const out = new Float64Array(v.length / repeat);
  for (let i = 0; i < v.length; i++) {
    const c = Math.floor(i / repeat);
    out[c] = i % repeat === 0 ? v[i] : pick(out[c], v[i]);
  }
  return out;
}
