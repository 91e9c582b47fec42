import { describe, expect, test } from "vitest";
import { type Budget, budgetMs, parseBudget } from "../toolkit/budget.js";
import { UsageError } from "../toolkit/graph/errors.js";

const failure = (text: string): UsageError => {
  try {
    parseBudget(text);
  } catch (e) {
    return e as UsageError;
  }
  throw new Error(`"${text}" was accepted`);
};

describe("parseBudget", () => {
  test.each<[string, Budget]>([
    ["8ms", { text: "8ms", kind: "ms", ms: 8 }],
    [" 0.25 MS ", { text: "0.25 MS", kind: "ms", ms: 0.25 }],
    [".5ms", { text: ".5ms", kind: "ms", ms: 0.5 }],
    ["60%", { text: "60%", kind: "percent", percent: 60 }],
    ["100%", { text: "100%", kind: "percent", percent: 100 }],
    ["30fps", { text: "30fps", kind: "fps", fps: 30 }],
  ])("reads %s", (text, budget) => {
    expect(parseBudget(text)).toEqual(budget);
  });

  test.each([
    ["0ms", "above zero"],
    ["0%", "above zero"],
    ["-5ms", "above zero"],
    ["1e999ms", "above zero"],
    ["101%", "already meets"],
    ["8", "no unit"],
    ["0", "above zero"],
    ["soon", "not a latency budget"],
    ["", "not a latency budget"],
    ["8 ms 9", "not a latency budget"],
    ["NaNms", "not a latency budget"],
  ])("refuses %j and says which forms there are", (text, what) => {
    const e = failure(text);
    expect(e).toBeInstanceOf(UsageError);
    expect(e.exit).toBe(1);
    expect(e.message).toContain(what);
    expect(e.hint).toMatch(/8ms.*60%.*30fps/);
  });
});

describe("budgetMs", () => {
  test.each([
    ["8ms", 8],
    ["60%", 1.2],
    ["25fps", 40],
  ])("%s of an original of 2 ms is %d ms", (text, ms) => {
    expect(budgetMs(parseBudget(text), 2)).toBeCloseTo(ms, 12);
  });
});
