/**
 * Which sub-nets a latency table is made of. First a coarse design over all widths, with residual branches left out in some,
 * so that the correction sees nets of many depths; then nets near those that an allocator chooses.
 */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { allocationProblem } from "./allocation.js";
import type { Graph } from "./graph/graph.js";
import {
  coarseGrid,
  designWidths,
  evaluateDim,
  type LatencyModel,
  type Precision,
  randomWidths,
  type Shaping,
  type SubNetDesign,
  type SymbolicDim,
} from "./latency/index.js";
import { allocateWidths, cheapest, costOf } from "./prune/allocate.js";
import { type Branch, dropBranches } from "./prune/branches.js";
import type { ChannelGroups } from "./prune/groups.js";
import { sliceGraph } from "./prune/slice.js";

export type { SubNetDesign } from "./latency/index.js";

/** What may vary between the sub-nets of a model. */
export interface DesignSpace {
  groups: ChannelGroups;
  /** Those that may be left out. */
  branches: readonly Branch[];
  /** Widths per prunable group, ascending. */
  grids: ReadonlyMap<string, readonly number[]>;
}

/** Points per group of the first, coarse design. */
const COARSE_POINTS = 8;

/** The sub-net with the first channels of each group: a latency does not depend on which ones are kept. */
export function subNetOf(g: Graph, groups: ChannelGroups, branches: readonly Branch[], d: SubNetDesign): Graph {
  const first = (width: number) => Int32Array.from({ length: width }, (_, i) => i);
  const keep = new Map([...d.widths].map(([id, width]) => [id, first(width)]));
  return dropBranches(
    sliceGraph(g, groups, keep),
    branches.filter((b) => d.gone.has(b.sum)),
  );
}

/** The first is the full model. Every third lacks branches: between one and two thirds of them. */
export function coarseDesigns(space: DesignSpace, count: number, seed: number): SubNetDesign[] {
  const random = xoroshiro128plus(seed + 104_729);
  const grids = new Map([...space.grids].map(([id, grid]) => [id, coarseGrid(grid, COARSE_POINTS)]));
  return designWidths(space.groups.prunable, grids, count, seed).map((widths, i) => {
    const gone = i % 3 === 2 ? someBranches(space.branches, (2 / 3) * uniformFloat64(random), random) : [];
    return { widths, gone: new Set(gone) };
  });
}

/** Sub-nets that no design had a hand in: `count` with all branches, and as many without some (none where there are no branches). */
export function randomNets(
  space: DesignSpace,
  count: number,
  seed: number,
): { whole: SubNetDesign[]; shallow: SubNetDesign[] } {
  const random = xoroshiro128plus(seed + 1);
  const draw = (from: number) => randomWidths(space.groups.prunable, space.grids, count, from);
  return {
    whole: draw(seed).map((widths) => ({ widths, gone: new Set() })),
    shallow:
      space.branches.length === 0
        ? []
        : draw(seed + 2).map((widths) => ({ widths, gone: new Set(someBranches(space.branches, 1 / 3, random)) })),
  };
}

/** Sums of `share` of the branches, at least one, drawn evenly. */
function someBranches(branches: readonly Branch[], share: number, random: RandomGenerator): string[] {
  const left = branches.map((b) => b.sum);
  const count = left.length === 0 ? 0 : Math.max(1, Math.round(share * left.length));
  return Array.from({ length: count }, () => left.splice(uniformInt(random, 0, left.length - 1), 1)[0]);
}

/** Shares of the whole model's latency for which nets are chosen before a budget is known. */
const SHARES = { least: 0.3, most: 0.9 };

/** A rough allocation will do: the nets are moved about afterwards. */
const ALLOCATION_ROUNDS = 3;

/**
 * Nets such as an allocator chooses, before losses or a budget are known: each for a latency of its own between `SHARES`, with losses that
 * grow with the square of what is cut, in random proportions between groups; then moved to neighbouring widths.
 */
