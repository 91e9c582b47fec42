/** Whether a cut net computes what the masked one does, value by value. */
import { expect } from "vitest";
import { checkGraph } from "../../toolkit/graph/check.js";
import { type Graph, typeOf } from "../../toolkit/graph/graph.js";
import type { Tensor } from "../../toolkit/graph/tensor.js";
import { takeAxis } from "../../toolkit/ops/layout.js";
import { type ChannelGroups, type Keep, keptPositions } from "../../toolkit/prune/groups.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { relativeError, runGraph, withAllOutputs } from "./graphs.js";

/**
 * Slices and masks `g`, runs both, and expects every value of the sliced net, intermediate ones included, to be the masked
 * net's at the kept positions. Returns the sliced graph and the greatest error (relative to the greatest magnitude of the
 * value where that exceeds 1).
 */
export async function expectSliceEqualsMask(
  g: Graph,
  groups: ChannelGroups,
  keep: Keep,
  feeds: Record<string, Tensor>,
  tolerance = 1e-4,
): Promise<{ sliced: Graph; error: number }> {
  const sliced = sliceGraph(g, groups, keep);
  checkGraph(sliced);
  expect(sliced.nodes.map((n) => `${n.name}:${n.opType}`)).toEqual(g.nodes.map((n) => `${n.name}:${n.opType}`));
  const all = withAllOutputs(sliced);
  const masked = maskGraph(g, groups, keep);
  checkGraph(masked);
  masked.outputs = all.outputs;
  const [a, b] = [await runGraph(all, feeds), await runGraph(masked, feeds)];
  let error = 0;
  for (const { name } of all.outputs) {
    let expected = b[name];
    (typeOf(g, name)?.dims ?? []).forEach((_, axis) => {
      const kept = keptPositions(groups, keep, name, axis);
      if (kept) expected = takeAxis(expected, axis, kept);
    });
    const found = relativeError(a[name], expected);
    expect(found, name).toBeLessThanOrEqual(tolerance);
    error = Math.max(error, found);
  }
  return { sliced, error };
}
