/** Running graphs and comparing what they give. */

import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { cloneGraph, feedsOf, type Graph, typeOf } from "../../toolkit/graph/graph.js";
import { fromNumbers, sizeOf, type Tensor, toNumbers } from "../../toolkit/graph/tensor.js";
import type { ChannelGroups, Keep } from "../../toolkit/prune/groups.js";
import { openSession } from "../../toolkit/runtime/session.js";

/** Uniform numbers in [0, 1). */
export function uniform(seed: number): () => number {
  const rng = xoroshiro128plus(seed);
  return () => uniformFloat64(rng);
}

/** Random values for every input that must be fed; dynamic dimensions become `dynamic`. */
export function randomFeeds(
  g: Graph,
  seed: number,
  range: readonly [number, number] = [-1, 1],
  dynamic = 1,
): Record<string, Tensor> {
  const next = uniform(seed);
  return Object.fromEntries(
    feedsOf(g).map((v) => {
      const dims = (v.type.dims ?? []).map((d) => (typeof d === "number" ? d : dynamic));
      const value =
        v.type.elemType === "bool" ? () => (next() < 0.5 ? 0 : 1) : () => range[0] + next() * (range[1] - range[0]);
      const values = Float64Array.from({ length: sizeOf(dims) }, value);
      return [v.name, fromNumbers(v.type.elemType, values, dims)];
    }),
  );
}

/** Runs a graph once, as it stands: the runtime rewrites nothing. */
export async function runGraph(g: Graph, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  const session = await openSession(g, { level: "disabled", threads: 1 });
  try {
    return await session.run(feeds);
  } finally {
    await session.dispose();
  }
}

/** The graph with every value that a node makes as an output. */
export function withAllOutputs(g: Graph): Graph {
  const out = cloneGraph(g);
  const names = g.nodes.flatMap((n) => n.outputs.filter((y) => y !== ""));
  out.outputs = names.map((name) => ({ name, type: { elemType: typeOf(g, name)?.elemType ?? "float32" } }));
  return out;
}

/** Random keep sets for every group that may be cut; about `share` of the channels stay, at least one. */
export function randomKeep(groups: ChannelGroups, seed: number, share = 0.6): Keep {
  const next = uniform(seed);
  return new Map(
    groups.prunable.map((e) => {
      const kept = Array.from({ length: e.width }, (_, i) => i).filter(() => next() < share);
      return [e.id, Int32Array.from(kept.length > 0 ? kept : [Math.floor(next() * e.width)])];
    }),
  );
}

/** Greatest difference, relative to the greatest magnitude of the second where that exceeds 1. Not a number: infinite. */
export function relativeError(a: Tensor, b: Tensor): number {
  if (a.dims.join() !== b.dims.join()) return Number.POSITIVE_INFINITY;
  const read = (t: Tensor) => (t.data instanceof Float32Array ? t.data : toNumbers(t));
  const [x, y] = [read(a), read(b)];
  let worst = 0;
  let scale = 1;
  for (let i = 0; i < x.length; i++) {
    const d = Math.abs(x[i] - y[i]);
    if (!Number.isFinite(d)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, d);
    scale = Math.max(scale, Math.abs(y[i]));
  }
  return worst / scale;
}
