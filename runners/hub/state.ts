/** The file by which other commands find a running hub: its address and control token, readable by its user alone. */
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { DeviceError } from "../errors.js";
import type { HubAddress } from "./client.js";

const stateSchema = z.object({
  url: z.url(),
  controlToken: z.string().min(1),
  pid: z.number().int().positive(),
  startedAt: z.string(),
});
export type HubState = z.infer<typeof stateSchema>;

/** `$EDGEFIT_CACHE`, else `edgefit` in `$XDG_CACHE_HOME` or `~/.cache`. */
export const stateFolder = (env: NodeJS.ProcessEnv = process.env): string =>
  env.EDGEFIT_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "edgefit");

const fileIn = (folder: string): string => join(folder, "hub.json");

/** Writes the file whole or not at all, for its user alone. */
export async function writeHubState(state: HubState, folder = stateFolder()): Promise<void> {
  await writePrivate(folder, "hub.json", JSON.stringify(state, null, 2));
}

/** A file that only its user may read. Throws DeviceError `state-unwritable`. */
export async function writePrivate(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(temporary, `${text}\n`, { mode: 0o600 });
    await chmod(temporary, 0o600); // the mode above only counts for a new file
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new DeviceError("state-unwritable", `the file cannot be written: ${(cause as Error).message}`, {
      where: path,
      hint: "choose another folder with EDGEFIT_CACHE",
      cause,
    });
  }
}

/**
 * The running hub of this user; undefined where none runs. What a hub that was killed left behind counts as none, and is removed.
 * Throws DeviceError `hub-state` for a file that is not one.
 */
export async function findHub(folder = stateFolder()): Promise<(HubAddress & HubState) | undefined> {
  const path = fileIn(folder);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new DeviceError("hub-state", `the file of the running hub cannot be read: ${(cause as Error).message}`, {
      where: path,
      cause,
    });
  }
  let state: HubState;
  try {
    state = stateSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DeviceError("hub-state", "the file of the running hub is damaged", {
      where: path,
      hint: "remove it, and start edgefit hub again",
      cause,
    });
  }
  if (isAlive(state.pid)) return state;
  await rm(path, { force: true });
  return undefined;
}

/** Removes the file, if it is still the one of this process. */
export async function removeHubState(folder = stateFolder()): Promise<void> {
  const state = await findHub(folder).catch(() => undefined);
  if (state?.pid === process.pid) await rm(fileIn(folder), { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === "EPERM";
  }
}
