/** Outputs of a float graph on held-back images, and how near another graph comes to them. */
import type { Graph } from "../graph/graph.js";
import { throwIfAborted } from "../graph/progress.js";
import { toFloat32 } from "../graph/tensor.js";
import { withSession } from "../runtime/session.js";
import { feedsOfBatch, type ImageBatch } from "./feed.js";
import { Similarity } from "./similarity.js";

export interface RunOptions {
  threads?: number;
  signal?: AbortSignal;
}

/** Reference outputs, kept so that many candidates can be compared with one run of the float graph. */
export interface Reference {
  batches: readonly ImageBatch[];
  /** One record per call, output name -> values; there may be more calls than `batches` make. */
  outputs: readonly Record<string, Float32Array>[];
}

/** Runs the float graph once over `batches`, which must fit in memory with their outputs. */
export async function referenceOutputs(
  g: Graph,
  batches: readonly ImageBatch[],
  o: RunOptions = {},
): Promise<Reference> {
  return { batches, outputs: await runAll(g, batches, o) };
}

/** Signal-to-noise ratio of each float output of `g` against the reference, in decibels over all images. */
export async function outputSqnrDb(
  g: Graph,
  reference: Reference,
  o: RunOptions = {},
): Promise<Record<string, number>> {
  const actual = await runAll(g, reference.batches, o);
  const sums = new Map<string, Similarity>();
  actual.forEach((found, i) => {
    const expected = reference.outputs[i];
    for (const [name, values] of Object.entries(expected)) {
      const s = sums.get(name) ?? new Similarity();
      s.add(values, found[name]);
      sums.set(name, s);
    }
  });
  return Object.fromEntries([...sums].map(([name, s]) => [name, s.sqnrDb]));
}

/** The output that suffers most decides. */
export const worstDb = (perOutput: Record<string, number>): number => Math.min(...Object.values(perOutput));

async function runAll(
  g: Graph,
  batches: readonly ImageBatch[],
  o: RunOptions,
): Promise<Record<string, Float32Array>[]> {
  const names = g.outputs.filter((v) => v.type.elemType === "float32").map((v) => v.name);
  const out: Record<string, Float32Array>[] = [];
  await withSession(g, o.threads ? { threads: o.threads } : {}, async (session) => {
    for (const batch of batches) {
      for (const f of feedsOfBatch(g, batch)) {
        throwIfAborted(o.signal);
        const results = await session.run(f.feeds, names);
        out.push(Object.fromEntries(names.map((n) => [n, toFloat32(results[n])])));
      }
    }
  });
  return out;
}
