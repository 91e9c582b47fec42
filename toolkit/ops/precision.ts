/**
 * Quantisation rules that several operator families share. They say what ONNX Runtime's CPU provider has an integer
 * kernel for; an operator without one is better left float, as its pairs would stay in the graph.
 */
import { convolved, joined, mapped, paired } from "./integerKernel.js";
import type { QuantizeRule } from "./rule.js";

/** Elements are moved or selected, never computed: output and input share one grid. */
export const movesIntegers: QuantizeRule = { activations: [0], passThrough: true };

/** One activation in, one out, each with its own grid. */
export const mapsIntegers: QuantizeRule = { activations: [0], kernel: mapped };

/** Two activations in. */
export const pairsIntegers: QuantizeRule = { activations: [0, 1], kernel: paired };

/** Any number of activations in. */
export const joinsIntegers: QuantizeRule = { activations: [], kernel: joined };

/** x * W + b with the output channels of W on axis 0. */
export const weightFirst: QuantizeRule = {
  activations: [0],
  weight: { input: 1, axis: () => 0 },
  bias: 2,
  kernel: convolved,
};
