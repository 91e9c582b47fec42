/** Which widths are worth offering to an allocator. */
import type { WidthRange } from "./design.js";
import type { Precision } from "./kernel.js";
import { plateauEdges } from "./plateaus.js";
import type { LatencyModel, WidthCost } from "./predict.js";

/**
 * Right edges of the plateaus of every group's cost (those of `grids`): the sum over all kernels that make or read its channels, along
 * the grid, with the other groups at full and at half width, in each precision of `precisions` (default: all of the table).
 */
export function candidateWidths(
  model: LatencyModel,
  groups: readonly WidthRange[],
  grids: ReadonlyMap<string, readonly number[]>,
  precisions: readonly Precision[] = model.precisions,
): Map<string, number[]> {
  const full = new Map(groups.map((g) => [g.id, g.width]));
  const half = new Map(groups.map((g) => [g.id, middleOf(grids.get(g.id) ?? [g.width])]));
  const out = new Map<string, number[]>();
  for (const [id, grid] of grids) {
    const edges = new Set<number>();
    for (const precision of precisions) {
      const touching = model.costs(precision).filter((k) => k.groups.includes(id));
      for (const others of [full, half]) {
        const points = grid.map((width) => {
          const widths = new Map(others).set(id, width);
          const sum = (of: (k: WidthCost) => number) => touching.reduce((total, k) => total + of(k), 0);
          return { width, ms: sum((k) => k.ms(widths)), variance: sum((k) => k.errorMs(widths) ** 2) };
        });
        const sigma = Math.sqrt(Math.max(...points.map((p) => p.variance)));
        for (const edge of plateauEdges(points, sigma)) edges.add(edge);
      }
    }
    out.set(
      id,
      [...edges].sort((a, b) => a - b),
    );
  }
  return out;
}

const middleOf = (grid: readonly number[]): number => grid[grid.length >> 1];
