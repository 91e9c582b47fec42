/** Clamps such as ReLU6 inside scale groups: which factors they allow, and what becomes of their bounds. */
import type { Graph, OpNode } from "../../graph/graph.js";
import { toNumbers } from "../../graph/tensor.js";
import type { ClampChange } from "./applyFactors.js";
import { type Extremes, perChannel } from "./channelExtremes.js";
import type { ScaleGroup } from "./scaleGroups.js";

/**
 * `hold` keeps one bound for all channels: factors are chosen so that the same elements are cut off as before, on the
 * images given. `move` allows any factors and gives every channel a bound of its own, which costs a node without an integer
 * kernel. `drop` allows any factors and leaves out the upper bound (Nagel et al. 2019): exact only where it never acts.
 */
export type ClampMode = "hold" | "move" | "drop";

export interface HeldFactors {
  factors: Float64Array;
  clamps: Map<string, ClampChange>;
}

/** Room that a channel is left below a bound which it did not reach, for images that are not among those given. */
const ROOM = 1.1;

/**
 * Factors near the wished ones that the group's clamps allow. In mode `hold`: a channel that reaches a bound gets the common
 * factor of all that do, as the bound is one number; any other may grow until it stands just below it.
 */
export function factorsForClamps(
  g: Graph,
  group: ScaleGroup,
  wished: Float64Array,
  extremes: ReadonlyMap<string, Extremes>,
  mode: ClampMode,
): HeldFactors {
  const clamps = new Map<string, ClampChange>();
  if (mode === "move") {
    for (const { node } of group.clamps) clamps.set(node.name, { kind: "perChannel" });
    return { factors: wished, clamps };
  }
  if (mode === "drop") {
    for (const { node } of group.clamps)
      clamps.set(node.name, boundsOf(g, node)[0] === 0 ? { kind: "rectify" } : { kind: "perChannel" });
    return { factors: wished, clamps };
  }
  // The largest share of its bounds that a channel reaches, over all clamps of the group.
  const reach = new Float64Array(group.channels);
  for (const { node, carrier } of group.clamps) {
    const [low, high] = boundsOf(g, node);
    const seen = extremes.get(carrier.value)!;
    const top = perChannel(seen.high, carrier.repeat, Math.max);
    const bottom = perChannel(seen.low, carrier.repeat, Math.min);
    for (let c = 0; c < reach.length; c++) {
      if (high > 0 && Number.isFinite(high)) reach[c] = Math.max(reach[c], (ROOM * top[c]) / high);
      if (low < 0 && Number.isFinite(low)) reach[c] = Math.max(reach[c], (ROOM * bottom[c]) / low);
      // A bound on the far side of zero cuts every element off: only one factor for all will do.
      if (high <= 0 || low > 0) reach[c] = 1;
    }
  }
  const held = [...reach.keys()].filter((c) => reach[c] >= 1);
  if (held.length === 0) {
    for (const { node } of group.clamps) {
      if (boundsOf(g, node)[0] === 0) clamps.set(node.name, { kind: "rectify" });
      else clamps.set(node.name, { kind: "perChannel" });
    }
    return { factors: wished, clamps };
  }
  const common = Math.exp(held.reduce((sum, c) => sum + Math.log(wished[c]), 0) / held.length);
  const factors = wished.map((f, c) => (reach[c] >= 1 ? common : Math.max(f, common * reach[c])));
  for (const { node } of group.clamps) clamps.set(node.name, { kind: "divide", by: common });
  return { factors, clamps };
}

/** Bounds of a clamp with constant inputs; infinite where there is none. */
function boundsOf(g: Graph, n: OpNode): [number, number] {
  const bound = (input: number, otherwise: number): number => {
    const t = g.initializers.get(n.inputs[input] ?? "");
    return t ? toNumbers(t)[0] : otherwise;
  };
  return [bound(1, Number.NEGATIVE_INFINITY), bound(2, Number.POSITIVE_INFINITY)];
}
