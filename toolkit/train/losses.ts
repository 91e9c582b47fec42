/**
 * What a net is trained for. A loss emits forward nodes on top of the net's outputs and returns a scalar; the engine
 * differentiates it like everything else, so a loss of one's own is a function over graph values.
 */
import type { Batch } from "../data/dataset.js";
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { type ElemType, floats, sizeOf, type Tensor } from "../graph/tensor.js";
import { range, scale } from "../ops/algebra.js";

/** An output of the net while the training graph is built. */
export interface NetOutput {
  name: string;
  ref: Ref;
  dims: readonly number[];
  /** The value before a final Softmax over the last axis, where the net ends in one; else `ref`. */
  logits: Ref;
  /** The value before a final Sigmoid, where the net ends in one; else `ref`. */
  beforeSigmoid: Ref;
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

/** The output called `name`, or the only one. Throws ModelError listing what there is. */
export function outputOf(c: LossContext, loss: string, name?: string): NetOutput {
  const found = name === undefined ? c.outputs : c.outputs.filter((o) => o.name === name);
  if (found.length !== 1) {
    const shapes = c.outputs.map((o) => `${o.name} [${o.dims.join(", ")}]`).join(", ");
    const what = name === undefined ? "is not told which output it looks at" : `looks at "${name}"`;
    throw new ModelError("loss-output", `${loss} ${what}; the net has ${shapes}`, {
      hint: name === undefined ? "name the output" : "name one of these",
    });
  }
  return found[0];
}

/** Mean of a value over all of its elements, as a scalar. */
export const meanOf = (g: GraphBuilder, x: Ref, dims: readonly number[]): Ref =>
  scale(g, g.reduceSum(x, range(dims.length), false), 1 / sizeOf(dims));

/** What a loss of one's own sees while the training graph is built. */
export interface CustomLossContext extends LossContext {
  /** Declares something that is fed with every batch: its name, its dims, and how it comes out of a batch. */
  fed(name: string, dims: readonly number[], values: (batch: Batch) => ArrayLike<number>): Ref;
}

/**
 * A loss as a function over graph values: `customLoss((c) => c.g.reduceMean(c.g.emit("Abs", [c.outputs[0].ref]), [0, 1]))`. It
 * returns a value of one element, the mean over the batch; every operator with a gradient may be used.
 */
export function customLoss(build: (c: CustomLossContext) => Ref, name = "custom"): Loss {
  return {
    name,
    build(c) {
      const sources: { ref: Ref; dims: readonly number[]; values: (batch: Batch) => ArrayLike<number> }[] = [];
      const value = build({
        ...c,
        fed(label, dims, values) {
          const ref = c.input(label, dims);
          sources.push({ ref, dims, values });
          return ref;
        },
      });
      return {
        value: c.g.reshape(value, []),
        async feeds(batch) {
          return Object.fromEntries(
            sources.map(({ ref, dims, values }) => {
              const list = values(batch);
              if (list.length !== sizeOf(dims)) {
                throw new ModelError("loss-feed", `"${ref}" wants ${sizeOf(dims)} numbers, got ${list.length}`, {
                  where: name,
                });
              }
              return [ref, floats(list, dims)];
            }),
          );
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
