/** Every criterion by its name: what each channel of a group is worth, from weights, gradients, activations or least squares. */
import type { Batch } from "../data/dataset.js";
import type { Graph } from "../graph/graph.js";
import type { Progress } from "../graph/progress.js";
import { floats } from "../graph/tensor.js";
import { activationScores, hessianScores, medianScores } from "../prune/criteria.js";
import type { ChannelGroups, Group } from "../prune/groups.js";
import { normScores, type Order, orderByScore, scaleScores, taylorScores } from "../prune/importance.js";
import { isMeasurable, type ReaderMoments, readerMoments, reconstructionOrder } from "../prune/sensitivity.js";
import { type Loss, parameterGradients, shuffled, streamOf } from "../train/index.js";

/** Names of the criteria, the default of `fit` first. */
export const criterionNames = [
  "reconstruction",
  "taylor",
  "hessian",
  "activation",
  "fpgm",
  "bn",
  "l1",
  "l2",
  "random",
] as const;

export type CriterionName = (typeof criterionNames)[number];

export interface ScoreOptions {
  criterion: CriterionName;
  /** Images, with labels where `loss` wants them. Those criteria that look at weights alone read none. */
  batches: readonly Batch[];
  /** Of `taylor` and `hessian`. */
  loss: () => Loss;
  /** Of `random`. */
  seed: number;
  /** Of `reconstruction`, where they are known already. */
  moments?: ReaderMoments;
  threads?: number;
  onProgress?: Progress;
  /** A criterion that a group has nothing for is replaced, and said so. */
  onNote?: (note: string) => void;
  /** Told what the criterion computed: images forward and backward, images forward alone. */
  onWork?: (work: { backward: number; forward: number }) => void;
  signal?: AbortSignal;
}

export interface GroupScores {
  /** Channels, least important first. */
  order: Order;
  /** Worth of each channel; comparable within the group. */
  scores: Float64Array;
}

/** Images of the Hessian's diagonal at most: each is a backward pass of its own. */
const FISHER_IMAGES = 128;

/** Scores of every group whose cut some node can see. */
export async function scoreGroups(g: Graph, groups: ChannelGroups, o: ScoreOptions): Promise<Map<string, GroupScores>> {
  const of = await scorerOf(g, groups, o);
  const usable = groups.prunable.filter(isMeasurable);
  return new Map(usable.map((group, i) => [group.id, of(group, i)]));
}

const byScore = (scores: Float64Array): GroupScores => ({ scores, order: orderByScore(scores) });

/** Orders alone. */
export const ordersOf = (scores: ReadonlyMap<string, GroupScores>): Map<string, Order> =>
  new Map([...scores].map(([id, s]) => [id, s.order]));

async function scorerOf(
  g: Graph,
  groups: ChannelGroups,
  o: ScoreOptions,
): Promise<(group: Group, index: number) => GroupScores> {
  const norm = (group: Group, p: 1 | 2): GroupScores => byScore(normScores(g, groups, group, p));
  const tensors = () => o.batches.map((b) => floats(b.data, b.dims));
  const images = o.batches.reduce((n, b) => n + b.dims[0], 0);
  const { threads, signal } = o;
  switch (o.criterion) {
    case "random":
      return (group, index) => {
        const order = shuffled(group.width, streamOf(o.seed, index, 0));
        const scores = new Float64Array(group.width);
        order.forEach((channel, k) => {
          scores[channel] = k;
        });
        return { order, scores };
      };
    case "l1":
      return (group) => norm(group, 1);
    case "l2":
      return (group) => norm(group, 2);
    case "fpgm":
      return (group) => byScore(medianScores(g, groups, group));
    case "bn":
      return (group) => {
        const scores = scaleScores(g, groups, group);
        if (scores) return byScore(scores);
        o.onNote?.(`channels of "${group.id}" pass no batch normalisation: ranked by L2 norm instead`);
        return norm(group, 2);
      };
    case "taylor": {
      const gradients = await parameterGradients(g, o.batches, o.loss(), {
        threads,
        onBatch: ({ index }) =>
          o.onProgress?.({ stage: "computing gradients", done: index + 1, total: o.batches.length }),
      });
      o.onWork?.({ backward: images, forward: 0 });
      return (group) => byScore(taylorScores(g, groups, group, gradients));
    }
    case "hessian": {
      const squares = await fisherDiagonal(g, o);
      return (group) => byScore(hessianScores(g, groups, group, squares));
    }
    case "activation": {
      const scores = await activationScores(g, groups, tensors(), { threads, signal });
      o.onWork?.({ backward: 0, forward: images });
      return (group) => byScore(scores.get(group.id)!);
    }
    case "reconstruction": {
      const moments = o.moments ?? (await readerMoments(g, groups, tensors(), { threads, signal }));
      if (!o.moments) o.onWork?.({ backward: 0, forward: images });
      return (group) => {
        const e = reconstructionOrder(g, groups, group, moments);
        if (!e) return norm(group, 2);
        // What the error grew by when a channel went; the last one standing is worth more than all.
        const scores = new Float64Array(group.width);
        e.order.forEach((channel, k) => {
          scores[channel] = k + 1 < group.width ? e.error[k + 1] - e.error[k] : e.error[k] + 1;
        });
        return { scores, order: e.order };
      };
    }
  }
}

/** Mean over images of the squared gradient, one image at a time: squares of a batch's mean gradient would be another thing. */
async function fisherDiagonal(g: Graph, o: ScoreOptions): Promise<Map<string, Float64Array>> {
  const images = singles(o.batches).slice(0, FISHER_IMAGES);
  const out = new Map<string, Float64Array>();
  await parameterGradients(g, images, o.loss(), {
    threads: o.threads,
    onBatch: ({ index, gradients }) => {
      o.onProgress?.({ stage: "computing gradients", done: index + 1, total: images.length });
      for (const [name, gradient] of gradients) {
        const sum = out.get(name) ?? new Float64Array(gradient.length);
        gradient.forEach((v, i) => {
          sum[i] += v ** 2 / images.length;
        });
        out.set(name, sum);
      }
    },
  });
  o.onWork?.({ backward: images.length, forward: 0 });
  return out;
}

/** Every image as a batch of its own. */
function singles(batches: readonly Batch[]): Batch[] {
  return batches.flatMap((b) => {
    const size = b.data.length / b.dims[0];
    return Array.from({ length: b.dims[0] }, (_, i) => ({
      data: b.data.slice(i * size, (i + 1) * size),
      dims: [1, ...b.dims.slice(1)],
      ...(b.labels ? { labels: b.labels.slice(i, i + 1) } : {}),
    }));
  });
}
