/** Cutting a net in several rounds: what is left stays a net with groups, and widths are known by the groups' own names. */
import type { Graph } from "../graph/graph.js";
import { type ChannelGroups, findGroups, type Keep, type Widths } from "../prune/groups.js";
import { keepLast, type Order } from "../prune/importance.js";
import { sliceGraph } from "../prune/slice.js";
import { fullWidths } from "./cost.js";
import type { MethodContext } from "./method.js";

/** A net that may have lost channels already. */
export interface CutNet {
  graph: Graph;
  groups: ChannelGroups;
  /** Of every prunable group of the original. */
  widths: Widths;
}

export const uncut = (c: MethodContext): CutNet => ({ graph: c.graph, groups: c.groups, widths: fullWidths(c.groups) });

/**
 * The net with the most important channels of each group.
 * @param orders channels of each group of `net`, least important first
 * @param widths of the groups that get narrower
 */
export function narrowed(net: CutNet, orders: ReadonlyMap<string, Order>, widths: Widths): CutNet {
  const keep = new Map<string, Int32Array>();
  for (const [id, width] of widths) {
    if (width < net.groups.group(id).width) keep.set(id, keepLast(orders.get(id)!, width));
  }
  return withKept(net, keep);
}

/** The net with these channels; groups that are not named stay whole. */
export function withKept(net: CutNet, keep: Keep): CutNet {
  const graph = sliceGraph(net.graph, net.groups, keep);
  if (graph === net.graph) return net;
  const widths = new Map(net.widths);
  for (const [id, kept] of keep) widths.set(id, kept.length);
  return { graph, groups: findGroups(graph), widths };
}

/** The first channels of each group at these widths, with whatever weights they have: for nets that are trained anew or only timed. */
export function prefixNet(net: CutNet, widths: Widths): CutNet {
  const keep = new Map([...widths].map(([id, w]) => [id, Int32Array.from({ length: w }, (_, i) => i)]));
  return withKept(net, keep);
}
