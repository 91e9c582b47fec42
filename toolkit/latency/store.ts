/** Where measured tables are kept between runs: one file per device, model structure, precision and settings. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { EdgefitError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";

/** `$EDGEFIT_CACHE`, else `edgefit` in `$XDG_CACHE_HOME` or `~/.cache`. */
export function defaultCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return env.EDGEFIT_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), ".cache"), "edgefit");
}

/**
 * 16 hexadecimal digits that are equal for models of the same structure: operators, attributes, wiring and shapes. Values of large
 * weights do not count, as they do not change a latency; short constants (axes, shapes, clip bounds) do.
 */
export function structuralHash(g: Graph): string {
  const hash = createHash("sha256");
  const add = (x: unknown) =>
    hash.update(
      `${JSON.stringify(x, (_, v) => (typeof v === "bigint" ? `${v}n` : ArrayBuffer.isView(v) ? Array.from(v as Uint8Array, String) : v))}\n`,
    );
  add([...g.opsets].sort());
  for (const v of g.inputs) add([v.name, v.type]);
  for (const n of g.nodes)
    add([
      n.domain,
      n.opType,
      n.name,
      n.inputs,
      n.outputs,
      Object.entries(n.attributes).filter(([, a]) => a.type !== "opaque"),
    ]);
  for (const [name, t] of g.initializers)
    add([name, t.elemType, t.dims, t.data.length <= 16 ? Array.from(t.data as ArrayLike<unknown>, String) : null]);
  for (const v of g.outputs) add(v.name);
  return hash.digest("hex").slice(0, 16);
}

/** Text of a file in the cache; undefined when it is not there. Any other trouble is an EdgefitError `cache-unreadable`. */
export async function readCached(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new EdgefitError("cache-unreadable", `the file cannot be read: ${(cause as Error).message}`, {
      where: path,
      hint: "choose another folder with EDGEFIT_CACHE",
      cause,
    });
  }
}

/** Writes under a temporary name and renames, so that a reader never sees half a file. Throws EdgefitError `cache-unwritable`. */
export async function writeCached(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    await mkdir(folder, { recursive: true });
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw new EdgefitError("cache-unwritable", `the latency table cannot be kept: ${(cause as Error).message}`, {
      where: path,
      hint: "choose another folder with EDGEFIT_CACHE",
      cause,
    });
  }
}

export const removeCached = (path: string): Promise<void> => rm(path, { force: true });
