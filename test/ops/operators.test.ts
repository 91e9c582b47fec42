import { describe, expect, test } from "vitest";
import { listOps, ruleFor } from "../../toolkit/ops/index.js";
import { opsetOfCase } from "./case.js";
import { families } from "./cases/index.js";
import { describeOps } from "./describeOp.js";

for (const [family, cases] of Object.entries(families)) describe(family, () => describeOps(cases));

describe("completeness", () => {
  const cases = Object.values(families).flatMap((f) => Object.entries(f));

  test("every rule has a case", () => {
    const missing = listOps().filter(({ opType, domain, since }) => {
      const rule = ruleFor({ opType, domain }, since);
      return !cases.some(
        ([op, list]) =>
          op === opType &&
          list.some((c) => (c.domain ?? "") === domain && ruleFor({ opType, domain }, opsetOfCase(c)) === rule),
      );
    });
    expect(missing).toEqual([]);
  });

  test("every case belongs to a rule", () => {
    for (const [opType, list] of cases) {
      for (const c of list) expect(ruleFor({ opType, domain: c.domain ?? "" }, opsetOfCase(c)), opType).toBeDefined();
    }
  });
});
