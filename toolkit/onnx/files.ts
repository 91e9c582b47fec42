/** Models as files: external data found beside them, and writing that leaves either the whole new file or nothing. */
import { randomBytes } from "node:crypto";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ModelError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { externalFiles } from "./external.js";
import { MAX_PROTO_BYTES, tooLarge } from "./proto.js";
import { readModel } from "./read.js";
import { writeModel } from "./write.js";

/** Reads a model file and the external data beside it. Throws ModelError with `where` set to the path. */
export async function readModelFile(path: string): Promise<Graph> {
  let bytes: Uint8Array;
  try {
    const facts = await stat(path);
    if (facts.isDirectory())
      throw new ModelError("file", "this is a folder, not a model file", {
        where: path,
        hint: "name the .onnx file inside it",
      });
    if (facts.size > MAX_PROTO_BYTES) throw new ModelError("too-large", tooLarge(facts.size).message, { where: path });
    bytes = await readFile(path);
  } catch (cause) {
    if (cause instanceof ModelError) throw cause;
    throw new ModelError("file", `the model file ${reason(cause)}`, { where: path, cause });
  }
  return readModel(bytes, { where: path, external: externalFiles(dirname(path)) });
}

/**
 * Writes a model file atomically: under a temporary name in the same folder, flushed to disk, then renamed. On any error
 * the old file (or none) is still there. Throws ModelError with `where` set to the path.
 */
export async function writeModelFile(path: string, g: Graph): Promise<void> {
  const bytes = writeModel(g);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`);
  let created = false;
  try {
    const file = await open(temporary, "wx");
    created = true;
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    if (created) await rm(temporary, { force: true });
    throw new ModelError("file", `the model file ${reason(cause)}`, {
      where: path,
      hint: "choose a folder that exists and can be written",
      cause,
    });
  }
}

/** The operating system's refusal in words. */
function reason(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const words: Record<string, string> = {
    ENOENT: "or its folder does not exist",
    ENOTDIR: "lies below something that is not a folder",
    EACCES: "or its folder may not be accessed (permission denied)",
    EPERM: "or its folder may not be accessed (not permitted)",
    EROFS: "lies on a read-only file system",
    ENOSPC: "does not fit: the disk is full",
    EISDIR: "has the name of an existing folder",
  };
  return words[code ?? ""] ?? `cannot be accessed: ${cause instanceof Error ? cause.message : String(cause)}`;
}
