/** Activations of newer operator sets, and Shrink. */
import { attrFloat } from "../graph/graph.js";
import { mapConstants } from "./arithmetic.js";
import { broadcast, unary } from "./elementwise.js";
import type { OpRule } from "./rule.js";

const swish = (v: number, alpha: number): number => v / (1 + Math.exp(-alpha * v));

/** x + bias below -lambd, x - bias above lambd, 0 between (ONNX Shrink-9). */
const Shrink: OpRule = {
  ...unary,
  evaluate: (n, [x]) => {
    const [bias, lambd] = [attrFloat(n, "bias", 0), attrFloat(n, "lambd", 0.5)];
    return mapConstants([x], ([v]) => (v < -lambd ? v + bias : v > lambd ? v - bias : 0));
  },
};

/** x·sigmoid(alpha·x) (ONNX Swish-24). */
const Swish: OpRule = {
  ...unary,
  evaluate: (n, [x]) => mapConstants([x], ([v]) => swish(v, attrFloat(n, "alpha", 1))),
};

/** Swish of the first input times the second, of equal shapes (ONNX SwiGLU-28). */
const SwiGLU: OpRule = { ...broadcast };

export const rules = { Shrink, Swish, SwiGLU } satisfies Record<string, OpRule | OpRule[]>;
