/**
 * HALP: Shen, Yin, Molchanov, Mao, Liu, Alvarez, "Structural Pruning via Latency-Saliency Knapsack", NeurIPS 2022; written from the
 * equations.
 *
 *     max Σ importance of kept channels   subject to   Σ_l T_l(p_{l-1}, p_l) <= C
 *
 * Importance of a channel: |Σ over the normalisation layers it passes of γ dL/dγ + β dL/dβ|, averaged over the batches since the last
 * pruning (channels that pass none: the same sum over all of their weights). S prunings follow a geometric path of budgets
 * L_0^(1-t/S) C^(t/S), with some training steps before each, in which removed channels are masked; then the net is cut and trained on.
 *
 * Deviations: HALP charges a kernel to the layer that makes its channels and solves a 0/1 knapsack over equal chunks with a greedy
 * precedence rule. Here `prune/allocate.ts` chooses one candidate width per group by an exact multiple-choice knapsack, charges readers
 * too, and so sees plateaus as they are.
 */
import { allocateWidths } from "../prune/allocate.js";
import type { AxisLayout, Keep, Widths } from "../prune/groups.js";
import { type Order, orderByScore } from "../prune/importance.js";
import { retrainingSchedule } from "../train/index.js";
import { cutOf } from "./finishing.js";
import { narrowest } from "./fitWidths.js";
import { gatesOf, keepAt } from "./gates.js";
import type { MethodContext, PruningMethod } from "./method.js";
import { numberSetting } from "./readSettings.js";
import { searchThenTrain } from "./searchThenTrain.js";
import { widest } from "./slimmable.js";
import { Supernet } from "./supernet.js";

import { aimed, allocationProblem } from "./widths.js";

const settings = {
  search: "share of the steps that lie before the last pruning; default 0.25",
  prunings: "number S of prunings; default 20, fewer where there are fewer steps",
};

/** A parameter whose products with its gradient count for the channels of a group. */
interface Source {
  offset: number;
  outer: number;
  length: number;
  inner: number;
  /** Channel per position; -1 for other groups. */
  channels: Int32Array;
}

/** Taylor scores of all groups from a pass's gradients. */
export class TaylorScores {
  private readonly sources: ReadonlyMap<string, readonly Source[]>;
  private readonly sums: Map<string, Float64Array>;
  private batches = 0;

  constructor(
    c: MethodContext,
    private readonly net: Supernet,
  ) {
    const entries = new Map(net.layout.entries.map((e) => [e.name, e]));
    this.sources = new Map(
      net.net.ids.map((id) => {
        const group = c.groups.group(id);
        const index = c.groups.groups.indexOf(group);
        const own = group.members.filter((m) => m.parameter && entries.has(m.value));
        const normalised = own.filter((m) => entries.get(m.value)!.dims.length === 1 && !isBias(c, id, m.value));
        const sources = (normalised.length > 0 ? normalised : own).map((m) => {
          const e = entries.get(m.value)!;
          const layout = c.groups.layout(m.value, m.axis) as AxisLayout;
          const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);
          return {
            offset: e.offset,
            outer: product(e.dims.slice(0, m.axis)),
            length: e.dims[m.axis],
            inner: product(e.dims.slice(m.axis + 1)),
            channels: layout.channel.map((channel, p) => (layout.group[p] === index ? channel : -1)),
          };
        });
        return [id, sources];
      }),
    );
    this.sums = new Map(net.net.ids.map((id) => [id, new Float64Array(c.groups.group(id).width)]));
  }

  /** Adds one batch; products are summed before their absolute value. */
  add(gradient: Float32Array): void {
    const { parameters } = this.net;
    this.batches++;
    for (const [id, sources] of this.sources) {
      const sums = this.sums.get(id)!;
      const own = new Float64Array(sums.length);
      for (const s of sources)
        for (let p = 0; p < s.length; p++) {
          if (s.channels[p] < 0) continue;
          for (let o = 0; o < s.outer; o++) {
            const from = s.offset + (o * s.length + p) * s.inner;
            for (let i = from; i < from + s.inner; i++) own[s.channels[p]] += parameters[i] * gradient[i];
          }
        }
      for (const [channel, v] of own.entries()) sums[channel] += Math.abs(v);
    }
  }

  /** Mean over the batches so far; starts anew. */
  take(): Map<string, Float64Array> {
    const out = new Map([...this.sums].map(([id, s]) => [id, s.map((v) => v / Math.max(1, this.batches))]));
    for (const s of this.sums.values()) s.fill(0);
    this.batches = 0;
    return out;
  }
}

