import { expect, test } from "vitest";
import { emptyGraph, GraphBuilder } from "../../toolkit/graph/builder.js";
import { type Graph, opsetOf } from "../../toolkit/graph/graph.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { findGroups } from "../../toolkit/prune/groups.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { randomFeeds, relativeError, runGraph } from "../support/graphs.js";
import { waves } from "../support/models.js";

/** Pooled features without their axes of length 1: channels that are down to one must not be taken for such an axis. */
function squeezed(opset: number, batch: number | string): Graph {
  const b = new GraphBuilder(emptyGraph("squeezed", opset));
  const x = b.input("x", [batch, 3, 4, 4]);
  const pooled = b.emit("GlobalAveragePool", [b.conv(x, b.initializer("w", waves([6, 3, 1, 1])), "")]);
  b.output(b.matmul(b.emit("Squeeze", [pooled]), b.initializer("fc", waves([6, 2])), { out: "y" }));
  return b.graph;
}

test.each([
  [17, 2],
  [17, "N"],
  [11, 2],
] as const)(
  "operator set %i, batch %s: a Squeeze that names no axes keeps the axis of a single channel",
  async (opset, batch) => {
    const g = inferShapes(squeezed(opset, batch));
    expect(opsetOf(g)).toBe(opset);
    const groups = findGroups(g);
    const keep = new Map([[groups.prunable[0].id, Int32Array.of(4)]]);
    const feeds = randomFeeds(g, 3, [-1, 1], 2);
    const [a, b] = [
      await runGraph(sliceGraph(g, groups, keep), feeds),
      await runGraph(maskGraph(g, groups, keep), feeds),
    ];
    expect(relativeError(a.y, b.y)).toBeLessThan(1e-6);
  },
);
