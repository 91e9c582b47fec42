/**
 * One call tests one operator in all passes. A case is one call of the operator; each pass looks at it from its side and
 * compares with something independent (ONNX Runtime, finite differences).
 */
import { describe, test } from "vitest";
import type { Cases, Pass } from "./case.js";
import { constantPass } from "./passes/constants.js";
import { cutPass } from "./passes/cut.js";
import { shapePass } from "./passes/shape.js";

/** The passes, in the order of the pipeline. A new pass (gradients, INT8) is one more file in `passes/` and one more entry. */
export const passes: Pass[] = [shapePass, constantPass, cutPass];

/** Declares the tests of a family. */
export function describeOps(cases: Cases): void {
  for (const [opType, list] of Object.entries(cases)) {
    describe(opType, () => {
      list.forEach((c, i) => {
        const title = c.name ?? `case ${i + 1}`;
        for (const pass of passes) {
          if (pass.skip?.(opType, c) === undefined) test(`${title}: ${pass.name}`, () => pass.run(opType, c));
        }
      });
    });
  }
}
