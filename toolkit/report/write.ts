/** Puts the results of a run into a folder: all of them, or none. */
import { lstat, mkdir, mkdtemp, readdir, rename, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { UsageError } from "../graph/errors.js";

/** One file to write; `name` has no folder in it. */
export interface OutputFile {
  name: string;
  bytes: Uint8Array | string;
}

const HINT = "name a folder that can be written";

/**
 * Writes all files into `folder`, which is created when absent. They are first written to a temporary folder inside it
 * and then renamed; when anything fails, files that were there before are back in place and nothing new is left.
 * Other files of the folder are not touched.
 *
 * Throws UsageError `output-folder` when the folder is a file or cannot be written, or when a name is taken by a folder.
 * Rejects with the signal's reason when aborted before the first rename.
 */
export async function writeFitOutput(
  folder: string,
  files: readonly OutputFile[],
  signal?: AbortSignal,
): Promise<void> {
  await inFolder(folder, async (temporary) => {
    for (const { name, bytes } of files) {
      await refuseFolder(join(folder, name));
      await writeFile(join(temporary, name), bytes, { flush: true });
    }
    signal?.throwIfAborted();
    await replaceAll(folder, temporary, files);
  });
}

/** Checks, before long work, that `writeFitOutput` could write there; creates no folder. Throws as that does. */
export async function checkOutputFolder(folder: string): Promise<void> {
  try {
    let existing = resolve(folder);
    while (!(await statOf(existing))) existing = dirname(existing);
    if (!(await stat(existing)).isDirectory()) await mkdir(resolve(folder), { recursive: true }); // fails as the real one would
    const temporary = await mkdtemp(join(existing, ".edgefit-"));
    await rm(temporary, { recursive: true });
  } catch (e) {
    throw explain(folder, e);
  }
}

/** Runs `work` with a temporary folder inside `folder`; folders that had to be created are removed when it fails. */
async function inFolder(folder: string, work: (temporary: string) => Promise<void>): Promise<void> {
  let created: string | undefined;
  let temporary: string | undefined;
  let done = false;
  try {
    created = await mkdir(resolve(folder), { recursive: true });
    temporary = await mkdtemp(join(resolve(folder), ".edgefit-"));
    await work(temporary);
    done = true;
  } catch (e) {
    throw explain(folder, e);
  } finally {
    if (temporary) await rm(temporary, { recursive: true, force: true });
    if (created && !done) await removeEmpty(resolve(folder), created);
  }
}

/** Renames the new files over the old ones; on failure undoes what was done, last first. */
async function replaceAll(folder: string, temporary: string, files: readonly OutputFile[]): Promise<void> {
  const undo: (() => Promise<void>)[] = [];
  try {
    for (const [i, { name }] of files.entries()) {
      const target = join(folder, name);
      if (await exists(target)) {
        const saved = join(temporary, `previous-${i}`);
        await rename(target, saved);
        undo.push(() => rename(saved, target));
      }
      await rename(join(temporary, name), target);
      undo.push(() => rm(target));
    }
  } catch (e) {
    for (const step of undo.reverse()) await step();
    throw e;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await statOf(path)) !== undefined;
}

async function refuseFolder(path: string): Promise<void> {
  if ((await statOf(path))?.isDirectory()) {
    throw new UsageError("output-folder", "a folder has the name of a result file", { where: path, hint: HINT });
  }
}

async function statOf(path: string) {
  try {
    return await lstat(path);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw e;
  }
}

/** Removes `folder` and its parents up to `top`, all created by this run, as far as they are still empty. */
async function removeEmpty(folder: string, top: string): Promise<void> {
  for (let path = folder; ; path = dirname(path)) {
    if ((await readdir(path)).length > 0) return;
    await rmdir(path);
    if (path === top || path === dirname(path)) return;
  }
}

const REASONS: Record<string, string> = {
  EEXIST: "it is a file",
  ENOTDIR: "it lies below a file",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left on the device",
  ENOENT: "its parent folder cannot be created",
};

function explain(folder: string, e: unknown): unknown {
  const { code, syscall, message } = e as NodeJS.ErrnoException;
  if (syscall === undefined) return e; // not of the file system: an abort, or already in words
  const reason = REASONS[code ?? ""] ?? message;
  return new UsageError("output-folder", `the output folder cannot be written: ${reason}`, {
    where: folder,
    hint: HINT,
    cause: e,
  });
}
