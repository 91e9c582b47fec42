/** A device that is not there: what a profile or an exported table says of it. */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  type DeviceProfile,
  listProfiles,
  loadProfile,
  parseProfile,
  profilesFolder,
} from "../device-profiles/index.js";
import type { DeviceFacts } from "../runners/index.js";
import { EdgefitError, UsageError } from "./graph/errors.js";
import { type LatencyTable, parseTable } from "./latency/index.js";
import { dependencyVersion } from "./version.js";

export interface SavedDevice {
  facts: DeviceFacts;
  table: LatencyTable;
  /** Of the profile; undefined for a table alone. */
  alignment?: number;
  /** The table's file. */
  path: string;
}

/**
 * Reads a saved device: the id or path of a profile that names a table, or the path of a table. Throws UsageError for a device that is
 * not saved in a file, ProfileError for a profile that is wrong, and EdgefitError for one without a table, or a table that is wrong.
 */
export async function readSavedDevice(nameOrPath: string): Promise<SavedDevice> {
  const isPath = /[/\\]|\.json$/.test(nameOrPath);
  if (!isPath && !listProfiles().includes(nameOrPath)) {
    throw new UsageError("device-not-saved", `"${nameOrPath}" is no saved device`, {
      where: "--device",
      hint: `give the JSON file of a profile or table (edgefit devices export NAME --model model.onnx), or one of ${listProfiles().join(", ")}`,
    });
  }
  const path = isPath ? nameOrPath : join(profilesFolder(), `${nameOrPath}.json`);
  const value = await readJson(path);
  if (typeof value === "object" && value !== null && "rows" in value) {
    const table = parseTable(JSON.stringify(value), path);
    return { facts: factsOf(table), table, path };
  }
  const profile = parseProfile(value, path);
  const file = profile.measured?.table;
  if (!file) {
    throw new EdgefitError("profile-unmeasured", `profile "${profile.id}" holds no latency table`, {
      where: path,
      hint: "measure one on the device: edgefit devices export NAME --model model.onnx",
    });
  }
  const tablePath = join(dirname(path), file);
  const table = parseTable(JSON.stringify(await readJson(tablePath)), tablePath);
  return { facts: factsOf(table, profile), table, alignment: profile.channelAlignment, path: tablePath };
}

/** The table that a profile names, checked; undefined where it names none. Throws as `readSavedDevice` does. */
export async function checkSavedTable(nameOrPath: string): Promise<LatencyTable | undefined> {
  return loadProfile(nameOrPath).measured?.table ? (await readSavedDevice(nameOrPath)).table : undefined;
}

async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new EdgefitError("device-unreadable", `the file of the device cannot be read: ${(cause as Error).message}`, {
      where: path,
      cause,
    });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EdgefitError("device-not-json", "the file of the device is not JSON", { where: path, cause });
  }
}

/** What the files tell of the device; conditions of the moment are not known. */
function factsOf({ device, runtime }: LatencyTable, profile?: DeviceProfile): DeviceFacts {
  return {
    id: profile?.id ?? device.id,
    kind: device.kind as DeviceFacts["kind"],
    hardware: {
      cpu: device.cpu,
      cores: device.cores,
      isa: device.isa,
      memoryBytes: profile?.hardware.memoryBytes ?? null,
    },
    os: { platform: profile?.os.platform ?? "unknown", arch: device.arch, release: null },
    runtime: {
      ...runtime,
      graphOptimizationLevel: runtime.graphOptimizationLevel as DeviceFacts["runtime"]["graphOptimizationLevel"],
    },
    conditions: { governor: null, temperatureC: null, charging: null },
    emulated: false,
    clockMs: 0,
  };
}

/** One sentence when a table was measured with another version of its runtime than the one installed here; else null. */
export function otherVersion(runtime: { package: string; version: string | null }): string | null {
  const installed = dependencyVersion(runtime.package);
  return runtime.version === null || installed === undefined || installed === runtime.version
    ? null
    : `the profile was measured with ${runtime.package} ${runtime.version}, and ${installed} is installed here: kernels may have other times`;
}
