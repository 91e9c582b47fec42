/** Where training went off the rails: the first value that is no number, by name. */
import { cloneGraph } from "../graph/graph.js";
import { floats, type Tensor } from "../graph/tensor.js";
import { withSession } from "../runtime/session.js";
import { TrainingError } from "./errors.js";
import type { Forward } from "./forward.js";
import type { Layout } from "./parameters.js";
import { gradientGraph, names } from "./step.js";

const broken = (t: Tensor): boolean => t.data instanceof Float32Array && t.data.some((v) => !Number.isFinite(v));

/**
 * Runs the step's batches again, forward and backward, with every value kept, and names the first bad one: what is fed, the
 * forward pass in its order, then the gradients from the last layer to the first.
 */
export async function divergence(
  forward: Forward,
  layout: Layout,
  at: {
    step: number;
    loss: number;
    batches: readonly Record<string, Tensor>[];
    parameters: Float32Array;
    threads: number | undefined;
  },
): Promise<TrainingError> {
  const graph = cloneGraph(gradientGraph(forward, layout));
  const values = forward.graph.nodes.map((n) => n.outputs[0]);
  graph.outputs = [...values, names.gradient].map((name) => ({ name, type: { elemType: "float32" } }));
  const first = await withSession(
    graph,
    { threads: at.threads, level: "disabled", where: "training graph" },
    async (session) => {
      for (const feeds of at.batches) {
        const fed = Object.keys(feeds).find((name) => broken(feeds[name]));
        if (fed) return { where: fed, what: `input "${fed}"` };
        const results = await session.run({ ...feeds, [names.parameters]: floats(at.parameters) });
        const value = values.find((name) => broken(results[name]));
        if (value) return { where: value, what: `"${value}"` };
        const gradient = results[names.gradient].data as Float32Array;
        for (const e of [...layout.entries].reverse()) {
          if (!broken(floats(gradient.subarray(e.offset, e.offset + e.length)))) continue;
          return { where: e.name, what: `the gradient of "${e.name}"` };
        }
      }
      return undefined;
    },
  );
  const which = first ? `; the first value that is not finite is ${first.what}` : "; the step itself was too large";
  const what = Number.isFinite(at.loss) ? "a new weight is not finite" : `the loss is ${at.loss}`;
  return new TrainingError("loss-not-finite", `training step ${at.step}: ${what}${which}`, {
    ...(first ? { where: first.where } : {}),
    hint: first?.what.startsWith("input")
      ? "look at the data and its preprocessing"
      : "lower the learning rate, lengthen the warm-up, or limit the gradient's norm",
  });
}
