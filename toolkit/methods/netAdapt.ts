/**
 * NetAdapt: Yang, Howard, Chen, Zhang, Go, Sandler, Sze, Adam, "NetAdapt: Platform-Aware Neural Network Adaptation for Mobile
 * Applications", ECCV 2018.
 *
 * Iteration t = 1, 2, … must reach the resource R_{t-1} - ΔR β^(t-1). Each group on its own is narrowed until the whole net does; it keeps
 * the filters of largest L2 norm and is fine-tuned for a few steps. The proposal with the least
 *
 *     (A_{t-1} - A + 1e-6) / (R_{t-1} - R + 1e-5)
 *
 * is kept (the published code; "choice" = "accuracy" takes the greatest accuracy A, as the paper does), until the target is met; then
 * one long fine-tuning. A is measured on held-out training images, R predicted by the table and, where the cost is latency, measured on the
 * device after each iteration: later predictions are scaled by what was measured.
 *
 * Deviations: ΔR is chosen so that the schedule reaches the target in `iterations` (the code fixes 2.5 % of the original); an
 * iteration whose last step would pass the target stops at it; A is the negative cross-entropy, as accuracies on a few hundred
 * images tie.
 */
import type { Keep, Widths } from "../prune/groups.js";
import { normScores, orderByScore } from "../prune/importance.js";
import type { Candidates } from "./expectedCost.js";
import { cutOf } from "./finishing.js";
import { narrowest } from "./fitWidths.js";
import { gatesOf } from "./gates.js";
import type { Cost, MethodContext, PruningMethod } from "./method.js";
import { choiceSetting, flagSetting, numberSetting } from "./readSettings.js";
import { searchThenTrain } from "./searchThenTrain.js";
import { widest } from "./slimmable.js";
import { Supernet } from "./supernet.js";

const settings = {
  search: "share of the steps that short fine-tunings get; default 0.5",
  iterations: "iterations that the schedule needs; default 10",
  decay: "factor β of the resource's step per iteration; default 0.96",
  choice: "ratio (default) or accuracy",
  images: "held-out images that each proposal is judged on; default 256",
  measured: "measure the net after each iteration; default where the cost is latency",
};

/** One iteration. */
export interface Iteration {
  /** What the resource had to come down to. */
  goal: number;
  group: string;
  width: number;
  /** Of the accepted net. */
  resource: number;
  score: number;
}

/** A proposal after its short fine-tuning; `accept` makes it the net that later ones start from. */
export interface Proposal {
  /** Greater is better. */
  score: number;
  accept(): void;
}

export interface AdaptOptions {
  cost: Cost;
  candidates: Candidates;
  iterations: number;
  decay: number;
  choice: "ratio" | "accuracy";
  /** Of the net as it is given. */
  score: number;
  propose(widths: Widths, group: string): Promise<Proposal>;
  /** Resource of an accepted net; absent: as predicted. */
  measure?(widths: Widths): Promise<number>;
  onIteration?(done: Iteration): void;
}

/** The published loop. Throws UsageError `target-unreachable`. */
export async function adapt(o: AdaptOptions): Promise<{ widths: Map<string, number>; trace: Iteration[] }> {
  const { cost, candidates, decay } = o;
  narrowest(cost, candidates);
  let widths = widest(candidates);
  let { score } = o;
  let resource = cost.original;
  const shares = decay === 1 ? o.iterations : (1 - decay ** o.iterations) / (1 - decay);
  const first = (cost.original - cost.target) / shares;
  const trace: Iteration[] = [];
  for (let t = 1; resource > cost.target; t++) {
    const goal = Math.max(cost.target, resource - first * decay ** (t - 1));
    const scale = resource / cost.of(widths);
    let best: (Iteration & { rate: number; widths: Map<string, number>; accept(): void }) | undefined;
    for (const [group, list] of candidates) {
      const trial = (w: number): Map<string, number> => new Map(widths).set(group, w);
      const narrower = list.filter((w) => w < widths.get(group)!).toReversed();
      const width = narrower.find((w) => scale * cost.of(trial(w)) <= goal * (1 + 1e-9));
      if (width === undefined) continue;
      const predicted = scale * cost.of(trial(width));
      const p = await o.propose(trial(width), group);
      const rate =
        o.choice === "accuracy" ? -p.score : (score - p.score + 1e-6) / (resource - predicted + 1e-5 * cost.original);
      if (best && rate >= best.rate) continue;
      best = { goal, group, width, resource: predicted, score: p.score, rate, widths: trial(width), accept: p.accept };
    }
    if (!best) {
      // No group reaches the goal alone: all take one step, as far as they can.
      widths = new Map([...candidates].map(([id, list]) => [id, list[Math.max(0, list.indexOf(widths.get(id)!) - 1)]]));
      const p = await o.propose(widths, "");
      p.accept();
      best = {
        goal,
        group: "",
        width: 0,
        resource: scale * cost.of(widths),
        score: p.score,
        rate: 0,
        widths,
        accept() {},
      };
    }
    best.accept();
    widths = best.widths;
    score = best.score;
    resource = (await o.measure?.(widths)) ?? best.resource;
    const { goal: asked, group, width } = best;
    const done = { goal: asked, group, width, resource, score };
    trace.push(done);
    o.onIteration?.(done);
    const smallestAlready = [...candidates].every(([id, list]) => widths.get(id) === list[0]);
    if (smallestAlready) break;
  }
  return { widths, trace };
}