const isBias = (c: MethodContext, id: string, name: string): boolean =>
  c.groups.group(id).producers.some((p) => p.bias === name);

/** Widths of greatest importance within a budget, none wider than now. */
export function allocateByImportance(
  c: MethodContext,
  candidates: ReadonlyMap<string, readonly number[]>,
  orders: ReadonlyMap<string, Order>,
  scores: ReadonlyMap<string, Float64Array>,
  now: Widths,
  budget: number,
): Map<string, number> {
  const choices = [...candidates].map(([id, list]) => {
    const widths = list.filter((w) => w <= now.get(id)!);
    const order = orders.get(id)!;
    const lost = (w: number): number =>
      order.slice(0, order.length - w).reduce((sum, ch) => sum + scores.get(id)![ch], 0);
    const least = lost(widths.at(-1)!);
    return { id, widths, loss: widths.map((w) => lost(w) - least) };
  });
  return allocateWidths(allocationProblem(c.cost, choices), budget).widths;
}

export const halp: PruningMethod = {
  name: "halp",
  title: "HALP",
  paper: "Shen, Yin, Molchanov, Mao, Liu, Alvarez, Structural Pruning via Latency-Saliency Knapsack, NeurIPS 2022",
  describe:
    "Removes channels of small first-order Taylor score in many small prunings; each is a knapsack of importance against cost.",
  settings,
  run: (c) =>
    searchThenTrain(c, async (c) => {
      const share = numberSetting(c, "search", 0.25, { least: 0, most: 1 });
      const training = Math.max(1, Math.floor(share * c.meter.left));
      const prunings = Math.min(training, numberSetting(c, "prunings", 20, { least: 1, whole: true }));
      const net = await Supernet.open(c);
      try {
        const floor = c.cost.of(narrowest(c.cost, net.candidates));
        const scores = new TaylorScores(c, net);
        const full = widest(net.candidates);
        let widths: Map<string, number> = full;
        let keep: Keep = keepAt(full, net.orders);
        const schedule = retrainingSchedule({ learningRate: c.recipe.learningRate });
        for (let step = 0, done = 0; step < training; step++) {
          const pass = await net.pass(await net.next(), { gates: gatesOf(keep, full) });
          scores.add(pass.gradient);
          await net.update(pass.gradient, schedule(step, training));
          c.onProgress?.({ stage: "pruning in small steps", done: step + 1, total: training });
          if (Math.floor(((step + 1) * prunings) / training) === done) continue;
          done++;
          const own = scores.take();
          const orders = new Map([...own].map(([id, s]) => [id, removedFirst(s, keep.get(id)!)]));
          const before = widths;
          const within = (budget: number): Map<string, number> =>
            allocateByImportance(c, net.candidates, orders, own, before, Math.max(budget, floor));
          widths =
            done === prunings
              ? await aimed(c, within)
              : within(c.cost.original ** (1 - done / prunings) * c.cost.target ** (done / prunings));
          keep = keepAt(widths, orders);
          c.meter.note("search", pass.loss, schedule(step, training));
        }
        const cut = await cutOf(c, net.whole(), keep);
        return {
          graph: cut.graph,
          widths: cut.widths,
          notes: [`${prunings} prunings in ${training} steps`],
        };
      } finally {
        await net.dispose();
      }
    }),
};

/** By score, after those that are gone already. */
function removedFirst(scores: Float64Array, kept: Int32Array): Order {
  const alive = new Set(kept);
  return orderByScore(scores.map((s, channel) => (alive.has(channel) ? s : -1)));
}
