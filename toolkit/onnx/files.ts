/** Models as files: external data found beside them, and writing that leaves either the whole new file or nothing. */
import { readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ModelError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { type PendingFile, pendingFile } from "./atomic.js";
import { externalFiles } from "./external.js";
import { dataLayout, writeParts } from "./externalWrite.js";
import { MAX_PROTO_BYTES, tooLarge } from "./proto.js";
import { readModel } from "./read.js";
import type { ExternalReader } from "./tensorData.js";
import { writeModel, writeModelPlacing } from "./write.js";

/** Reads a model file; large external data beside it is read when it is needed. Throws ModelError with `where` set to the path. */
export async function readModelFile(path: string): Promise<Graph> {
  return readModel(await modelBytes(path), { where: path, external: externalFiles(dirname(path)) });
}

/** The bytes of a model file. Throws ModelError with `where` set to the path for what cannot be read or is no file. */
export async function modelBytes(path: string): Promise<Uint8Array> {
  try {
    const facts = await stat(path);
    if (facts.isDirectory())
      throw new ModelError("file", "this is a folder, not a model file", {
        where: path,
        hint: "name the .onnx file inside it",
      });
    if (!facts.isFile()) throw new ModelError("file", "this is a device or pipe, not a model file", { where: path });
    if (facts.size > MAX_PROTO_BYTES) throw new ModelError("too-large", tooLarge(facts.size).message, { where: path });
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof ModelError) throw cause;
    throw new ModelError("file", `the model file ${reason(cause)}`, { where: path, cause });
  }
}

/**
 * A model file as one piece, its external data inside: what a runtime can load from memory. The file's own bytes where it
 * has no such data. Throws ModelError as `readModelFile` does, and `too-large` for a model of 2 GiB or more.
 */
export async function readSelfContained(path: string): Promise<Uint8Array> {
  const bytes = await modelBytes(path);
  const serve = externalFiles(dirname(path));
  let outside = false;
  const external: ExternalReader = (...region) => {
    outside = true;
    return serve(...region);
  };
  const g = readModel(bytes, { where: path, external });
  return outside ? writeModel(g) : bytes;
}

/**
 * Writes a model file atomically: under a temporary name in the same folder, flushed to disk, then renamed. On any error
 * the old file (or none) is still there. Where 2 GiB do not hold the model, and where its weights were read from beside a
 * model and take more than 256 MiB, they go into `NAME.<hash>.data` beside it; such a file of an earlier model of that name
 * is removed. Throws ModelError with `where` set to the path.
 */
export async function writeModelFile(path: string, g: Graph): Promise<void> {
  const layout = dataLayout(g);
  const pending: PendingFile[] = [];
  const whole = layout ? undefined : writeModel(g);
  try {
    let dataName: string | undefined;
    if (layout) {
      let hash = "";
      const data = await pendingFile(path, async (file) => {
        hash = await writeParts(file, layout);
      });
      pending.push(data);
      dataName = `${basename(path)}.${hash}.data`;
    }
    const bytes = whole ?? writeModelPlacing(g, layout!.placeIn(dataName!));
    const model = await pendingFile(path, (file) => file.writeFile(bytes));
    pending.push(model);
    // The data has a name that no other content has: until the model is renamed, the old one still finds its own.
    if (dataName) await pending[0].commit(join(dirname(path), dataName));
    await model.commit(path);
    await removeOldData(path, dataName);
  } catch (cause) {
    for (const file of pending) await file.discard();
    if (cause instanceof ModelError) throw cause;
    throw new ModelError("file", `the model file ${reason(cause)}`, {
      where: path,
      hint: "choose a folder that exists and can be written",
      cause,
    });
  }
}

/** Data files that earlier models of this name left. */
async function removeOldData(path: string, current: string | undefined): Promise<void> {
  const [prefix, suffix] = [`${basename(path)}.`, ".data"];
  for (const name of await readdir(dirname(path))) {
    if (name === current || !name.startsWith(prefix) || !name.endsWith(suffix)) continue;
    if (/^[0-9a-f]{16}$/.test(name.slice(prefix.length, -suffix.length)))
      await rm(join(dirname(path), name), { force: true });
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
