/** Zeros that stay zeros: single weights are taken out, the net keeps its shape. */
import { cloneGraph, type Graph, opsetOf } from "../graph/graph.js";
import { floats, toFloat32 } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";

/** Name of a weight -> 1 where an element stays, 0 where it is taken out. */
export type Masks = ReadonlyMap<string, Float32Array>;

/** Names of the weights of convolutions and dense layers: what masks apply to. */
export function maskable(g: Graph): string[] {
  const names = g.nodes.flatMap((n) => {
    const linear = ruleFor(n, opsetOf(g, n.domain))?.linear;
    const name = linear && n.inputs[linear.weight];
    return name && g.initializers.get(name)?.elemType === "float32" ? [name] : [];
  });
  return [...new Set(names)];
}

/**
 * Keeps the `kept` elements of highest score over all weights together; elements that `before` took out stay out. Of equal scores, those
 * that come first stay.
 */
export function topMasks(scores: ReadonlyMap<string, ArrayLike<number>>, kept: number, before?: Masks): Masks {
  const names = [...scores.keys()];
  const total = names.reduce((n, name) => n + scores.get(name)!.length, 0);
  const flat = new Float64Array(total);
  let at = 0;
  for (const name of names) {
    const list = scores.get(name)!;
    const mask = before?.get(name);
    for (let i = 0; i < list.length; i++) flat[at++] = mask?.[i] === 0 ? Number.NEGATIVE_INFINITY : list[i];
  }
  const order = Int32Array.from({ length: total }, (_, i) => i).sort((a, b) => flat[b] - flat[a] || a - b);
  const all = new Float32Array(total);
  for (const i of order.subarray(0, Math.min(kept, total))) if (flat[i] !== Number.NEGATIVE_INFINITY) all[i] = 1;
  at = 0;
  return new Map(
    names.map((name) => {
      const { length } = scores.get(name)!;
      at += length;
      return [name, all.slice(at - length, at)];
    }),
  );
}

/** The graph with masked elements set to zero. */
export function masked(g: Graph, masks: Masks): Graph {
  const out = cloneGraph(g);
  for (const [name, mask] of masks) {
    const t = g.initializers.get(name)!;
    out.initializers.set(
      name,
      floats(
        toFloat32(t).map((v, i) => (mask[i] === 0 ? 0 : v)),
        t.dims,
      ),
    );
  }
  return out;
}

/** Magnitudes of the weights. */
export const magnitudes = (g: Graph, names: readonly string[]): Map<string, Float32Array> =>
  new Map(names.map((name) => [name, toFloat32(g.initializers.get(name)!).map(Math.abs)]));

/** Elements, and how many of them are not taken out. */
export function countOf(masks: Masks): { total: number; kept: number } {
  let [total, kept] = [0, 0];
  for (const mask of masks.values()) {
    total += mask.length;
    for (const m of mask) kept += m;
  }
  return { total, kept };
}
