/**
 * ResRep: Ding, Hao, Tan, Liu, Han, Guo, Ding, "ResRep: Lossless CNN Pruning via Decoupling Remembering and Forgetting", ICCV 2021.
 *
 * Compactors (`compactors.ts`) behind the inner convolutions are trained with the net. Their gradient is reset,
 *
 *     G_i = mask_i dL/dQ_i + λ Q_i / ||Q_i||        for each row i,
 *
 * all other parameters follow the plain gradient. From 5 % of the steps on, rows are masked anew again and again: those of smallest norm
 * over all compactors, one by one, until the net without them meets the target, at most `growth` more than before (without that limit
 * once the target is met, so that rows may be exchanged). Masked rows shrink to 0, go, and the rest is merged into plain
 * convolutions: no retraining, and the outputs stay.
 *
 * Deviations: λ is chosen so that a masked row needs a quarter of the steps to vanish (the paper's 1e-4 takes 10,000 steps at its
 * rates); a masked row that is shorter than one step of that pull is set to 0, as 0 is where the subgradient of the norm holds it; the learning rate
 * is the recipe's.
 */
import { UsageError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { findGroups, type Keep, type Widths } from "../prune/groups.js";
import { cosineSchedule } from "../train/index.js";
import { type Compactor, insertCompactors, mergeCompactors, resetGradient, rowNorms } from "./compactors.js";
import { fullWidths } from "./cost.js";
import { type CutNet, withKept } from "./cut.js";
import { statisticsSteps, withStatistics } from "./finishing.js";
import type { Cost, MethodContext, PruningMethod } from "./method.js";
import { numberSetting } from "./readSettings.js";
import { Supernet } from "./supernet.js";

const settings = {
  lambda: "strength λ of the lasso on rows; default: a masked row vanishes in a quarter of the steps",
  momentum: "of compactors; default 0.99",
  start: "share of the steps before rows are masked; default 0.05",
  growth: "rows that a selection may mask beyond the last one; default 4 % of all, at least 4",
};

/** Selections over the whole run. */
const SELECTIONS = 100;

/** Rows to forget, by group. */
export type Forgotten = Map<string, Set<number>>;

export interface SelectOptions {
  cost: Cost;
  /** Row norms by group. */
  norms: ReadonlyMap<string, Float64Array>;
  target: number;
  /** Rows masked at most, while the target is not met. */
  most: number;
}

/** Masks the shortest rows of all compactors one by one until the target is met; a group keeps one row at least. */
export function selectRows(o: SelectOptions): { forgotten: Forgotten; cost: number } {
  const rows = [...o.norms].flatMap(([id, list]) => Array.from(list, (norm, row) => ({ id, row, norm })));
  rows.sort((a, b) => a.norm - b.norm);
  const forgotten: Forgotten = new Map([...o.norms.keys()].map((id) => [id, new Set()]));
  const widths = new Map([...o.norms].map(([id, list]) => [id, list.length]));
  let count = 0;
  let cost = o.cost.of(widths);
  for (const { id, row } of rows) {
    if (cost <= o.target || count >= o.most) break;
    if (widths.get(id)! <= 1) continue;
    forgotten.get(id)!.add(row);
    widths.set(id, widths.get(id)! - 1);
    cost = o.cost.of(widths);
    count++;
  }
  return { forgotten, cost };
}

const countOf = (f: Forgotten): number => [...f.values()].reduce((n, rows) => n + rows.size, 0);

export const resRep: PruningMethod = {
  name: "resrep",
  title: "ResRep",
  paper:
    "Ding, Hao, Tan, Liu, Han, Guo, Ding, ResRep: Lossless CNN Pruning via Decoupling Remembering and Forgetting, ICCV 2021",
  describe:
    "Trains 1x1 compactors behind inner convolutions to forget rows, and merges what is left without changing the outputs. Residual streams keep their widths.",
  settings,
  async run(c) {
    const { graph, compactors, skipped } = insertCompactors(c.graph, c.groups);
    for (const [id, reason] of skipped) c.onNote?.(`"${id}" keeps its width: ${reason}`);
    const least = c.cost.of(new Map(compactors.map((e) => [e.group, 1])));
    if (least > c.cost.target) {
      throw new UsageError(
        "target-unreachable",
        `with one channel in every inner layer the net still costs ${least.toPrecision(4)} ${c.cost.unit}, over ${c.cost.target.toPrecision(4)}`,
        { hint: "allow more, or take a method that narrows residual streams too" },
      );
    }
    const names = new Set(compactors.map((e) => e.weight));
    const net = await Supernet.open(c, { graph, noDecay: (name) => names.has(name) });
    try {
      return await forget(c, net, compactors);
    } finally {
      await net.dispose();
    }
  },
};

async function forget(c: MethodContext, net: Supernet, compactors: readonly Compactor[]) {
  const { learningRate } = c.recipe;
  const steps = Math.max(1, c.meter.left - statisticsSteps(c));
  const momentum = numberSetting(c, "momentum", 0.99, { least: 0, most: 0.9999 });
  // The mean rate of a cosine is half of its largest.
  const lambda = numberSetting(c, "lambda", (1 - momentum) / ((learningRate / 2) * (steps / 4)), { least: 0 });
  const rows = compactors.reduce((n, e) => n + e.width, 0);
  const growth = numberSetting(c, "growth", Math.max(4, Math.ceil(rows / 25)), { least: 1, whole: true });
  const from = Math.round(numberSetting(c, "start", 0.05, { least: 0, most: 1 }) * steps);
  const every = Math.max(1, Math.round(steps / SELECTIONS));
  const schedule = cosineSchedule({ learningRate, warmup: 0.05 });
  const entries = new Map(net.layout.entries.map((e) => [e.name, e]));
  const velocities = new Map(compactors.map((e) => [e.group, new Float32Array(e.width ** 2)]));
  const matrix = (e: Compactor): Float32Array => {
    const { offset, length } = entries.get(e.weight)!;
    return net.parameters.subarray(offset, offset + length);
  };
  let forgotten: Forgotten = new Map(compactors.map((e) => [e.group, new Set()]));
  let target = c.cost.target;
  let met = false;
  let aims = c.cost.unit === "ms" ? 3 : 0;

  for (let step = 0; step < steps; step++) {
    if (step >= from && (step - from) % every === 0) {
      const norms = new Map(compactors.map((e) => [e.group, rowNorms(matrix(e), e.width)]));
      const most = met ? rows : countOf(forgotten) + growth;
      const selected = selectRows({ cost: c.cost, norms, target, most });
      forgotten = selected.forgotten;
      met = selected.cost <= target;
      if (met && aims-- > 0) {
        const measured = await c.measure(cutRows(c, net.whole(), compactors, forgotten).graph);
        if (measured <= c.cost.target) aims = 0;
        else target *= (0.99 * c.cost.target) / measured;
      }
    }
    const rate = schedule(step, steps);
    const pass = await net.pass(await net.next(), { gates: new Map() });
    const own = new Map(
      compactors.map((e) => {
        const { offset, length } = entries.get(e.weight)!;
        const gradient = pass.gradient.slice(offset, offset + length);
        pass.gradient.fill(0, offset, offset + length);
        return [e, gradient] as const;
      }),
    );
    await net.update(pass.gradient, rate);
    for (const [e, gradient] of own) {
      const q = matrix(e);
      const masked = forgotten.get(e.group)!;
      const reset = resetGradient(q, gradient, e.width, masked, lambda);
      const velocity = velocities.get(e.group)!;
      for (let i = 0; i < q.length; i++) {
        velocity[i] = momentum * velocity[i] + reset[i];
        q[i] -= rate * velocity[i];
      }
      settle(q, velocity, e.width, masked, (rate * lambda) / (1 - momentum));
      for (const name of e.shifts) {
        const { offset } = entries.get(name)!;
        rowNorms(q, e.width).forEach((norm, row) => {
          if (norm === 0) net.parameters[offset + row] = 0;
        });
      }
    }
    if (step % 50 === 0 || step + 1 === steps) c.meter.note("search", pass.loss, rate);
    c.onProgress?.({
      stage: "remembering and forgetting",
      done: step + 1,
      total: steps,
      note: `${countOf(forgotten)} of ${rows} rows masked`,
    });
  }
  const rest = compactors.reduce(
    (n, e) => n + [...forgotten.get(e.group)!].filter((row) => rowNorms(matrix(e), e.width)[row] > 0).length,
    0,
  );
  if (!met) {
    const norms = new Map(compactors.map((e) => [e.group, rowNorms(matrix(e), e.width)]));
    forgotten = selectRows({ cost: c.cost, norms, target, most: rows }).forgotten;
    c.onNote?.("the steps ended before enough rows were masked; the shortest were taken");
  } else if (rest > 0)
    c.onNote?.(`${rest} masked rows had not vanished when the steps ended and were cut as they were`);
  clear(net, compactors, forgotten, matrix);
  const cut = cutRows(c, await withStatistics(c, net.whole()), compactors, forgotten);
  return { graph: cut.graph, widths: cut.widths };
}

/** Sets masked rows to 0 that one step of their pull would carry past it. */
function settle(
  q: Float32Array,
  velocity: Float32Array,
  width: number,
  masked: ReadonlySet<number>,
  pull: number,
): void {
  const norms = rowNorms(q, width);
  for (const row of masked) {
    if (norms[row] > 2 * pull) continue;
    q.fill(0, row * width, (row + 1) * width);
    velocity.fill(0, row * width, (row + 1) * width);
  }
}

function clear(
  net: Supernet,
  compactors: readonly Compactor[],
  forgotten: Forgotten,
  matrix: (e: Compactor) => Float32Array,
): void {
  const entries = new Map(net.layout.entries.map((e) => [e.name, e]));
  for (const e of compactors)
    for (const row of forgotten.get(e.group)!) {
      matrix(e).fill(0, row * e.width, (row + 1) * e.width);
      for (const name of e.shifts) net.parameters[entries.get(name)!.offset + row] = 0;
    }
}

/** Merged, and without the rows that are forgotten. */
export function cutRows(
  c: MethodContext,
  whole: Graph,
  compactors: readonly Compactor[],
  forgotten: ReadonlyMap<string, ReadonlySet<number>>,
): CutNet {
  const graph = mergeCompactors(whole, compactors);
  const keep: Keep = new Map(
    compactors.map((e) => [
      e.group,
      Int32Array.from({ length: e.width }, (_, row) => row).filter((row) => !forgotten.get(e.group)!.has(row)),
    ]),
  );
  const widths: Widths = fullWidths(c.groups);
  return withKept({ graph, groups: findGroups(graph), widths }, keep);
}
