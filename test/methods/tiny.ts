/** A trained little net and a context around it, so that a method runs in seconds. */
import type { Split } from "../../toolkit/data/dataset.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { tidy } from "../../toolkit/graph/tidy.js";
import { type ContextOptions, methodContext } from "../../toolkit/methods/context.js";
import type { MethodContext } from "../../toolkit/methods/method.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { crossEntropy, sgd, train } from "../../toolkit/train/index.js";
import { type NetOptions, stripeNet, stripes } from "../train/nets.js";

export const tinyData: Split = stripes(192, 3);
/** Not seen by any method. */
export const tinyTest: Split = stripes(200, 4);

/** The net of two convolutions (groups of 8 and 16 channels) on 8x8 images, trained for a moment. */
export async function trainedTiny(o: NetOptions = {}): Promise<Graph> {
  const { graph } = await train({
    graph: inferShapes(tidy(stripeNet(o))),
    data: tinyData,
    loss: crossEntropy(),
    epochs: 4,
    batchSize: 32,
    optimizer: sgd({ nesterov: true }),
    schedule: () => 0.05,
    seed: 1,
    threads: 1,
    ownThread: false,
  });
  return graph;
}

/** A context with few steps, one thread, half of the multiply-accumulates as the target. */
export function tinyContext(graph: Graph, o: Partial<ContextOptions> = {}): MethodContext {
  const { recipe, ...rest } = o;
  return methodContext({
    graph,
    train: tinyData,
    steps: 12,
    seed: 1,
    recipe: { batchSize: 32, learningRate: 0.05, threads: 1, ownThread: false, ...recipe },
    ...rest,
  });
}
