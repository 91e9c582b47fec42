/** The id by which a hub knows an agent again: random, kept in a file, made of nothing that belongs to the machine or its owner. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Folder for what lasts from run to run (XDG base directory specification). */
export const stateFolder = (env: NodeJS.ProcessEnv = process.env): string =>
  join(env.XDG_STATE_HOME || join(homedir(), ".local/state"), "edgefit");

const ID = /^[0-9a-f]{16}$/;

/**
 * The id, made on the first call. `what` tells two agents of one machine apart that compute with different things. Where the
 * folder cannot be written the id lasts as long as the process, so that it is still the same after a lost connection.
 */
export function deviceId(what: string, folder = stateFolder()): string {
  const file = join(folder, "agent-id");
  const known = read(file);
  const own = known && ID.test(known) ? known : randomBytes(8).toString("hex");
  if (own !== known) {
    try {
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, `${own}\n`, { mode: 0o600 });
    } catch {
      // A read-only system: see above.
    }
  }
  return `${own}-${what}`.slice(0, 64);
}

function read(file: string): string | null {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return null; // the first run
  }
}
