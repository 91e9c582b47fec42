/** Image files as frames, upright. */
import { readFile } from "node:fs/promises";
import sharp from "sharp";
import { DataError } from "../../../toolkit/data/index.js";
import type { Frame } from "../pipeline/frame.js";

/** Known image files. */
export const isImageFile = (name: string): boolean => /\.(jpe?g|png|webp|avif|gif|tiff?|bmp)$/i.test(name);

async function decodeBmp(path: string): Promise<Frame> {
  const { decode } = await import("fast-bmp");
  const image = decode(await readFile(path));
  const { width, height, channels, bitsPerPixel } = image;
  const data = image.data as Uint8Array;
  if (bitsPerPixel < 8) throw new Error(`a BMP of ${bitsPerPixel} bit per pixel is not supported`);
  const rgb = new Uint8Array(width * height * 3);
  for (let p = 0; p < width * height; p++)
    for (let c = 0; c < 3; c++) rgb[3 * p + c] = data[p * channels + (channels < 3 ? 0 : c)];
  return { data: rgb, width, height, channels: 3 };
}

async function decodeOther(path: string): Promise<Frame> {
  const { data, info } = await sharp(path, { failOn: "error" })
    .autoOrient()
    .toColourspace("srgb")
    .ensureAlpha()
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: 4 };
}

/** Decodes an image. Throws DataError `image-unreadable` with the decoder's reason. */
export async function readPicture(path: string): Promise<Frame> {
  try {
    return await (/\.bmp$/i.test(path) ? decodeBmp(path) : decodeOther(path));
  } catch (cause) {
    throw new DataError("image-unreadable", `the image cannot be decoded: ${(cause as Error).message.trim()}`, {
      where: path,
      cause,
    });
  }
}
