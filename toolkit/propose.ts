/** Finds widths whose net, measured on the device beside the original, stays within the budget with as little slack as possible. */
import { allocationProblem, withFull } from "./allocation.js";
import type { Budget, Percentile } from "./budget.js";
import { budgetMs } from "./budget.js";
import { EdgefitError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import type { Tensor } from "./graph/tensor.js";
import type { LatencyModel, Precision, Prediction } from "./latency/index.js";
import { feedsFor, type OpenDevice, type Timed, timeTogether } from "./onDevice.js";
import type { CommonOptions } from "./options.js";
import { type Allocation, type AllocationProblem, allocateWidths, cheapest } from "./prune/allocate.js";
import { type Branch, dropBranches, droppedBranches } from "./prune/branches.js";
import type { ChannelGroups, Keep } from "./prune/groups.js";
import { keepLast } from "./prune/importance.js";
import { sliceGraph } from "./prune/slice.js";
import type { Ranking } from "./ranking.js";
import type { Subject } from "./subject.js";

/** A cut net within the budget, weights not yet repaired. */
export interface Proposal {
  precision: Precision;
  /** Of every prunable group; 0 where the branch that the group lives in is left out. */
  widths: ReadonlyMap<string, number>;
  /** Of the groups that are narrowed. */
  keep: Keep;
  /** Names of the nodes of branches that are left out. */
  gone: ReadonlySet<string>;
  cut: Graph;
  prediction: Prediction;
  /** Sum of the groups' measured losses. */
  loss: number;
  /** At the budget's percentile, beside the original in the same run. */
  measuredMs: number;
  limitMs: number;
}

/** Whether anything was taken away. */
export const isCut = (p: Proposal): boolean => p.keep.size > 0 || p.gone.size > 0;

export interface ProposeOptions extends CommonOptions {
  precision: Precision;
  budget: Budget;
  percentile: Percentile;
  /** Share of the budget to use: below 1 after a final measurement came out over it. */
  share: number;
  /** Paced: one call per this many milliseconds. */
  intervalMs?: number;
  seed: number;
  /** The cut net as the bytes that the device will run. */
  toBytes(g: Graph): Uint8Array;
}

export interface ProposeContext {
  subject: Subject;
  groups: ChannelGroups;
  /** Those that may be left out; the ranking has width 0 for their groups. */
  branches: readonly Branch[];
  device: OpenDevice;
  call: Tensor;
  latency: LatencyModel;
  ranking: Ranking;
}

/** Either a net within the budget, or the fastest latency that was reached. */
export type Outcome = { state: "found"; proposal: Proposal } | { state: "impossible"; fastestMs: number };

const ATTEMPTS = 6;
/** A proposal this close under the limit is not worth another attempt. */
const CLOSE = 0.97;

/** Latency limit that a run of the original and a candidate sets. */
export const limitOf = (budget: Budget, percentile: Percentile, original: Timed): number =>
  budgetMs(budget, original.latency[percentile]);

export async function propose(c: ProposeContext, o: ProposeOptions): Promise<Outcome> {
  const problem = problemOf(c, o.precision);
  let target: number | undefined;
  let best: Proposal | undefined;
  let fastestMs = Number.POSITIVE_INFINITY;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    o.onProgress?.({ stage: `looking for widths, ${o.precision}`, done: attempt - 1, total: ATTEMPTS });
    const allocation = target === undefined ? whole(problem) : within(problem, target);
    const p = await measure(c, o, allocation);
    fastestMs = Math.min(fastestMs, p.measuredMs);
    const limit = p.limitMs * o.share;
    const fits = p.measuredMs <= limit;
    if (fits && (!best || p.loss < best.loss)) best = p;
    if (fits && (p.measuredMs >= CLOSE * limit || allocation.loss === 0)) break;
    const atFloor = allocation.ms <= cheapest(problem).ms;
    if (!fits && atFloor) break;
    // The table is off by what was just measured; aim where the device would have met the limit.
    const next = (allocation.ms * limit * (fits ? 0.995 : 0.99)) / p.measuredMs;
    if (best && target !== undefined && Math.abs(next / target - 1) < 0.005) break;
    target = next;
  }
  o.onProgress?.({ stage: `looking for widths, ${o.precision}`, done: ATTEMPTS, total: ATTEMPTS });
  return best ? { state: "found", proposal: best } : { state: "impossible", fastestMs };
}

/** Menus and kernel costs for the allocator. */
const problemOf = (c: ProposeContext, precision: Precision): AllocationProblem =>
  allocationProblem(
    c.latency,
    c.groups,
    c.branches,
    [...c.ranking.losses].map(([id, { widths, loss }]) => ({ id, widths, loss })),
    precision,
  );

function whole(p: AllocationProblem): Allocation {
  const widths = new Map(p.choices.map((c) => [c.id, c.widths[c.widths.length - 1]]));
  return { widths, ms: p.kernels.reduce((s, k) => s + k.ms(widths), p.fixedMs), loss: 0 };
}

/** The allocation within a latency, or the cheapest one. */
export function within(p: AllocationProblem, ms: number): Allocation {
  try {
    return allocateWidths(p, ms);
  } catch (e) {
    if (e instanceof EdgefitError && e.code === "budget-unreachable") return cheapest(p);
    throw e;
  }
}

/** What is cut, and in which order channels go. */
export interface CutContext extends Pick<ProposeContext, "groups" | "branches"> {
  subject: Pick<Subject, "graph">;
  orders: Ranking["orders"];
}

/** The net at these widths, weights not yet repaired; at width 0 the branch that the group stands for is left out. */
export function cutAt(c: CutContext, widths: ReadonlyMap<string, number>): Pick<Proposal, "keep" | "gone" | "cut"> {
  const keep = keepOf(c, widths);
  const dropped = droppedBranches(c.branches, widths);
  const gone = new Set(dropped.flatMap((b) => [...b.nodes]));
  return { keep, gone, cut: dropBranches(sliceGraph(c.subject.graph, c.groups, keep), dropped) };
}

async function measure(c: ProposeContext, o: ProposeOptions, a: Allocation): Promise<Proposal> {
  const { keep, gone, cut } = cutAt({ ...c, orders: c.ranking.orders }, a.widths);
  const feeds = feedsFor(c.subject, c.call);
  const [original, candidate] = await timeTogether(
    c.device,
    [c.subject.bytes, o.toBytes(cut)].map((model) => ({ model, feeds })),
    {
      minSamples: 100,
      minTimeMs: 600,
      ...(o.intervalMs === undefined ? {} : { intervalMs: o.intervalMs }),
      seed: o.seed,
      signal: o.signal,
    },
  );
  const widths = withFull(new Map(c.groups.prunable.map((g) => [g.id, g.width])), a.widths);
  return {
    precision: o.precision,
    widths,
    keep,
    gone,
    cut,
    prediction: c.latency.msAt(widths, o.precision, gone),
    loss: a.loss,
    measuredMs: candidate.latency[o.percentile],
    limitMs: limitOf(o.budget, o.percentile, original),
  };
}

/** Which channels remain, for widths below the full ones; groups of branches that are left out stay as they are. */
function keepOf(c: CutContext, widths: ReadonlyMap<string, number>): Keep {
  const keep = new Map<string, Int32Array>();
  for (const [id, width] of widths) {
    if (width > 0 && width < c.groups.group(id).width) keep.set(id, keepLast(c.orders.get(id)!, width));
  }
  return keep;
}
