/** Losses of classifiers: softmax cross-entropy, and one yes or no per class. */
import type { Batch } from "../data/dataset.js";
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { attr } from "../graph/graph.js";
import { floats, sizeOf } from "../graph/tensor.js";
import { scale } from "../ops/algebra.js";
import { type Loss, type LossContext, meanOf, type NetOutput, outputOf } from "./losses.js";

export const logSoftmax = (g: GraphBuilder, x: Ref): Ref => g.emit("LogSoftmax", [x], { axis: attr.int(-1) });
export const softmax = (g: GraphBuilder, x: Ref): Ref => g.emit("Softmax", [x], { axis: attr.int(-1) });

/** An output as logits [N, classes]. Throws ModelError for other shapes. */
function classOutput(c: LossContext, loss: string, name: string | undefined): NetOutput {
  if (name === undefined && c.outputs.length === 1 && c.outputs[0].dims.length !== 2) {
    throw new ModelError(
      "not-a-classifier",
      `${loss} needs an output of shape [N, classes]; the net has ${c.outputs[0].name} [${c.outputs[0].dims.join(", ")}]`,
      { hint: "train by distillation, which works for any outputs" },
    );
  }
  const output = outputOf(c, loss, name);
  if (output.dims.length !== 2) {
    throw new ModelError("not-a-classifier", `${loss} needs [N, classes], "${name}" is [${output.dims.join(", ")}]`);
  }
  return output;
}

export interface ClassLossOptions {
  /** The output that is looked at; may be left out where the net has one. */
  output?: string;
  /** Labels of a batch, where they are not `batch.labels`: for nets with several heads. */
  labels?: (batch: Batch) => ArrayLike<number>;
}

/** Share of each class in each item, [n, classes] row-major: one label, or two where items were blended; `undefined` without labels. */
function labelShares(batch: Batch, classes: number, labels: ClassLossOptions["labels"]): Float32Array | undefined {
  const own = labels ? labels(batch) : batch.labels;
  if (!own) return undefined;
  const { mixed } = batch;
  if (mixed && labels) {
    throw new ModelError(
      "mixup-labels",
      "mixup blends `batch.labels` only, and this loss takes its labels from elsewhere",
      {
        hint: "leave mixup out, or put the classes into `targets`",
      },
    );
  }
  const out = new Float32Array(batch.dims[0] * classes);
  const put = (list: ArrayLike<number>, share: (i: number) => number): void => {
    for (let i = 0; i < list.length; i++) {
      if (!(list[i] >= 0 && list[i] < classes)) {
        throw new ModelError("label-range", `label ${list[i]} lies outside the net's ${classes} classes`);
      }
      out[i * classes + list[i]] += share(i);
    }
  };
  put(own, (i) => mixed?.shares[i] ?? 1);
  if (mixed?.labels) put(mixed.labels, (i) => 1 - mixed.shares[i]);
  return out;
}

/** Numbers of a batch for an output: by its name, or `y`. */
export const targetsOf = (batch: Batch, output: NetOutput): Float32Array | undefined =>
  batch.targets?.[output.name] ?? batch.targets?.y;

function checkedTargets(values: Float32Array, output: NetOutput, loss: string): Float32Array {
  if (values.length !== sizeOf(output.dims)) {
    throw new ModelError(
      "targets-shape",
      `${loss}: "${output.name}" is [${output.dims.join(", ")}], its targets have ${values.length} numbers`,
      { where: output.name },
    );
  }
  return values;
}

export interface CrossEntropyOptions extends ClassLossOptions {
  /** Share of the target that is spread evenly over all classes (Szegedy et al. 2016). Default 0. */
  labelSmoothing?: number;
}

/**
 * Softmax cross-entropy with the batch's labels, or with its targets where they are distributions over the classes. Needs an
 * output [N, classes]; a final Softmax is trained through its logits.
 */
export function crossEntropy(o: CrossEntropyOptions = {}): Loss {
  const { labelSmoothing = 0 } = o;
  return {
    name: "cross-entropy",
    build(c) {
      const output = classOutput(c, "cross-entropy", o.output);
      const [n, classes] = output.dims;
      const target = c.input(`target_${output.name}`, output.dims);
      const value = c.g.reduceSum(scale(c.g, c.g.mul(target, logSoftmax(c.g, output.logits)), -1 / n), [0, 1], false);
      return {
        value,
        async feeds(batch) {
          const given = targetsOf(batch, output);
          const shares = given ? checkedTargets(given, output, "cross-entropy") : labelShares(batch, classes, o.labels);
          if (!shares) throw new ModelError("no-labels", "cross-entropy needs labels, and the data has none");
          const smoothed = shares.map((v) => labelSmoothing / classes + v * (1 - labelSmoothing));
          return { [target]: floats(smoothed, output.dims) };
        },
      };
    },
  };
}

/**
 * One yes or no per element of an output, from targets in 0..1, or from labels: one-hot for [N, classes], 0 or 1 for [N, 1].
 * Mean over all elements of max(x, 0) - x t + log(1 + e^-|x|) for the logit x; a final Sigmoid is trained through its logits.
 */
export function binaryCrossEntropy(o: CrossEntropyOptions = {}): Loss {
  const { labelSmoothing = 0 } = o;
  return {
    name: "binary-cross-entropy",
    build(c) {
      const { g } = c;
      const output = outputOf(c, "binary cross-entropy", o.output);
      const target = c.input(`target_${output.name}`, output.dims);
      const x = output.beforeSigmoid;
      const value = meanOf(g, g.sub(g.emit("Softplus", [x]), g.mul(x, target)), output.dims);
      return {
        value,
        async feeds(batch) {
          const given = targetsOf(batch, output);
          const shares = given ? checkedTargets(given, output, "binary cross-entropy") : yesOf(batch, output, o.labels);
          return {
            [target]: floats(
              shares.map((v) => labelSmoothing / 2 + v * (1 - labelSmoothing)),
              output.dims,
            ),
          };
        },
      };
    },
  };
}

function yesOf(batch: Batch, output: NetOutput, labels: ClassLossOptions["labels"]): Float32Array {
  const [n, classes] = output.dims;
  const single = sizeOf(output.dims) === n;
  const shares = output.dims.length === 2 || single ? labelShares(batch, single ? 2 : classes, labels) : undefined;
  if (!shares) {
    throw new ModelError("no-labels", `binary cross-entropy needs targets for [${output.dims.join(", ")}], or labels`);
  }
  return single ? shares.filter((_, i) => i % 2 === 1) : shares;
}
