/** Inverse trigonometric and hyperbolic functions. */
import { unaryOf } from "./elementwise.js";
import type { OpRule } from "./rule.js";

export const rules = {
  Acos: unaryOf(Math.acos),
  Acosh: unaryOf(Math.acosh),
  Asin: unaryOf(Math.asin),
  Asinh: unaryOf(Math.asinh),
  Atanh: unaryOf(Math.atanh),
  Cosh: unaryOf(Math.cosh),
  Sinh: unaryOf(Math.sinh),
} satisfies Record<string, OpRule | OpRule[]>;
