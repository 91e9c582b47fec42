/**
 * Files of weights beside a model. A model is a stranger's data: the paths that it names must stay inside its own folder,
 * whatever `..`, absolute paths or symbolic links say, and only the bytes asked for are read.
 */
import { closeSync, openSync, readSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, join, sep } from "node:path";
import { ModelError } from "../graph/errors.js";
import type { ExternalReader } from "./tensorData.js";

/** Serves the external data of a model in `folder`. Its calls throw ModelError `external-data`. */
export function externalFiles(folder: string): ExternalReader {
  const root = realpathSync(folder);
  const regions = new Map<string, Uint8Array>();
  const files = new Map<string, { path: string; sizeBytes: number; servedBytes: number }>();
  return (location, offset, length) => {
    const key = `${offset}+${length}:${location}`;
    const known = regions.get(key);
    if (known) return known;
    let file = files.get(location);
    if (!file) files.set(location, (file = { ...locate(root, location), servedBytes: 0 }));
    if (offset + length > file.sizeBytes) {
      throw new ModelError(
        "external-data",
        `the model needs bytes ${offset} to ${offset + length} of "${location}", which is only ${file.sizeBytes} bytes long`,
        {
          hint: "the file may be truncated; copy it again",
        },
      );
    }
    // Constants that overlap would let a small file ask for any amount of memory.
    file.servedBytes += length;
    if (file.servedBytes > file.sizeBytes)
      throw new ModelError("external-data", `the constants in "${location}" overlap one another`);
    const bytes = readRegion(file.path, location, offset, length);
    regions.set(key, bytes);
    return bytes;
  };
}

function locate(root: string, location: string): { path: string; sizeBytes: number } {
  const parts = location.split(/[/\\]/);
  if (
    isAbsolute(location) ||
    /^[a-zA-Z]:/.test(location) ||
    parts[0] === "" ||
    parts.includes("..") ||
    location.includes("\0")
  ) {
    throw new ModelError("external-data", `the model asks for "${location}", which lies outside its own folder`, {
      hint: "external data must be beside the model",
    });
  }
  let path: string;
  try {
    path = realpathSync(join(root, location));
  } catch (cause) {
    throw new ModelError("external-data", `the model's weights are in "${location}", which is not beside it`, {
      hint: "copy that file into the model's folder",
      cause,
    });
  }
  if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw new ModelError(
      "external-data",
      `the model asks for "${location}", a link that leads outside its own folder`,
      { hint: "external data must be beside the model" },
    );
  }
  const stat = statSync(path);
  if (!stat.isFile())
    throw new ModelError("external-data", `the model asks for "${location}", which is not a regular file`);
  return { path, sizeBytes: stat.size };
}

function readRegion(path: string, location: string, offset: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    let done = 0;
    while (done < length) {
      const n = readSync(file, out, done, Math.min(length - done, 2 ** 30), offset + done);
      if (n === 0) throw new Error("the file ended early");
      done += n;
    }
    return out;
  } catch (cause) {
    throw new ModelError(
      "external-data",
      `"${location}" cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
