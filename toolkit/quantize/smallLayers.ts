/**
 * Small layers that do most of the harm. Where a net loses much by integers, it is often by a few layers near the image whose
 * channels differ widely and share one grid; they have few multiplications, so leaving them float costs little.
 */
import type { Graph } from "../graph/graph.js";
import { costsOf } from "../ops/costs.js";
import type { NodeSensitivity } from "./sensitivity.js";

/** Share of all multiplications, and of all parameters, that layers may have to count as small together. */
export const SMALL = 0.1;
/** Share of all layers' noise below which a layer is not worth leaving float. */
const MUCH = 0.03;

/**
 * Names of the layers that stay float: from the most harmful one on, as far as they are small together with those that are float
 * already.
 *
 * @param harm of every layer that is on integers, each alone
 * @param already layers that are float
 */
export function smallHarmfulLayers(
  prepared: Graph,
  harm: readonly NodeSensitivity[],
  already: ReadonlySet<string>,
): string[] {
  const { nodes, macs, params } = costsOf(prepared);
  const cost = new Map(nodes.map((c) => [c.node.name, c]));
  const share = (node: string): number => {
    const own = cost.get(node);
    return own ? Math.max(own.macs / Math.max(1, macs), own.params / Math.max(1, params)) : 0;
  };
  let room = SMALL - [...already].reduce((sum, n) => sum + share(n), 0);
  const noise = (h: NodeSensitivity): number => 10 ** (-h.sqnrDb / 10);
  const total = harm.reduce((sum, h) => sum + noise(h), 0);
  const out: string[] = [];
  for (const h of [...harm].sort((a, b) => a.sqnrDb - b.sqnrDb)) {
    if (noise(h) < MUCH * total) break;
    if (share(h.node) > room) continue;
    room -= share(h.node);
    out.push(h.node);
  }
  return out;
}
