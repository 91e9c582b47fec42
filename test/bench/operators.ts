/**
 * The operator table of docs/coverage.md.
 *
 *   npx tsx test/bench/operators.ts [--write]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { operatorTable, withOperatorTable } from "../support/operatorTable.js";

const path = join(import.meta.dirname, "../../docs/coverage.md");
if (process.argv.includes("--write")) writeFileSync(path, withOperatorTable(readFileSync(path, "utf8")));
else console.log(operatorTable());
