/** Losses of nets that answer with numbers. All are means over every element of an output. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { floats, sizeOf } from "../graph/tensor.js";
import { scale } from "../ops/algebra.js";
import { targetsOf } from "./classification.js";
import { type Loss, meanOf, outputOf } from "./losses.js";

export interface RegressionOptions {
  /** The output that is looked at; may be left out where the net has one. */
  output?: string;
}

/** A mean of f(output - target), the targets being those of the batch (`targets`), under the output's name or `y`. */
const regression =
  (name: string, f: (g: GraphBuilder, difference: Ref) => Ref) =>
  (o: RegressionOptions = {}): Loss => ({
    name,
    build(c) {
      const output = outputOf(c, name, o.output);
      const target = c.input(`target_${output.name}`, output.dims);
      return {
        value: meanOf(c.g, f(c.g, c.g.sub(output.ref, target)), output.dims),
        async feeds(batch) {
          const values = targetsOf(batch, output);
          if (values?.length !== sizeOf(output.dims)) {
            throw new ModelError(
              "targets-shape",
              `${name}: "${output.name}" is [${output.dims.join(", ")}], its targets have ${values?.length ?? "no"} numbers`,
              { where: output.name, hint: "give every batch `targets` under the output's name" },
            );
          }
          return { [target]: floats(values, output.dims) };
        },
      };
    },
  });

/** Mean of the squared differences. */
export const meanSquaredError = regression("mean-squared-error", (g, d) => g.mul(d, d));

/** Mean of the absolute differences (L1). */
export const meanAbsoluteError = regression("mean-absolute-error", (g, d) => g.emit("Abs", [d]));

export interface HuberOptions extends RegressionOptions {
  /** Where the square passes into a straight line. Default 1. */
  delta?: number;
}

/** Huber's loss: d² / 2 up to `delta`, delta (|d| - delta / 2) beyond. */
export function huber(o: HuberOptions = {}): Loss {
  const { delta = 1 } = o;
  return regression("huber", (g, d) => {
    const size = g.emit("Abs", [d]);
    const inner = g.emit("Min", [size, g.const(delta)]);
    return g.mul(inner, g.sub(size, scale(g, inner, 0.5)));
  })(o);
}
