/**
 * Files of weights beside a model. A model is a stranger's data: the paths that it names must stay inside its own folder,
 * whatever `..`, absolute paths or symbolic links say, and only the bytes asked for are read.
 */
import { closeSync, fstatSync, openSync, readSync, realpathSync, type Stats, statSync } from "node:fs";
import { isAbsolute, join, sep } from "node:path";
import { ModelError } from "../graph/errors.js";
import type { StoredBytes } from "../graph/stored.js";
import type { ExternalReader } from "./tensorData.js";

/** Regions up to this size are read at once; larger ones when they are needed, in pieces. */
const EAGER_BYTES = 2 ** 16;

interface DataFile {
  path: string;
  location: string;
  sizeBytes: number;
  /** Which file it was when the model was read: another one under its name is not read. */
  identity: string;
  claimedBytes: number;
}

/** Serves the external data of a model in `folder`. Its calls, and reads from the stores it gives, throw ModelError `external-data`. */
export function externalFiles(folder: string): ExternalReader {
  const root = realpathSync(folder);
  const regions = new Map<string, Uint8Array | StoredBytes>();
  const files = new Map<string, DataFile>();
  return (location, offset, length) => {
    const key = `${offset}+${length}:${location}`;
    const known = regions.get(key);
    if (known) return known;
    let file = files.get(location);
    if (!file) files.set(location, (file = locate(root, location)));
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
    file.claimedBytes += length;
    if (file.claimedBytes > file.sizeBytes)
      throw new ModelError("external-data", `the constants in "${location}" overlap one another`);
    const found = file;
    const region =
      length <= EAGER_BYTES
        ? readRegion(found, offset, length)
        : { byteLength: length, read: (at: number, n: number) => readRegion(found, offset + at, n) };
    regions.set(key, region);
    return region;
  };
}

function locate(root: string, location: string): DataFile {
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
  return { path, location, sizeBytes: stat.size, identity: identityOf(stat), claimedBytes: 0 };
}

const identityOf = (s: Stats): string => `${s.dev}:${s.ino}:${s.size}:${s.mtimeMs}`;

function readRegion({ path, location, identity }: DataFile, offset: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    if (identityOf(fstatSync(file)) !== identity)
      throw new ModelError("external-data", `"${location}" was changed or replaced after the model was read`, {
        hint: "read the model again",
      });
    let done = 0;
    while (done < length) {
      const n = readSync(file, out, done, Math.min(length - done, 2 ** 30), offset + done);
      if (n === 0) throw new Error("the file ended early");
      done += n;
    }
    return out;
  } catch (cause) {
    if (cause instanceof ModelError) throw cause;
    throw new ModelError(
      "external-data",
      `"${location}" cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
