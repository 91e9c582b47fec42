/** Running products along an axis, and the causal convolution of state-space models. */
import { inputDims, inputType, mapDim } from "./dims.js";
import { sameTypeAsFirst } from "./elementwise.js";
import type { OpRule } from "./rule.js";

/** Running product (ONNX CumProd-26). */
const CumProd: OpRule = { shape: sameTypeAsFirst, frozenBecause: "every element depends on all earlier ones" };

/** Depthwise convolution over the past, and the state to go on from (ONNX CausalConvWithState-27). */
const CausalConvWithState: OpRule = {
  shape: (n, c) => {
    const x = inputType(n, c, 0);
    const [batch, channels] = inputDims(n, c, 0);
    const taps = inputDims(n, c, 1)[2];
    return [x, { elemType: x.elemType, dims: [batch, channels, mapDim(taps, (v) => v - 1)] }].slice(
      0,
      n.outputs.length,
    );
  },
  macs: (_, [x, w]) => x.reduce((a, b) => a * b, 1) * w[2],
  frozenBecause: "keeps a state per channel",
};

export const rules = { CumProd, CausalConvWithState } satisfies Record<string, OpRule | OpRule[]>;
