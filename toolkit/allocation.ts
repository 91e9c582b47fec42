/** The allocator's problem for a model on a device: menus of widths, and what every kernel costs at them. */
import type { LatencyModel, Precision } from "./latency/index.js";
import type { AllocationProblem, Choice } from "./prune/allocate.js";
import type { Branch } from "./prune/branches.js";
import type { ChannelGroups, Widths } from "./prune/groups.js";

/**
 * Costs by the latency table, for these menus; groups without one stay at their full width.
 *
 * @param branches those that may be left out: width 0 of a branch's group stands for that
 */
export function allocationProblem(
  latency: LatencyModel,
  groups: ChannelGroups,
  branches: readonly Branch[],
  choices: readonly Choice[],
  precision: Precision,
): AllocationProblem {
  const free = new Set(choices.map((choice) => choice.id));
  const full = new Map(groups.prunable.map((g) => [g.id, g.width]));
  const costs = latency.costs(precision).map((k) => {
    // A kernel costs nothing when a branch that holds it is left out.
    const holders = branches.filter((b) => free.has(b.group) && b.nodes.has(k.id)).map((b) => b.group);
    const touched = [...new Set([...k.groups.filter((g) => free.has(g)), ...holders])];
    const ms = (w: Widths): number => (holders.some((g) => w.get(g) === 0) ? 0 : k.ms(withFull(full, w)));
    return { groups: touched, ms };
  });
  return {
    choices,
    kernels: costs.filter((k) => k.groups.length > 0),
    fixedMs: costs.filter((k) => k.groups.length === 0).reduce((s, k) => s + k.ms(full), latency.fixedMs(precision)),
  };
}

/** Widths of all groups, those not under choice at their full width. */
export const withFull = (full: Widths, w: Widths): Widths => (w.size >= full.size ? w : new Map([...full, ...w]));
