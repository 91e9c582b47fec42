/** What `compare` found, for the terminal. */
import { bestOf, type Comparison, formatCount, formatMs, formatPercent, formatRatio } from "../report/index.js";
import type { Colors } from "./colors.js";
import { table } from "./tables.js";

/** The table of methods, best first, and where the files are. */
export function comparisonSummary(r: Comparison, paths: readonly string[], c: Colors): string {
  const best = bestOf(r);
  const rows = [...r.methods].sort((a, b) => b.accuracy.top1 - a.accuracy.top1);
  const line = (name: string, m: Comparison["original"], speed: number, steps: string, mark: string): string[] => [
    name,
    formatPercent(m.accuracy.top1),
    formatMs(m.latencyMs.p50),
    formatRatio(speed),
    formatCount(m.macs),
    formatCount(m.params),
    steps,
    mark,
  ];
  const head = best
    ? `${best.title} keeps ${formatPercent(best.accuracy.top1)} at ${r.budget.text} (original ${formatPercent(r.original.accuracy.top1)})`
    : `no method met ${r.budget.text}`;
  return [
    c.bold(head),
    "",
    table(
      ["method", "top-1", "latency", "speed", "MACs", "params", "steps", ""],
      [
        line("original", r.original, 1, "", ""),
        ...rows.map((m) =>
          line(
            m.method,
            m,
            m.speedup,
            String(Math.round(m.steps.used)),
            m === best ? c.green("best") : m.met ? "" : c.red("over budget"),
          ),
        ),
      ],
      c,
    ),
    ...r.failed.map((f) => c.yellow(`${f.method} gave no net: ${f.reason}`)),
    "",
    ...paths.map((p) => c.dim(p)),
  ].join("\n");
}
