/**
 * Bytes by the hash of their content: how models, inputs, data and answers travel between machines. A queue holds hashes only.
 * What comes out of a store is hashed again, so that neither a damaged disk nor a wrong server goes unnoticed.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { DeviceError } from "../errors.js";

/** SHA-256 as 64 lower-case hexadecimal digits. */
export const hashSchema = z.string().regex(/^[0-9a-f]{64}$/, "no SHA-256 in hexadecimal digits");

export interface BlobStore {
  /** Keeps the bytes and returns their hash. Keeping the same bytes twice is the same as once. */
  put(bytes: Uint8Array): Promise<string>;
  /** Throws DeviceError `blob-missing` where the store does not have it, `blob-damaged` where the bytes are not those of the hash. */
  get(hash: string): Promise<Uint8Array>;
}

export const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export function checked(hash: string, bytes: Uint8Array, where: string): Uint8Array {
  if (hashOf(bytes) === hash) return bytes;
  throw new DeviceError("blob-damaged", `the bytes kept as ${hash.slice(0, 12)} are not the ones that were put there`, {
    where,
  });
}

export const missing = (hash: string, where: string, cause?: unknown): DeviceError =>
  new DeviceError("blob-missing", `no bytes are kept as ${hash.slice(0, 12)}`, { where, cause });

/** A folder, of this machine or shared by several: one file per blob, written whole or not at all. */
export function folderBlobs(folder: string): BlobStore {
  const fileOf = (hash: string) => join(folder, hashSchema.parse(hash));
  return {
    async put(bytes) {
      const hash = hashOf(bytes);
      const known = await readFile(fileOf(hash)).catch(() => undefined);
      if (known && hashOf(known) === hash) return hash;
      await mkdir(folder, { recursive: true });
      const scratch = join(folder, `.${hash}.${randomBytes(6).toString("hex")}`);
      try {
        await writeFile(scratch, bytes);
        await rename(scratch, fileOf(hash));
      } finally {
        await rm(scratch, { force: true });
      }
      return hash;
    },
    async get(hash) {
      const bytes = await readFile(fileOf(hash)).catch((cause) => {
        throw missing(hash, folder, cause);
      });
      return checked(hash, bytes, folder);
    },
  };
}

/** Keeps what was put or got in memory, up to `limitBytes`, oldest use out first: a model is fetched once per worker, not once per job. */
export function cachedBlobs(store: BlobStore, limitBytes = 256 * 2 ** 20): BlobStore {
  const kept = new Map<string, Uint8Array>();
  let size = 0;
  const keep = (hash: string, bytes: Uint8Array): void => {
    if (kept.delete(hash)) size -= bytes.length;
    if (bytes.length > limitBytes) return;
    kept.set(hash, bytes);
    size += bytes.length;
    for (const [oldest, old] of kept) {
      if (size <= limitBytes) break;
      kept.delete(oldest);
      size -= old.length;
    }
  };
  return {
    async put(bytes) {
      const hash = hashOf(bytes);
      if (!kept.has(hash)) await store.put(bytes);
      keep(hash, bytes);
      return hash;
    },
    async get(hash) {
      const bytes = kept.get(hash) ?? (await store.get(hash));
      keep(hash, bytes);
      return bytes;
    },
  };
}
