/** The only place that decodes and resamples images. sharp is loaded on first use, so that a device without it can still run models. */
import { readFile } from "node:fs/promises";
import type { Sharp } from "sharp";
import type { Preprocessing } from "./dataset.js";
import { DataError } from "./errors.js";

const kernels = { nearest: "nearest", bilinear: "linear", bicubic: "cubic", lanczos: "lanczos3" } as const;

let loading: Promise<typeof import("sharp").default> | undefined;

async function sharpModule(): Promise<typeof import("sharp").default> {
  loading ??= import("sharp").then((m) => m.default);
  try {
    return await loading;
  } catch (cause) {
    throw new DataError("decoder-missing", "the image decoder (sharp) could not be loaded", {
      hint: "reinstall the dependencies for this platform: npm install sharp",
      cause,
    });
  }
}

/** Raw bytes of a decoded image: 8 bits, RGB, row-major. */
export interface RawImage {
  data: Uint8Array;
  height: number;
  width: number;
}

async function toRgb(image: Sharp): Promise<RawImage> {
  // sRGB brings 16-bit and CMYK files to 8-bit RGB; alpha is dropped, not blended, as PIL's convert("RGB") does.
  const { data, info } = await image
    .removeAlpha()
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  if (info.channels === 3) return { data, height: info.height, width: info.width };
  if (info.channels !== 1) throw new Error(`decoded to ${info.channels} channels`);
  const rgb = new Uint8Array(info.height * info.width * 3);
  for (let i = 0; i < data.length; i++) rgb.fill(data[i], 3 * i, 3 * i + 3);
  return { data: rgb, height: info.height, width: info.width };
}

/** BMP is the one common format that sharp's prebuilt libraries lack. */
async function decodeBmp(path: string): Promise<RawImage> {
  const { decode } = await import("fast-bmp");
  const image = decode(await readFile(path));
  const { width, height, channels } = image;
  const pixels = image.data as Uint8Array;
  if (image.bitsPerPixel < 8) throw new Error(`a BMP of ${image.bitsPerPixel} bit per pixel is not supported`);
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data[3 * i + c] = pixels[i * channels + (channels < 3 ? 0 : c)];
  }
  return { data, height, width };
}

const isBmp = (path: string): boolean => /\.bmp$/i.test(path);

/** Decodes a file as it is, without turning or scaling. Throws the decoder's own error. */
export async function decodeRaw(path: string): Promise<RawImage> {
  const sharp = await sharpModule();
  return toRgb(sharp(path, { failOn: "error", limitInputPixels: false }));
}

/**
 * Decodes a file, turns it upright by its EXIF tag and brings it to the model's size. It is decoded at full size first:
 * shrinking while decoding, as JPEG allows, would blend pixels differently from one format to another.
 */
export async function decodeFile(path: string, p: Preprocessing): Promise<Uint8Array> {
  if (isBmp(path)) return resizeRaw(await decodeBmp(path), p);
  const sharp = await sharpModule();
  return resizeRaw(await toRgb(sharp(path, { failOn: "error" }).autoOrient()), p);
}

/** Brings decoded pixels to the model's size: resize, then centre crop where `p.fit` is `crop`. */
export async function resizeRaw(image: RawImage, p: Preprocessing): Promise<Uint8Array> {
  const { height, width } = p.size;
  const before = sizeBeforeCrop(image, p);
  let current = image;
  if (before.height !== image.height || before.width !== image.width) {
    const sharp = await sharpModule();
    const resized = await sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } })
      .resize(before.width, before.height, { fit: "fill", kernel: kernels[p.resample] })
      .raw()
      .toBuffer();
    current = { data: resized, height: before.height, width: before.width };
  }
  if (current.height === height && current.width === width) return current.data;
  return cropCentre(current, height, width);
}

function sizeBeforeCrop(image: RawImage, p: Preprocessing): { height: number; width: number } {
  if (p.resizeTo === "none") return image;
  if (p.fit === "stretch") return p.size;
  if (p.resizeTo && "height" in p.resizeTo) return p.resizeTo;
  const scale = p.resizeTo
    ? p.resizeTo.shortestEdge / Math.min(image.height, image.width)
    : Math.max(p.size.height / image.height, p.size.width / image.width);
  return { height: Math.max(1, Math.round(image.height * scale)), width: Math.max(1, Math.round(image.width * scale)) };
}

function cropCentre(image: RawImage, height: number, width: number): Uint8Array {
  if (image.height < height || image.width < width) {
    throw new Error(`is ${image.width}x${image.height}, smaller than the ${width}x${height} that the model reads`);
  }
  const top = (image.height - height) >> 1;
  const left = (image.width - width) >> 1;
  const out = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 3;
    out.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return out;
}
