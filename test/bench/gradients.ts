/**
 * Generated gradients of every trainable operator against central finite differences.
 *
 *   npx tsx test/bench/gradients.ts
 *
 * Largest error over all inputs and cases of an operator, relative to the largest gradient. float64 where ONNX Runtime has the kernels.
 */
import { checkGradient } from "../support/gradientCheck.js";
import { gradientCases } from "../train/gradientCases.js";
import { head, row } from "./header.js";

console.log(`${new Date().toISOString().slice(0, 10)}\n`);
console.log(head("operator", "cases", "precision", "largest relative error", "<= 1e-3"));
let worst = 0;
for (const [op, cases] of Object.entries(gradientCases)) {
  let error = 0;
  const types = new Set<string>();
  for (const c of cases) {
    const { errors, elemType } = await checkGradient(c);
    types.add(elemType);
    error = Math.max(error, ...Object.values(errors));
  }
  worst = Math.max(worst, error);
  console.log(row(op, cases.length, [...types].join(", "), error.toExponential(1), error <= 1e-3 ? "yes" : "NO"));
}
console.log(`\nlargest: ${worst.toExponential(1)} over ${Object.keys(gradientCases).length} operators`);
