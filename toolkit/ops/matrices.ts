/** Operators on whole matrices other than products. */
import { inputDims, inputType } from "./dims.js";
import type { OpRule } from "./rule.js";

/** Determinants of the matrices on the last two axes (ONNX Det-11). */
const Det: OpRule = {
  shape: (n, c) => [{ elemType: inputType(n, c, 0).elemType, dims: inputDims(n, c, 0).slice(0, -2) }],
  frozenBecause: "takes determinants over it",
};

export const rules = { Det } satisfies Record<string, OpRule | OpRule[]>;
