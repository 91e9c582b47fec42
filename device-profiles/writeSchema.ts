/** `npm run schema`: writes device-profile.schema.json from the schema in use. */
import { writeFileSync } from "node:fs";
import { deviceProfileJsonSchema } from "./schema.js";

writeFileSync("device-profiles/device-profile.schema.json", `${JSON.stringify(deviceProfileJsonSchema(), null, 2)}\n`);
