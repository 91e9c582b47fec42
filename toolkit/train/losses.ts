/**
 * What a net is trained for. A loss emits forward nodes on top of the net's outputs and returns a scalar; the engine
 * differentiates it like everything else, so a loss of one's own is a function over graph values.
 */
import type { Batch } from "../data/dataset.js";
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { attr } from "../graph/graph.js";
import { type ElemType, floats, sizeOf, type Tensor } from "../graph/tensor.js";
import { range, scale } from "../ops/algebra.js";

/** An output of the net while the training graph is built. */
export interface NetOutput {
  name: string;
  ref: Ref;
  dims: readonly number[];
  /** The value before a final Softmax over the last axis, where the net ends in one; else `ref`. */
  logits: Ref;
}

export interface LossContext {
  g: GraphBuilder;
  outputs: readonly NetOutput[];
  /** Static dims of any value of the net. */
  dims(value: string): readonly number[];
  /** Declares something that is fed with every batch; the returned name is the key in `feeds`. */
  input(name: string, dims: readonly number[], elemType?: ElemType): Ref;
}

/** A loss as it stands in one graph. */
export interface BuiltLoss {
  /** A scalar: the mean over the batch. */
  value: Ref;
  /** What the declared inputs hold for a batch. */
  feeds(batch: Batch): Promise<Record<string, Tensor>>;
}

export interface Loss {
  readonly name: string;
  build(c: LossContext): BuiltLoss;
  /** Frees what the loss keeps open (a teacher's session); it can be used again afterwards. */
  dispose?(): Promise<void>;
}

/** The only output, as logits [N, classes]. Throws ModelError for other nets. */
function classLogits(c: LossContext, loss: string): { ref: Ref; n: number; classes: number } {
  const output = c.outputs[0];
  if (c.outputs.length !== 1 || output.dims.length !== 2) {
    const shapes = c.outputs.map((o) => `${o.name} [${o.dims.join(", ")}]`).join(", ");
    throw new ModelError("not-a-classifier", `${loss} needs one output of shape [N, classes]; the net has ${shapes}`, {
      hint: "train by distillation, which works for any outputs",
    });
  }
  return { ref: output.logits, n: output.dims[0], classes: output.dims[1] };
}

const logSoftmax = (g: GraphBuilder, x: Ref): Ref => g.emit("LogSoftmax", [x], { axis: attr.int(-1) });
const softmax = (g: GraphBuilder, x: Ref): Ref => g.emit("Softmax", [x], { axis: attr.int(-1) });

/** Share of each class in each item, [n, classes] row-major: one label, or two where items were blended. */
function labelShares(batch: Batch, classes: number): Float32Array {
  const out = new Float32Array(batch.dims[0] * classes);
  const put = (labels: Int32Array, share: (i: number) => number): void => {
    labels.forEach((label, i) => {
      if (label < 0 || label >= classes) {
        throw new ModelError("label-range", `label ${label} lies outside the net's ${classes} classes`);
      }
      out[i * classes + label] += share(i);
    });
  };
  const { mixed } = batch;
  put(batch.labels!, (i) => mixed?.shares[i] ?? 1);
  if (mixed?.labels) put(mixed.labels, (i) => 1 - mixed.shares[i]);
  return out;
}

export interface CrossEntropyOptions {
  /** Share of the target that is spread evenly over all classes (Szegedy et al. 2016). Default 0. */
  labelSmoothing?: number;
}

/** Softmax cross-entropy with the batch's labels. Needs one output [N, classes]; a final Softmax is trained through its logits. */
export function crossEntropy(o: CrossEntropyOptions = {}): Loss {
  const { labelSmoothing = 0 } = o;
  return {
    name: "cross-entropy",
    build(c) {
      const { ref, n, classes } = classLogits(c, "cross-entropy");
      const target = c.input("target", [n, classes]);
      const value = c.g.reduceSum(scale(c.g, c.g.mul(target, logSoftmax(c.g, ref)), -1 / n), [0, 1], false);
      return {
        value,
        async feeds(batch) {
          if (!batch.labels) throw new ModelError("no-labels", "cross-entropy needs labels, and the data has none");
          const distribution = labelShares(batch, classes).map(
            (v) => labelSmoothing / classes + v * (1 - labelSmoothing),
          );
          return { [target]: floats(distribution, [n, classes]) };
        },
      };
    },
  };
}

/** Half the mean square of every output, summed over the outputs: a sensitivity measure for nets and data without labels. */
export function outputEnergy(): Loss {
  return {
    name: "output-energy",
    build(c) {
      const parts = c.outputs.map((o) =>
        scale(c.g, c.g.reduceSum(c.g.mul(o.ref, o.ref), range(o.dims.length), false), 0.5 / sizeOf(o.dims)),
      );
      return { value: parts.reduce((a, b) => c.g.add(a, b)), feeds: async () => ({}) };
    },
  };
}

/**
 * Kullback-Leibler divergence from a teacher's softened distribution, times temperature squared (Hinton, Vinyals, Dean 2015),
 * averaged over the batch. Emitted here, fed by `distillation`.
 */
export function softTargetLoss(c: LossContext, student: Ref, teacher: Ref, n: number, temperature: number): Ref {
  const { g } = c;
  const soft = (x: Ref): Ref => scale(g, x, 1 / temperature);
  const gap = g.sub(logSoftmax(g, soft(teacher)), logSoftmax(g, soft(student)));
  return g.reduceSum(scale(g, g.mul(softmax(g, soft(teacher)), gap), temperature ** 2 / n), [0, 1], false);
}

/** Mean squared difference, divided by the variance of the teacher's values over the batch. */
export function normalizedSquaredError(c: LossContext, student: Ref, teacher: Ref, dims: readonly number[]): Ref {
  const { g } = c;
  const axes = range(dims.length);
  const share = 1 / sizeOf(dims);
  const meanOf = (x: Ref, keep: boolean): Ref => scale(g, g.reduceSum(x, axes, keep), share);
  const centred = g.sub(teacher, meanOf(teacher, true));
  const variance = g.add(meanOf(g.mul(centred, centred), false), g.const(1e-8));
  const difference = g.sub(student, teacher);
  return g.div(meanOf(g.mul(difference, difference), false), variance);
}

/** A weighted sum of losses. */
export function combineLosses(parts: readonly { loss: Loss; weight: number }[]): Loss {
  return {
    name: parts.map((p) => p.loss.name).join(" + "),
    build(c) {
      const built = parts.map((p) => p.loss.build(c));
      return {
        value: built.map((b, i) => scale(c.g, b.value, parts[i].weight)).reduce((a, b) => c.g.add(a, b)),
        async feeds(batch) {
          return Object.assign({}, ...(await Promise.all(built.map((b) => b.feeds(batch)))));
        },
      };
    },
    async dispose() {
      for (const p of parts) await p.loss.dispose?.();
    },
  };
}
