/** What the quantisation tests share: small nets, noise, and a look at what ONNX Runtime made of a model. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import { checkGraph } from "../../toolkit/graph/check.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { floats, sizeOf } from "../../toolkit/graph/tensor.js";
import { readModel, writeModel } from "../../toolkit/onnx/index.js";
import type { ImageBatch } from "../../toolkit/quantize/index.js";
import { openSession } from "../../toolkit/runtime/session.js";

/** Uniform noise in [-1, 1). */
export function noise(dims: readonly number[], seed = 1, scale = 1): ReturnType<typeof floats> {
  const generator = xoroshiro128plus(seed);
  return floats(
    Float32Array.from({ length: sizeOf(dims) }, () => scale * (2 * uniformFloat64(generator) - 1)),
    dims,
  );
}

/** A net with input `x` of the given dims; `body` returns the output. */
export function net(dims: readonly (number | string)[], body: (g: GraphBuilder, x: Ref) => Ref, opset = 17): Graph {
  const g = new GraphBuilder(emptyGraph("net", opset));
  const x = g.input("x", dims);
  g.output(body(g, x));
  return g.graph;
}

/** Conv 3x3, pads 1, with noise for weights. */
export function conv3(g: GraphBuilder, x: Ref, inputs: number, outputs: number, seed: number, group = 1): Ref {
  const w = g.initializer(
    `w${seed}`,
    noise([outputs, inputs / group, 3, 3], seed, 1 / Math.sqrt((9 * inputs) / group)),
  );
  const b = g.initializer(`b${seed}`, noise([outputs], seed + 100, 0.2));
  return g.conv(x, w, b, { pads: [1, 1, 1, 1], group }, { name: `conv${seed}` });
}

export async function* batches(...list: ImageBatch[]): AsyncIterable<ImageBatch> {
  yield* list;
}

export const images = (dims: readonly number[], seed = 1): ImageBatch => {
  const t = noise(dims, seed);
  return { data: t.data as Float32Array, dims };
};

/** The first output for a batch. */
export async function outputOf(g: Graph, batch: ImageBatch, level: "disabled" | "all" = "all"): Promise<Float32Array> {
  checkGraph(g);
  const session = await openSession(g, { threads: 1, level });
  try {
    const results = await session.run({ [g.inputs[0].name]: floats(batch.data, batch.dims) });
    return results[g.outputs[0].name].data as Float32Array;
  } finally {
    await session.dispose();
  }
}

/** How many nodes of each type are left after ONNX Runtime's own optimiser. */
export async function optimisedOps(
  g: Graph,
  level: "extended" | "all" = "extended",
  extra: Record<string, unknown> = {},
): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(tmpdir(), "edgefit-quantize-"));
  try {
    const file = join(folder, "optimised.onnx");
    const session = await ort.InferenceSession.create(writeModel(g), {
      graphOptimizationLevel: level,
      optimizedModelFilePath: file,
      logSeverityLevel: 4,
      extra,
    });
    await session.release();
    const counts: Record<string, number> = {};
    for (const n of readModel(await readFile(file)).nodes) counts[n.opType] = (counts[n.opType] ?? 0) + 1;
    return counts;
  } finally {
    await rm(folder, { recursive: true });
  }
}
