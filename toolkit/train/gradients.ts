/** Gradients of a net's parameters over some batches, for importance scores and checks; the net itself is not changed. */
import type { Batch } from "../data/dataset.js";
import type { Graph } from "../graph/graph.js";
import { floats, type Tensor, toFloat32 } from "../graph/tensor.js";
import { tidy } from "../graph/tidy.js";
import { blockLength } from "../runtime/blockedKernels.js";
import { openSession, type Session } from "../runtime/session.js";
import { type BatchNormMode, buildForward, type Forward } from "./forward.js";
import type { Loss } from "./losses.js";
import { entryTensor, findParameters, gather, type Layout } from "./parameters.js";
import { gradientGraph, names } from "./step.js";

export interface ParameterGradientOptions {
  /** Default `running`: the gradient of the net as it infers. */
  batchNorm?: BatchNormMode;
  threads?: number;
  freeze?: (name: string) => boolean;
  /**
   * Called after each batch with the loss and that batch's own gradients, by initializer name; the arrays are the callee's to
   * keep. For scores that square or take absolute values before they average (Molchanov et al. 2019).
   */
  onBatch?: (e: { index: number; loss: number; gradients: ReadonlyMap<string, Float32Array> }) => void;
}

/** A loaded gradient graph for one batch shape. */
interface Loaded {
  forward: Forward;
  session: Session;
}

/**
 * Mean over the batches of the gradient of `loss` with respect to every trainable constant, by initializer name, in the
 * constant's own layout.
 *
 * The loss is `crossEntropy()` where there are labels; where there are none, `outputEnergy()` measures how strongly each
 * parameter moves the outputs. (A net distilled from itself has zero gradient everywhere and ranks nothing.)
 */
export async function parameterGradients(
  g: Graph,
  batches: AsyncIterable<Batch> | Iterable<Batch>,
  loss: Loss,
  o: ParameterGradientOptions = {},
): Promise<Map<string, Float32Array>> {
  const base = tidy(g);
  const loaded = new Map<string, Loaded>();
  let layout: Layout | undefined;
  let flat: Tensor | undefined;
  let sum: Float64Array | undefined;
  let count = 0;
  try {
    for await (const batch of batches) {
      const key = batch.dims.join();
      let entry = loaded.get(key);
      if (!entry) {
        const forward = buildForward(base, batch.dims, loss, o.batchNorm ?? "running");
        layout ??= findParameters(base, forward.graph, o.freeze);
        flat ??= floats(gather(base, layout));
        sum ??= new Float64Array(layout.length);
        const graph = gradientGraph(forward, layout, { block: await blockLength() });
        entry = {
          forward,
          session: await openSession(graph, {
            threads: o.threads,
            memoryPattern: false,
            where: "gradient graph",
          }),
        };
        loaded.set(key, entry);
      }
      const feeds = await entry.forward.built.feeds(batch);
      const results = await entry.session.run({
        [entry.forward.input]: floats(batch.data, batch.dims),
        [names.parameters]: flat!,
        ...feeds,
      });
      const gradient = toFloat32(results[names.gradient]);
      for (let i = 0; i < gradient.length; i++) sum![i] += gradient[i];
      o.onBatch?.({ index: count, loss: toFloat32(results[names.loss])[0], gradients: byName(layout!, gradient) });
      count++;
    }
  } finally {
    for (const { session } of loaded.values()) await session.dispose();
    await loss.dispose?.();
  }
  return sum && layout
    ? byName(
        layout,
        Float32Array.from(sum, (v) => v / count),
      )
    : new Map();
}

const byName = (layout: Layout, flat: Float32Array): Map<string, Float32Array> =>
  new Map(layout.entries.map((e) => [e.name, entryTensor(e, flat).data as Float32Array]));
