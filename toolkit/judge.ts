/** How much a variant of a model loses against the original: wrong answers on labelled images, else changed answers. */
import type { Split } from "./data/index.js";
import type { Graph } from "./graph/graph.js";
import { type Progress, throwIfAborted } from "./graph/progress.js";
import { classScores } from "./onDevice.js";
import { argmaxRows, feedsOfBatch } from "./quantize/index.js";
import { withSession } from "./runtime/session.js";
import { hasFixedBatch, type Subject } from "./subject.js";

export interface Judge {
  /** `accuracy` with labels, `agreement` with the original's answers without. */
  measures: "accuracy" | "agreement";
  images: number;
  /** The original's share of right answers; 1 for agreement. */
  original: number;
  /** A variant's share. */
  share(g: Graph): Promise<number>;
}

export interface JudgeOptions {
  threads?: number;
  stage: string;
  onProgress?: Progress;
  signal?: AbortSignal;
}

/** A judge over the given items; undefined where the model gives no single vector of class scores, or nothing fills a batch. */
export async function openJudge(
  s: Subject,
  split: Split,
  indices: readonly number[],
  o: JudgeOptions,
): Promise<Judge | undefined> {
  const usable = hasFixedBatch(s) ? indices.slice(0, indices.length - (indices.length % s.batchSize)) : indices;
  if (usable.length === 0) return undefined;
  const first = await answers(s, s.graph, split, usable.slice(0, s.batchSize), o);
  if (!first) return undefined;
  const float = (await answers(s, s.graph, split, usable, o))!;
  const expected = float.labels ?? float.classes;
  const right = (classes: Int32Array): number => {
    let count = 0;
    for (let i = 0; i < classes.length; i++) if (classes[i] === expected[i]) count++;
    return count / classes.length;
  };
  return {
    measures: float.labels ? "accuracy" : "agreement",
    images: usable.length,
    original: right(float.classes),
    share: async (g) => right((await answers(s, g, split, usable, o))!.classes),
  };
}

/** Images of one batch that are decoded at a time. */
const BATCH = 100;

async function answers(
  s: Subject,
  g: Graph,
  split: Split,
  indices: readonly number[],
  o: JudgeOptions,
): Promise<{ classes: Int32Array; labels?: Int32Array } | undefined> {
  const classes = new Int32Array(indices.length);
  const labels = new Int32Array(indices.length);
  let [at, labelled] = [0, 0];
  const step = hasFixedBatch(s) ? s.batchSize : BATCH;
  const scored = await withSession(g, o.threads ? { threads: o.threads } : {}, async (session) => {
    for (let i = 0; i < indices.length; i += step) {
      const batch = await split.batch(indices.slice(i, i + step));
      if (batch.labels) {
        labels.set(batch.labels, i);
        labelled += batch.labels.length;
      }
      for (const { feeds } of feedsOfBatch(g, batch)) {
        throwIfAborted(o.signal);
        const scores = classScores(s, await session.run(feeds));
        if (!scores) return false;
        const found = argmaxRows(scores.data as Float32Array, scores.dims[1]);
        classes.set(found, at);
        at += found.length;
      }
      o.onProgress?.({ stage: o.stage, done: at, total: indices.length });
    }
    return true;
  });
  if (!scored) return undefined;
  return labelled === indices.length ? { classes, labels } : { classes };
}
