import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { command, withOperatorTable } from "../support/operatorTable.js";

test("the operator table of docs/coverage.md is that of the registry", () => {
  const document = readFileSync(join(import.meta.dirname, "../../docs/coverage.md"), "utf8");
  expect(document === withOperatorTable(document), `bring it up to date with: ${command}`).toBe(true);
});
