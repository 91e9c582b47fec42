/** How much each weighted node alone costs in output quality, so that the unsafe ones can stay float. */
import type { Graph } from "../graph/graph.js";
import { type Progress, throwIfAborted } from "../graph/progress.js";
import { outputSqnrDb, type Reference, type RunOptions, worstDb } from "./evaluate.js";
import { placePrepared } from "./place.js";
import type { Ranges } from "./ranges.js";
import { type PlaceOptions, planWith } from "./scheme.js";

export interface NodeSensitivity {
  /** Name of the node in the prepared graph. */
  node: string;
  /** Worst output's signal-to-noise ratio with this node alone on integers (`alone`) or alone on floats (`others`). */
  sqnrDb: number;
}

/** Names of the nodes with weights that `placeQdq` would put on integers, in graph order. */
export function quantizableNodes(prepared: Graph, ranges: Ranges, o: PlaceOptions = {}): string[] {
  const plan = planWith(prepared, ranges, o);
  return prepared.nodes.flatMap((n) => (plan.quantized.get(n.name)?.weight ? [n.name] : []));
}

/**
 * Measures every node: `alone` quantises one and keeps the rest float, `others` keeps one float. One short session per
 * node over the reference images. Sorted from most to least harmful: ascending for `alone`, descending for `others`.
 */
export async function sensitivity(
  prepared: Graph,
  ranges: Ranges,
  reference: Reference,
  o: PlaceOptions & RunOptions & { mode?: "alone" | "others"; progress?: Progress } = {},
): Promise<NodeSensitivity[]> {
  const nodes = quantizableNodes(prepared, ranges, o);
  const mode = o.mode ?? "alone";
  const out: NodeSensitivity[] = [];
  for (const node of nodes) {
    throwIfAborted(o.signal);
    const others = nodes.filter((n) => n !== node);
    const keepFloat = new Set([...(o.keepFloat ?? []), ...(mode === "alone" ? others : [node])]);
    const graph = placePrepared(prepared, ranges, { ...o, keepFloat });
    out.push({ node, sqnrDb: worstDb(await outputSqnrDb(graph, reference, o)) });
    o.progress?.({ stage: "measuring sensitivity", done: out.length, total: nodes.length });
  }
  const sign = mode === "alone" ? 1 : -1;
  return out.sort((a, b) => sign * (a.sqnrDb - b.sqnrDb));
}
