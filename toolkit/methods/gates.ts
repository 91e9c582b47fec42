/**
 * Gates on channels: a factor per channel of a group wherever a node sums over the group, which is where `prune/mask.ts` puts its
 * masks. A layer is linear in what it sums, so the factor may as well stand on the weights that read the channel:
 *
 *     W (g ∘ x) = (W ∘ g) x
 *
 * The net therefore needs no node for its gates. It is run at effective weights W ∘ g, and the gradient G with respect to those gives
 * both others exactly: dL/dW = G ∘ g, and dL/dg_c = Σ G ∘ W over all weights that read channel c. One training graph so serves every
 * width of every group, at the cost of the net itself; under batch statistics a channel of gate 0 is as good as cut, since
 * normalisation acts on each channel alone.
 */
import type { Graph } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import type { AxisLayout, ChannelGroups, Group, Keep, Widths } from "../prune/groups.js";
import { keepLast, type Order } from "../prune/importance.js";
import type { Layout } from "../train/index.js";

/** Group id -> one factor per channel. Groups that are not named are whole. */
export type Gates = ReadonlyMap<string, Float32Array>;

/** An axis of a weight on which gated channels are summed over. */
interface Site {
  offset: number;
  /** Elements before, along and behind the axis: the weight is [outer, length, inner]. */
  outer: number;
  length: number;
  inner: number;
  /** Per position: the group, "" where none is gated, and the channel in it. */
  groups: readonly string[];
  channels: Int32Array;
}

export class GatedNet {
  /** Groups that have gates. */
  readonly ids: readonly string[];
  /** Prunable groups that have none, with the reason. */
  readonly whole: ReadonlyMap<string, string>;
  private readonly sites: readonly Site[];
  private readonly widths: ReadonlyMap<string, number>;

  /** @param layout where the parameters lie in the flat vectors */
  constructor(g: Graph, groups: ChannelGroups, layout: Layout) {
    const entries = new Map(layout.entries.map((e) => [e.name, e]));
    const axes = new Map<string, number>();
    const whole = new Map<string, string>();
    for (const group of groups.prunable) {
      const reason = whyWhole(group, entries, axes);
      if (reason) whole.set(group.id, reason);
      else for (const c of group.consumers) axes.set(c.weight!, c.weightAxis!);
    }
    this.whole = whole;
    const gated = groups.prunable.filter((e) => !whole.has(e.id));
    this.ids = gated.map((e) => e.id);
    this.widths = new Map(gated.map((e) => [e.id, e.width]));
    this.sites = [...axes].map(([weight, axis]) => {
      const { dims } = g.initializers.get(weight)!;
      const { group, channel } = groups.layout(weight, axis) as AxisLayout;
      const idAt = (i: number): string => (this.widths.has(groups.groups[i].id) ? groups.groups[i].id : "");
      return {
        offset: entries.get(weight)!.offset,
        outer: sizeOf(dims.slice(0, axis)),
        length: dims[axis],
        inner: sizeOf(dims.slice(axis + 1)),
        groups: Array.from(group, idAt),
        channels: channel,
      };
    });
  }

  /** Parameters as the net with these gates sees them. */
  effective(parameters: Float32Array, gates: Gates): Float32Array {
    const out = parameters.slice();
    for (const s of this.sites)
      this.each(s, gates, (from, gate) => {
        if (gate !== 1) for (let i = from; i < from + s.inner; i++) out[i] *= gate;
      });
    return out;
  }

  /** Gradients with respect to parameters and gates, from that with respect to `effective(parameters, gates)`. */
  split(parameters: Float32Array, gates: Gates, gradient: Float32Array) {
    const own = gradient.slice();
    const ofGates = new Map(this.ids.map((id) => [id, new Float64Array(this.widths.get(id)!)]));
    for (const s of this.sites)
      this.each(s, gates, (from, gate, id, channel) => {
        const sums = ofGates.get(id);
        if (!sums) return;
        let sum = 0;
        for (let i = from; i < from + s.inner; i++) {
          sum += gradient[i] * parameters[i];
          own[i] *= gate;
        }
        sums[channel] += sum;
      });
    return { parameters: own, gates: ofGates };
  }

  private each(s: Site, gates: Gates, f: (from: number, gate: number, id: string, channel: number) => void): void {
    for (let p = 0; p < s.length; p++) {
      const [id, channel] = [s.groups[p], s.channels[p]];
      const gate = gates.get(id)?.[channel] ?? 1;
      for (let o = 0; o < s.outer; o++) f(s.offset + (o * s.length + p) * s.inner, gate, id, channel);
    }
  }

  /** Gates of 1, to be changed by the caller. */
  open(): Map<string, Float32Array> {
    return new Map(this.ids.map((id) => [id, new Float32Array(this.widths.get(id)!).fill(1)]));
  }
}

function whyWhole(
  group: Group,
  entries: ReadonlyMap<string, unknown>,
  axes: ReadonlyMap<string, number>,
): string | undefined {
  if (group.renormalised) return "a node takes a statistic over its channels";
  if (group.consumers.length === 0) return "no node sums over its channels";
  for (const c of group.consumers) {
    if (c.weight === undefined || c.weightAxis === undefined || !entries.has(c.weight))
      return `"${c.node}" sums over its channels with weights that are not trained`;
    if ((axes.get(c.weight) ?? c.weightAxis) !== c.weightAxis) return `two axes of "${c.weight}" would have gates`;
  }
  return undefined;
}

/** Gates of 0 and 1 that keep the last `width` channels of each order, those that matter most. */
export function gatesAt(widths: Widths, orders: ReadonlyMap<string, Order>): Map<string, Float32Array> {
  return gatesOf(keepAt(widths, orders), new Map([...orders].map(([id, order]) => [id, order.length])));
}

/** Gates of 1 on kept channels, of 0 elsewhere. */
export function gatesOf(keep: Keep, full: Widths): Map<string, Float32Array> {
  return new Map(
    [...keep].map(([id, kept]) => {
      const gate = new Float32Array(full.get(id)!);
      for (const c of kept) gate[c] = 1;
      return [id, gate];
    }),
  );
}

/** The channels that stay at these widths. */
export const keepAt = (widths: Widths, orders: ReadonlyMap<string, Order>): Map<string, Int32Array> =>
  new Map([...widths].flatMap(([id, w]) => (orders.has(id) ? [[id, keepLast(orders.get(id)!, w)] as const] : [])));
