import { describe, expect, it } from "vitest";
import { listOps } from "../../toolkit/ops/index.js";
import { checkGradient } from "../support/gradientCheck.js";
import { gradientCases } from "./gradientCases.js";

const TOLERANCE = 1e-3;

describe("gradients against central finite differences", () => {
  for (const [opType, cases] of Object.entries(gradientCases)) {
    describe(opType, () => {
      it.each(cases.map((c) => [c.name, c] as const))("%s", async (_, c) => {
        const { errors, largest } = await checkGradient(c);
        for (const [input, error] of Object.entries(errors)) {
          expect(largest[input], `gradient of ${input}`).toBeGreaterThan(0);
          expect(error, `relative error of the gradient of ${input}`).toBeLessThanOrEqual(TOLERANCE);
        }
      });
    });
  }

  it("every rule with a gradient has a case", () => {
    const without = listOps()
      .filter((o) => o.gradient && !gradientCases[o.opType]?.length)
      .map((o) => o.opType);
    expect(without).toEqual([]);
  });

  it("every case belongs to a rule with a gradient", () => {
    const known = new Set(listOps().flatMap((o) => (o.gradient ? [o.opType] : [])));
    expect(Object.keys(gradientCases).filter((opType) => !known.has(opType))).toEqual([]);
  });
});
