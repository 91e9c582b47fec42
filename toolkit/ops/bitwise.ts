/** Operators on the bits of integers. */
import { inputType } from "./dims.js";
import { broadcast, unary } from "./elementwise.js";
import { elemTypeAttribute } from "./elemTypes.js";
import { sameIdsAsFirst } from "./links.js";
import type { OpRule } from "./rule.js";

/** The same bits under another element type of the same width (ONNX BitCast-26). */
const BitCast: OpRule = {
  shape: (n, c) => [{ elemType: elemTypeAttribute(n, "to", "float32"), dims: inputType(n, c, 0).dims }],
  channels: sameIdsAsFirst,
};

export const rules = {
  BitCast,
  BitShift: { ...broadcast },
  BitwiseAnd: { ...broadcast },
  BitwiseOr: { ...broadcast },
  BitwiseXor: { ...broadcast },
  BitwiseNot: { ...unary },
} satisfies Record<string, OpRule | OpRule[]>;
