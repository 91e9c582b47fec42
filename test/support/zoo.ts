/** One model of the corpus (test/corpus) through the whole way: read, groups, random cut, written file against masked net. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { Graph } from "../../toolkit/graph/graph.js";
import type { Tensor } from "../../toolkit/graph/tensor.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { readModel, readModelFile, writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { type ChannelGroups, findGroups } from "../../toolkit/prune/groups.js";
import { maskGraph } from "../../toolkit/prune/mask.js";
import { sliceGraph } from "../../toolkit/prune/slice.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { randomFeeds, randomKeep, runGraph } from "./graphs.js";

export interface ZooResult {
  name: string;
  nodes: number;
  /** Groups that can lose channels. */
  groups: number;
  /** Share of the parameters that can lose elements, see `parametersOf`; and which tensors cannot. */
  prunableShare: number;
  parameters: number;
  uncuttable: string[];
  /** Reason -> number of groups that it freezes. */
  frozen: Record<string, number>;
  /** Largest difference of sliced and masked outputs, relative to the largest output; sliced unoptimised and optimised. */
  error: number;
  errorOptimized: number;
  /** How far the cut moved the outputs, in the same measure: what an oracle that masks nothing would miss. */
  moved: number;
  /** Processor time. */
  seconds: { read: number; groups: number; slice: number; write: number; run: number };
}

/** Largest relative error that counts as equal. */
export const tolerance = 1e-4;

/** The models of a corpus folder, by name. */
export const zooModels = (dir: string): { name: string; path: string }[] =>
  readdirSync(dir)
    .filter((f) => f.endsWith(".onnx"))
    .sort()
    .map((f) => ({ name: basename(f, ".onnx"), path: join(dir, f) }));

/**
 * What counts as a parameter: an element of a float tensor with at least two axes longer than 1 (kernels, matrices,
 * embeddings; biases and normalisation vectors follow them). It can be pruned when its tensor has an axis on which at
 * least one channel belongs to a group that may lose channels.
 */
export function parametersOf(
  g: Graph,
  groups: ChannelGroups,
): { total: number; prunable: number; uncuttable: string[] } {
  const prunable = new Set(groups.prunable.map((e) => groups.groups.indexOf(e)));
  const out = { total: 0, prunable: 0, uncuttable: [] as string[] };
  for (const [name, t] of g.initializers) {
    if (!/^b?float(16|32|64)$/.test(t.elemType) || t.dims.filter((d) => d > 1).length < 2) continue;
    out.total += t.data.length;
    const cuttable = t.dims.some((_, axis) => groups.layout(name, axis)?.group.some((i) => prunable.has(i)));
    if (cuttable) out.prunable += t.data.length;
    else out.uncuttable.push(`${name}[${t.dims.join()}]`);
  }
  return out;
}

/** Greatest difference over all outputs, relative to the greatest magnitude among those of `expected`. */
function difference(a: Record<string, Tensor>, expected: Record<string, Tensor>): number {
  let worst = 0;
  let scale = 0;
  for (const [name, t] of Object.entries(expected)) {
    const [x, y] = [a[name].data, t.data] as [ArrayLike<number>, ArrayLike<number>];
    if (a[name].dims.join() !== t.dims.join()) return Number.POSITIVE_INFINITY;
    for (let i = 0; i < y.length; i++) {
      const d = Math.abs(Number(x[i]) - Number(y[i]));
      if (!Number.isFinite(d)) return Number.POSITIVE_INFINITY;
      worst = Math.max(worst, d);
      scale = Math.max(scale, Math.abs(Number(y[i])));
    }
  }
  return scale === 0 ? Number.POSITIVE_INFINITY : worst / scale;
}

/** Cuts every group of the model to a random width and compares. Throws what the toolkit throws. */
export async function tryModel(name: string, path: string, seed = 1, share = 0.6): Promise<ZooResult> {
  let last = process.cpuUsage();
  const lap = (): number => {
    const { user, system } = process.cpuUsage(last);
    last = process.cpuUsage();
    return (user + system) / 1e6;
  };
  const g = inferShapes(tidy(await readModelFile(path)));
  const read = lap();
  const groups = findGroups(g);
  const found = lap();
  const keep = randomKeep(groups, seed, share);
  const sliced = sliceGraph(g, groups, keep);
  const slice = lap();
  const bytes = writeModel(sliced);
  const write = lap();
  const feeds = randomFeeds(g, seed);
  const expected = await runGraph(maskGraph(g, groups, keep), feeds);
  const error = difference(await runGraph(readModel(bytes), feeds), expected);
  const session = await openSession(bytes, { level: "all", threads: 1 });
  const errorOptimized = difference(await session.run(feeds), expected);
  await session.dispose();
  const moved = difference(await runGraph(g, feeds), expected);
  const { total, prunable, uncuttable } = parametersOf(g, groups);
  const frozen: Record<string, number> = {};
  for (const e of groups.groups) if (e.frozen !== undefined) frozen[e.frozen] = (frozen[e.frozen] ?? 0) + 1;
  return {
    name,
    nodes: g.nodes.length,
    groups: groups.prunable.length,
    prunableShare: prunable / total,
    parameters: total,
    uncuttable,
    frozen,
    error,
    errorOptimized,
    moved,
    seconds: { read, groups: found, slice, write, run: lap() },
  };
}

/** Whether a result is one of a model that was cut and computes what it should. */
export const passes = (r: ZooResult): boolean =>
  r.groups > 0 && r.error <= tolerance && r.errorOptimized <= tolerance && r.moved > 10 * tolerance;
