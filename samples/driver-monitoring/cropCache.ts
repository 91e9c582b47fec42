/** Rendered crops on disk, in blocks of a few hundred: a block is rendered when first read and kept for the next run. */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { DataError } from "../../toolkit/data/errors.js";
import type { EyeAppearance } from "./appearance.js";
import { CROP_BYTES, RENDERER_VERSION, renderEyes, sheetSvg } from "./render.js";

/** `eyes` in edgefit's folder of the user's cache (XDG_CACHE_HOME, else ~/.cache). */
export function defaultCropCache(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "edgefit", "eyes");
}

/** Changes with anything that changes the pixels: the drawing, the camera, the rasteriser's release. */
function keyOf(eyes: readonly EyeAppearance[]): string {
  const { vips, rsvg, mozjpeg } = sharp.versions;
  const content = [RENDERER_VERSION, vips, rsvg, mozjpeg, JSON.stringify(eyes), sheetSvg(eyes.slice(0, 2), 2, 1)];
  return createHash("sha256").update(content.join("\n")).digest("hex").slice(0, 24);
}

const unwritable = (folder: string, cause: unknown): DataError =>
  new DataError("cache-unwritable", `rendered eyes cannot be kept: ${(cause as Error).message}`, {
    where: folder,
    hint: "name a folder that can be written by the option cacheDir or by XDG_CACHE_HOME",
    cause,
  });

/**
 * Pixels of a block of eyes (see `renderEyes`), from the cache folder if they are there. New blocks are written under a
 * temporary name first. Throws DataError `cache-unwritable`.
 */
export async function cachedCrops(eyes: readonly EyeAppearance[], folder: string): Promise<Uint8Array> {
  const file = join(folder, `${keyOf(eyes)}.rgb`);
  const known = await readFile(file).catch(() => undefined);
  if (known?.length === eyes.length * CROP_BYTES) return known;
  const crops = await renderEyes(eyes);
  const temporary = `${file}.${randomUUID()}.tmp`;
  await mkdir(folder, { recursive: true }).catch((cause) => {
    throw unwritable(folder, cause);
  });
  try {
    await writeFile(temporary, crops);
    await rename(temporary, file);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw unwritable(folder, cause);
  }
  return crops;
}
