/** Files that appear whole or not at all: written under a temporary name in the same folder, flushed, then renamed. */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** A file that is there under a temporary name only. */
export interface PendingFile {
  /** Gives it its name, replacing what had it. */
  commit(path: string): Promise<void>;
  /** Removes it; after `commit` there is nothing to remove. */
  discard(): Promise<void>;
}

/** Writes a pending file beside `path` by way of `write`; when that fails nothing is left. Throws the file system's errors. */
export async function pendingFile(path: string, write: (file: FileHandle) => Promise<void>): Promise<PendingFile> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  const discard = (): Promise<void> => rm(temporary, { force: true });
  const file = await open(temporary, "wx");
  try {
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    await discard();
    throw cause;
  }
  return { commit: (name) => rename(temporary, name), discard };
}
