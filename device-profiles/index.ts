/** Finds, reads and checks device profiles: the shipped ones by id, anyone's by path. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type DeviceProfile, deviceProfileSchema } from "./schema.js";

export {
  type DeviceProfile,
  deviceProfileJsonSchema,
  deviceProfileSchema,
  PROFILE_SCHEMA_VERSION,
  profileIdSchema,
} from "./schema.js";

/** A profile is missing or wrong. Carries the fields of every error that is the user's to read. */
export class ProfileError extends Error {
  readonly exit = 1;
  readonly code: string;
  readonly where?: string;
  readonly hint?: string;

  constructor(code: string, message: string, facts: { where?: string; hint?: string; cause?: unknown } = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = "ProfileError";
    this.code = code;
    if (facts.where !== undefined) this.where = facts.where;
    if (facts.hint !== undefined) this.hint = facts.hint;
  }
}

/** Folder of the shipped profiles: beside this module in the sources, in the package's root once compiled. */
export function profilesFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const folders = [here, resolve(here, "../../device-profiles")];
  const found = folders.find((f) => existsSync(f) && readdirSync(f).some(isProfileFile));
  if (!found)
    throw new ProfileError("profiles-missing", "the device profiles that belong to edgefit are missing", {
      where: folders[1],
      hint: "install the package again",
    });
  return found;
}

/** Ids of the shipped profiles, sorted. */
export const listProfiles = (): string[] =>
  readdirSync(profilesFolder())
    .filter(isProfileFile)
    .map((f) => basename(f, ".json"))
    .sort();

/**
 * The profile of that id, or in the file of that path (anything that ends in `.json` or holds a path separator).
 * Throws ProfileError: unknown id (names the choices), unreadable file, no JSON, or a field that is wrong (names it).
 */
export function loadProfile(nameOrPath: string): DeviceProfile {
  if (/[/\\]|\.json$/.test(nameOrPath)) return readProfile(nameOrPath);
  if (!listProfiles().includes(nameOrPath)) {
    throw new ProfileError("profile-unknown", `there is no device profile "${nameOrPath}"`, {
      hint: `choose one of ${listProfiles().join(", ")}, or give the path of a profile's JSON file`,
    });
  }
  return readProfile(join(profilesFolder(), `${nameOrPath}.json`));
}

function readProfile(path: string): DeviceProfile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ProfileError("profile-unreadable", "the device profile cannot be read", { where: path, cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ProfileError("profile-not-json", `the device profile is not JSON: ${(cause as Error).message}`, {
      where: path,
      cause,
    });
  }
  return parseProfile(value, path);
}

/** Checks a value that came from JSON. `where` names it in errors. Throws ProfileError with the first wrong field. */
export function parseProfile(value: unknown, where: string): DeviceProfile {
  const parsed = deviceProfileSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0];
  throw new ProfileError("profile-invalid", `device profile field "${path.join(".") || "(top)"}": ${message}`, {
    where,
    hint: "see device-profiles/schema.ts for the fields",
  });
}

const isProfileFile = (name: string): boolean => name.endsWith(".json") && !/\.(schema|table)\.json$/.test(name);
