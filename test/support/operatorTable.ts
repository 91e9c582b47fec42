/** The operator table of docs/coverage.md, made from the registry. */
import { listOps, ruleFor } from "../../toolkit/ops/index.js";

/** What stands around the table in the document. */
export const markers = { begin: "<!-- operators: begin -->", end: "<!-- operators: end -->" };

/** How the table is brought up to date. */
export const command = "npx tsx test/bench/operators.ts --write";

const yes = (known: boolean): string => (known ? "yes" : "");

/** One row per operator and version with a rule of its own. */
export function operatorTable(): string {
  const rows = listOps().map((op) => {
    const why = ruleFor(op, op.since)?.frozenBecause ?? "";
    const name = `${op.domain ? `${op.domain}.` : ""}${op.opType}${op.since > 1 ? ` (from ${op.since})` : ""}`;
    const channels = op.channels ? "yes" : why ? `frozen: ${why}` : "(takes none)";
    return `| ${[name, yes(op.constants), channels, yes(op.gradient), yes(op.quantize)].join(" | ")} |`;
  });
  return ["| operator | constants | channels | gradient | INT8 |", "|---|---|---|---|---|", ...rows].join("\n");
}

/** The document with the table between its markers replaced. Throws when the markers are not there. */
export function withOperatorTable(document: string): string {
  const [from, to] = [document.indexOf(markers.begin), document.indexOf(markers.end)];
  if (from < 0 || to < from) throw new Error(`the document lacks ${markers.begin} or ${markers.end}`);
  return `${document.slice(0, from + markers.begin.length)}\n${operatorTable()}\n${document.slice(to)}`;
}
