/** A residual net of a few hundred weights that was taught to tell stripes apart, and contexts in which methods cut it. */

import type { Graph } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { type ContextOptions, methodContext } from "../../toolkit/methods/context.js";
import type { MethodContext } from "../../toolkit/methods/method.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { constantSchedule, crossEntropy, sgd, train } from "../../toolkit/train/index.js";
import { type ResnetCifarOptions, resnetCifar } from "../../toolkit/zoo/index.js";
import { SIDE, stripes } from "../train/nets.js";

export const learned = stripes(192, 3);
export const heldOut = stripes(64, 4);

/** Untrained: three blocks of 4, 8 and 16 channels, two classes of 8x8 images. */
export const untrained = (o: ResnetCifarOptions = {}): Graph =>
  inferShapes(
    tidy(resnetCifar({ layers: 8, widthMultiplier: 0.25, inputSize: SIDE, inputChannels: 1, classes: 2, ...o })),
  );

let known: Promise<Graph> | undefined;

/** Trained once per file. */
export function trained(): Promise<Graph> {
  known ??= train({
    graph: untrained(),
    data: learned,
    loss: crossEntropy(),
    epochs: 4,
    batchSize: 32,
    optimizer: sgd({ nesterov: true }),
    schedule: constantSchedule(0.05),
    seed: 1,
    threads: 1,
    ownThread: false,
  }).then((r) => r.graph);
  return known;
}

/** Half of the multiply-accumulates, batches of 32, seed 1. */
export const tinyContext = (graph: Graph, o: Partial<ContextOptions> = {}): MethodContext =>
  methodContext({
    graph,
    train: learned,
    holdOut: heldOut,
    steps: 40,
    seed: 1,
    ...o,
    recipe: { batchSize: 32, learningRate: 0.05, threads: 1, ownThread: false, ...o.recipe },
  });
