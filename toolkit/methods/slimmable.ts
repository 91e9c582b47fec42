/** Training of a net that works at many widths, and widths drawn for it. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import type { Widths } from "../prune/groups.js";
import { retrainingSchedule, type Schedule } from "../train/index.js";
import type { Candidates } from "./expectedCost.js";
import type { SubNet, Supernet } from "./supernet.js";

export const widest = (candidates: Candidates): Map<string, number> =>
  new Map([...candidates].map(([id, w]) => [id, w.at(-1)!]));

export const smallest = (candidates: Candidates): Map<string, number> =>
  new Map([...candidates].map(([id, w]) => [id, w[0]]));

/** An independent, even draw of each width. */
export const drawn = (candidates: Candidates, random: RandomGenerator): Map<string, number> =>
  new Map([...candidates].map(([id, w]) => [id, w[uniformInt(random, 0, w.length - 1)]]));

/**
 * A draw around a common level: independent draws alone make nets of nearly the same cost, while searches ask for small nets and large
 * ones.
 */
export function drawnAround(candidates: Candidates, random: RandomGenerator, spread = 0.5): Map<string, number> {
  const level = uniformFloat64(random);
  return new Map(
    [...candidates].map(([id, w]) => {
      const place = level + spread * (uniformFloat64(random) - 0.5);
      return [id, w[Math.min(w.length - 1, Math.max(0, Math.floor(place * w.length)))]];
    }),
  );
}

export interface SandwichOptions {
  /** Updates of the weights; each costs as many steps as it has sub-nets. */
  updates: number;
  distil: boolean;
  /** The widest and the smallest sub-net. Default: all groups at their widest, and all at their narrowest. */
  ends?: readonly SubNet[];
  /** Sub-nets between those, for each update. */
  others(update: number): readonly (SubNet | Widths)[];
  /** Default: the recipe's retraining schedule. */
  schedule?: Schedule;
  /** Called behind each update. */
  after?(update: number): Promise<void>;
  stage: string;
}

/** Updates by the sandwich rule: the widest, the smallest and others of each kind. */
export async function trainSandwich(net: Supernet, o: SandwichOptions): Promise<void> {
  const { c } = net;
  const schedule = o.schedule ?? retrainingSchedule({ learningRate: c.recipe.learningRate });
  const ends = o.ends ?? [widest(net.candidates), smallest(net.candidates)].map((w) => net.at(w));
  for (let update = 0; update < o.updates; update++) {
    const learningRate = schedule(update, o.updates);
    const others = o.others(update).map((s) => ("gates" in s ? s : net.at(s)));
    const loss = await net.sandwich([...ends, ...others], learningRate, o.distil);
    await o.after?.(update);
    if (update % NOTE_EVERY === 0 || update + 1 === o.updates) c.meter.note("search", loss, learningRate);
    c.onProgress?.({ stage: o.stage, done: update + 1, total: o.updates, note: `loss ${loss.toFixed(4)}` });
  }
}

/** Updates between two points of the history. */
const NOTE_EVERY = 20;
