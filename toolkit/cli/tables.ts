/** Tables and lists of facts for the terminal. Pure text. */
import Table from "cli-table3";
import type { Colors } from "./colors.js";

type Align = "left" | "right";

/** A table without vertical lines; `align` per column, the last one repeats. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  colors: Colors,
  align: readonly Align[] = ["left", "right"],
): string {
  const t = new Table({
    head: head.map((h) => colors.bold(h)),
    colAligns: head.map((_, i) => align[Math.min(i, align.length - 1)]),
    style: { head: [], border: [], "padding-left": 1, "padding-right": 1 },
    chars: {
      top: "",
      "top-mid": "",
      "top-left": "",
      "top-right": "",
      bottom: "",
      "bottom-mid": "",
      "bottom-left": "",
      "bottom-right": "",
      left: "",
      "left-mid": "",
      right: "",
      "right-mid": "",
      middle: "",
      mid: "",
      "mid-mid": "",
    },
  });
  t.push(...rows.map((r) => [...r]));
  return t
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** Label and value pairs, values aligned. */
export function facts(pairs: readonly (readonly [string, string])[], colors: Colors): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => ` ${colors.dim(name.padEnd(width))}  ${value}`).join("\n");
}
