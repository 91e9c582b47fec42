/** A latency budget as people write it: `8ms`, `60%` of the original, or `30fps`. Pure text and arithmetic. */
import { UsageError } from "./graph/errors.js";

/** A budget as parsed; turned into milliseconds by `budgetMs` once the original has been measured. */
export type Budget =
  | { text: string; kind: "ms"; ms: number }
  | { text: string; kind: "percent"; percent: number }
  | { text: string; kind: "fps"; fps: number };

/** Which statistic of the latency must stay within the budget. */
export type Percentile = "p50" | "p95";

const FORMS = "write milliseconds (8ms), a share of the original model's own latency (60%), or a frame rate (30fps)";

/**
 * Reads `8ms`, `60%` or `30fps` (spaces and upper case allowed).
 *
 * Throws UsageError `budget` for anything else, for numbers that are not above zero, and for more than 100 %: the
 * original already meets such a budget, so it is most likely a slip.
 */
export function parseBudget(text: string): Budget {
  const fail = (what: string): never => {
    throw new UsageError("budget", what, { where: `--budget ${text.trim() || '""'}`, hint: FORMS });
  };
  const match = /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(ms|%|fps)?\s*$/i.exec(text);
  if (!match) return fail("this is not a latency budget");
  const value = Number(match[1]);
  if (!(value > 0 && Number.isFinite(value))) return fail("the budget must be above zero");
  const clean = text.trim();
  switch (match[2]?.toLowerCase()) {
    case "ms":
      return { text: clean, kind: "ms", ms: value };
    case "fps":
      return { text: clean, kind: "fps", fps: value };
    case "%":
      if (value > 100) return fail("the original model already meets a budget above 100%");
      return { text: clean, kind: "percent", percent: value };
    default:
      return fail("the budget has no unit");
  }
}

/** The budget in milliseconds. `originalMs` is the original's latency, measured in the same run. */
export function budgetMs(budget: Budget, originalMs: number): number {
  switch (budget.kind) {
    case "ms":
      return budget.ms;
    case "fps":
      return 1000 / budget.fps;
    case "percent":
      return (originalMs * budget.percent) / 100;
  }
}
