/** `npm run schema`: writes docs/report.schema.json from the schema in use. */
import { writeFileSync } from "node:fs";
import { reportJsonSchema } from "./schema.js";

writeFileSync("docs/report.schema.json", `${JSON.stringify(reportJsonSchema(), null, 2)}\n`);