export function chosenDesigns(
  space: DesignSpace,
  model: LatencyModel,
  precision: Precision,
  count: number,
  seed: number,
): SubNetDesign[] {
  const random = xoroshiro128plus(seed + 15_485_863);
  return Array.from({ length: count }, (_, i) => {
    const choices = space.groups.prunable.map(({ id, width }) => {
      const weight = 2 ** (2 * uniformFloat64(random) - 1);
      const grid = space.grids.get(id)!;
      const dropped = space.branches.some((b) => b.group === id);
      const widths = dropped ? [0, ...grid] : [...grid];
      return { id, widths, loss: widths.map((w) => (w === 0 ? 1.2 : 1) * weight * (1 - w / width) ** 2) };
    });
    const problem = allocationProblem(model, space.groups, space.branches, choices, precision);
    const whole = costOf(problem, new Map(space.groups.prunable.map((g) => [g.id, g.width])));
    const place = (i + uniformFloat64(random)) / count;
    const target = whole * (SHARES.least + (SHARES.most - SHARES.least) * place);
    const floor = cheapest(problem);
    const { widths } = target > floor.ms ? allocateWidths(problem, target, ALLOCATION_ROUNDS) : floor;
    return near(space, designFor(space, widths), random);
  });
}

/** What an allocation means: width 0 of a branch's group leaves the branch out. */
export function designFor(space: DesignSpace, widths: ReadonlyMap<string, number>): SubNetDesign {
  const gone = space.branches.filter((b) => widths.get(b.group) === 0).map((b) => b.sum);
  const of = (id: string, width: number) => widths.get(id) || width;
  return { widths: new Map(space.groups.prunable.map((g) => [g.id, of(g.id, g.width)])), gone: new Set(gone) };
}

/** The design itself, and `count - 1` of neighbouring widths. */
export function nearDesigns(space: DesignSpace, centre: SubNetDesign, count: number, seed: number): SubNetDesign[] {
  const random = xoroshiro128plus(seed + 32_452_843);
  return Array.from({ length: count }, (_, i) => (i === 0 ? centre : near(space, centre, random)));
}

/** Every second width, on average, goes one point of its grid up or down. */
function near(space: DesignSpace, d: SubNetDesign, random: RandomGenerator): SubNetDesign {
  const widths = new Map(
    [...d.widths].map(([id, width]) => {
      const grid = space.grids.get(id) ?? [width];
      const at = grid.findIndex((w) => w >= width);
      const moved = Math.min(grid.length - 1, Math.max(0, at + [-1, 0, 0, 1][uniformInt(random, 0, 3)]));
      return [id, grid[moved]];
    }),
  );
  return { widths, gone: d.gone };
}

/** Dims and missing nodes of designs; the cost of finding symbolic dims is paid once per value. */
export function shapingOf(space: Pick<DesignSpace, "groups" | "branches">): Shaping {
  const symbolic = symbolicOf(space.groups);
  return {
    dims: (d) => (value) => symbolic(value).map((dim) => evaluateDim(dim, d.widths)),
    goneNodes: (d) => new Set(space.branches.filter((b) => d.gone.has(b.sum)).flatMap((b) => [...b.nodes])),
  };
}

/** Axes of values as functions of the widths of prunable groups. */
export function symbolicOf(groups: ChannelGroups): (value: string) => readonly SymbolicDim[] {
  const known = new Map<string, readonly SymbolicDim[]>();
  const prunable = new Set(groups.prunable.map((g) => g.id));
  return (value) => {
    let dims = known.get(value);
    if (!dims) {
      // Groups of a single channel are not frozen, but they cannot change either.
      dims = groups.symbolicDims(value).map(({ fixed, terms }) => {
        const still = terms.filter((t) => !prunable.has(t.group));
        const extra = still.reduce((s, t) => s + t.multiplicity * groups.group(t.group).width, 0);
        return { fixed: fixed + extra, terms: terms.filter((t) => prunable.has(t.group)) };
      });
      known.set(value, dims);
    }
    return dims;
  };
}