export const netAdapt: PruningMethod = {
  name: "netadapt",
  title: "NetAdapt",
  paper:
    "Yang, Howard, Chen, Zhang, Go, Sandler, Sze, Adam, NetAdapt: Platform-Aware Neural Network Adaptation for Mobile Applications, ECCV 2018",
  describe:
    "Narrows one group at a time so that the net's latency follows a schedule, tries every group with a short fine-tuning, keeps the best.",
  settings,
  run: (c) =>
    searchThenTrain(c, async (c) => {
      narrowest(c.cost, c.candidates);
      const iterations = numberSetting(c, "iterations", 10, { least: 1, whole: true });
      const images = numberSetting(c, "images", 256, { least: 1, whole: true });
      const share = numberSetting(c, "search", 0.5, { least: 0, most: 1 });
      const net = await Supernet.open(c);
      try {
        const short = Math.max(1, Math.floor((share * c.meter.left) / (iterations * net.candidates.size)));
        let keep: Map<string, Int32Array> = new Map(
          [...net.orders].map(([id, order]) => [id, Int32Array.from(order).sort()]),
        );
        const full = widest(net.candidates);
        const { widths, trace } = await adapt({
          cost: c.cost,
          candidates: net.candidates,
          iterations,
          decay: numberSetting(c, "decay", 0.96, { least: 0.01, most: 1 }),
          choice: choiceSetting(c, "choice", ["ratio", "accuracy"]),
          score: -(await net.score({ gates: gatesOf(keep, full) }, images)).loss,
          async propose(wanted) {
            const before = { parameters: net.parameters, state: net.state };
            const own = largest(c, net, keep, wanted);
            net.state = net.passes.start();
            await tune(c, net, own, full, short);
            const { loss } = await net.score({ gates: gatesOf(own, full) }, images);
            const after = { parameters: net.parameters, state: net.state };
            Object.assign(net, before);
            return {
              score: -loss,
              accept() {
                Object.assign(net, after);
                keep = own;
              },
            };
          },
          ...(flagSetting(c, "measured", c.cost.unit === "ms")
            ? { measure: async () => c.measure((await cutOf(c, net.whole(), keep)).graph) }
            : {}),
          onIteration: (done) =>
            c.onProgress?.({
              stage: "adapting",
              done: Math.round(
                100 * Math.min(1, (c.cost.original - done.resource) / (c.cost.original - c.cost.target)),
              ),
              total: 100,
              note: `"${done.group}" to ${done.width}`,
            }),
        });
        const cut = await cutOf(c, net.whole(), keep);
        return {
          graph: cut.graph,
          widths: new Map([...cut.widths, ...widths]),
          notes: [`${trace.length} iterations, ${short} steps for each of ${net.candidates.size} proposals`],
        };
      } finally {
        await net.dispose();
      }
    }),
};

/** Of the channels that are left, those with the largest L2 norms of the weights that make them. */
function largest(c: MethodContext, net: Supernet, keep: Keep, widths: Widths): Map<string, Int32Array> {
  const whole = net.whole();
  return new Map(
    [...keep].map(([id, kept]) => {
      const width = widths.get(id) ?? kept.length;
      if (width === kept.length) return [id, kept];
      const scores = normScores(whole, c.groups, c.groups.group(id), 2);
      const order = orderByScore(scores).filter((channel) => kept.includes(channel));
      return [id, order.slice(order.length - width).sort()];
    }),
  );
}

/** A few steps at a tenth of the recipe's rate. */
async function tune(c: MethodContext, net: Supernet, keep: Keep, full: Widths, steps: number): Promise<void> {
  const sub = { gates: gatesOf(keep, full) };
  for (let step = 0; step < steps; step++) {
    const pass = await net.pass(await net.next(), sub);
    await net.update(pass.gradient, c.recipe.learningRate / 10);
  }
}
