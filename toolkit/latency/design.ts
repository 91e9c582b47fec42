/** Which widths are measured: a grid per group, and random sub-nets that cover it. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";

/** A group of channels as far as widths go. */
export interface WidthRange {
  id: string;
  /** The full width. */
  width: number;
}

export interface GridOptions {
  /** Distance of grid points for groups of at least 16 channels; narrower groups get a finer one. Default 4: the vector width that layouts of CPU runtimes start from. */
  step?: number;
  /** Points per group at most; wider groups get the step doubled until they have no more. Default 16. */
  points?: number;
  /** Least share of the full width. Default 1/8. */
  least?: number;
}

/**
 * Widths to consider for one group, ascending: multiples of the step, and the full width, which need not be one. The step of a wide
 * group is a power of two times that of a narrow one, so that its points are edges of the blocks that runtimes compute in.
 */
export function widthGrid(width: number, o: GridOptions = {}): number[] {
  const { step: base = 4, points = 16, least = 1 / 8 } = o;
  const doublings = Math.max(0, Math.ceil(Math.log2(width / (base * points))));
  const step = width < 16 ? Math.max(1, Math.min(base, Math.floor(width / 4))) : base * 2 ** doublings;
  const grid: number[] = [];
  for (let w = step; w < width; w += step) if (w >= width * least) grid.push(w);
  grid.push(width);
  return grid;
}

/** At most `points` widths of a grid, evenly spread by their place in it, the narrowest and the full one among them. */
export function coarseGrid(grid: readonly number[], points: number): number[] {
  if (grid.length <= points) return [...grid];
  const last = grid.length - 1;
  return Array.from({ length: points }, (_, i) => grid[Math.round((i * last) / (points - 1))]);
}

/**
 * Widths of `count` sub-nets. The first is the full model. Of the others, every second draws each group's widths from a shuffled
 * deck of its grid, so that all grid points are seen equally often (Latin hypercube; McKay, Beckman and Conover, 1979). The rest
 * draw a common level first and widths around it: independent draws alone make nets of all the same latency, and an
 * allocator asks for small nets and large ones.
 */
export function designWidths(
  groups: readonly WidthRange[],
  grids: ReadonlyMap<string, readonly number[]>,
  count: number,
  seed: number,
): Map<string, number>[] {
  const random = xoroshiro128plus(seed);
  const decks = new Map<string, number[]>();
  const deal = (id: string): number => {
    let deck = decks.get(id);
    if (!deck || deck.length === 0) decks.set(id, (deck = shuffle([...grids.get(id)!], random)));
    return deck.pop()!;
  };
  const levelled = Math.floor((count - 1) / 2);
  const levels = shuffle(
    Array.from({ length: levelled }, (_, i) => (i + uniformFloat64(random)) / levelled),
    random,
  );
  return Array.from({ length: count }, (_, net) => {
    if (net === 0) return new Map(groups.map((g) => [g.id, g.width]));
    if (net % 2 === 1) return new Map(groups.map((g) => [g.id, deal(g.id)]));
    const level = levels[net / 2 - 1];
    return new Map(
      groups.map((g) => {
        const grid = grids.get(g.id)!;
        const place = level + 0.7 * (uniformFloat64(random) - 0.5);
        return [g.id, grid[Math.min(grid.length - 1, Math.max(0, Math.floor(place * grid.length)))]];
      }),
    );
  });
}

/** Widths drawn independently and evenly from each group's grid: sub-nets that no design had a hand in. */
export function randomWidths(
  groups: readonly WidthRange[],
  grids: ReadonlyMap<string, readonly number[]>,
  count: number,
  seed: number,
): Map<string, number>[] {
  const random = xoroshiro128plus(seed);
  return Array.from({ length: count }, () => {
    return new Map(
      groups.map((g) => {
        const grid = grids.get(g.id)!;
        return [g.id, grid[uniformInt(random, 0, grid.length - 1)]];
      }),
    );
  });
}

function shuffle<T>(items: T[], random: RandomGenerator): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}
