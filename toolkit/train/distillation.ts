/** Learning from another net's outputs: no labels needed, any outputs. The teacher runs in an inference session of its own. */
import type { Batch } from "../data/dataset.js";
import type { Ref } from "../graph/builder.js";
import { cloneGraph, feedsOf, type Graph } from "../graph/graph.js";
import { floats, sizeOf, type Tensor } from "../graph/tensor.js";
import { range, scale } from "../ops/algebra.js";
import { openSession, type Session } from "../runtime/session.js";
import { logSoftmax, softmax } from "./classification.js";
import { logitsOf } from "./logits.js";
import type { Loss, LossContext } from "./losses.js";

export interface DistillationOptions {
  /** The net to learn from: same input, same outputs in the same order. */
  teacher: Graph;
  /** Softens both distributions. Default 4. */
  temperature?: number;
  /** Values inside both nets, of equal dims, that are matched as well (Romero et al. 2015, "FitNets"). Default: none. */
  features?: readonly string[];
  /** Weight of the features' mean loss beside that of the outputs. Default 1. */
  featureWeight?: number;
  threads?: number;
}

/**
 * Matches a teacher. One output [N, classes]: Kullback-Leibler divergence of softened distributions, both nets read before a
 * final Softmax. Anything else, and every feature: squared error divided by the variance of the teacher's.
 */
export function distillation(o: DistillationOptions): Loss {
  const { teacher, temperature = 4, features = [], featureWeight = 1 } = o;
  const opened = new Map<string, Promise<Session>>();

  const run = async (values: readonly string[], batch: Batch): Promise<Tensor[]> => {
    const key = values.join("\n");
    let session = opened.get(key);
    if (!session) {
      const g = cloneGraph(teacher);
      g.outputs = values.map(
        (name) => teacher.outputs.find((v) => v.name === name) ?? { name, type: { elemType: "float32" } },
      );
      session = openSession(g, { threads: o.threads, where: "teacher" });
      opened.set(key, session);
    }
    const [input] = feedsOf(teacher);
    const results = await (await session).run({ [input.name]: floats(batch.data, batch.dims) });
    return values.map((name) => results[name]);
  };

  return {
    name: "distillation",
    build(c) {
      const classifier = c.outputs.length === 1 && c.outputs[0].dims.length === 2 && c.outputs[0].dims[1] > 1;
      const inputs = [
        ...c.outputs.map((output) => c.input(`teacher_${output.name}`, output.dims)),
        ...features.map((name) => c.input(`teacher_${name}`, c.dims(name))),
      ];
      const values = [...teacher.outputs.map((v) => (classifier ? logitsOf(teacher, v.name) : v.name)), ...features];
      const terms = c.outputs.map((output, i) =>
        classifier
          ? softTargetLoss(c, output.logits, inputs[i], output.dims[0], temperature)
          : normalizedSquaredError(c, output.ref, inputs[i], output.dims),
      );
      const share = featureWeight / Math.max(1, features.length);
      features.forEach((name, i) => {
        const error = normalizedSquaredError(c, name, inputs[c.outputs.length + i], c.dims(name));
        terms.push(c.g.mul(error, c.g.const(share)));
      });
      return {
        value: terms.reduce((a, b) => c.g.add(a, b)),
        async feeds(batch) {
          const results = await run(values, batch);
          return Object.fromEntries(inputs.map((name, i) => [name, results[i]]));
        },
      };
    },
    async dispose() {
      for (const session of opened.values()) await (await session).dispose();
      opened.clear();
    },
  };
}

/**
 * Kullback-Leibler divergence from a teacher's softened distribution, times temperature squared (Hinton, Vinyals, Dean 2015),
 * averaged over the batch.
 */
function softTargetLoss(c: LossContext, student: Ref, teacher: Ref, n: number, temperature: number): Ref {
  const { g } = c;
  const soft = (x: Ref): Ref => scale(g, x, 1 / temperature);
  const gap = g.sub(logSoftmax(g, soft(teacher)), logSoftmax(g, soft(student)));
  return g.reduceSum(scale(g, g.mul(softmax(g, soft(teacher)), gap), temperature ** 2 / n), [0, 1], false);
}

/** Mean squared difference, divided by the variance of the teacher's values over the batch. */
function normalizedSquaredError(c: LossContext, student: Ref, teacher: Ref, dims: readonly number[]): Ref {
  const { g } = c;
  const axes = range(dims.length);
  const share = 1 / sizeOf(dims);
  const meanOf = (x: Ref, keep: boolean): Ref => scale(g, g.reduceSum(x, axes, keep), share);
  const centred = g.sub(teacher, meanOf(teacher, true));
  const variance = g.add(meanOf(g.mul(centred, centred), false), g.const(1e-8));
  const difference = g.sub(student, teacher);
  return g.div(meanOf(g.mul(difference, difference), false), variance);
}
