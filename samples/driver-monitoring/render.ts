/**
 * Renders eye crops: appearances in, 32x32 RGB bytes out. Many eyes share one SVG sheet, because starting the rasteriser
 * costs more than drawing an eye. An eye's neighbours on the sheet change it by no more than the rasteriser's rounding.
 */
import sharp from "sharp";
import { CROP_SIDE, type EyeAppearance } from "./appearance.js";
import { takePicture } from "./camera.js";
import { eyeSvg } from "./eyeSvg.js";

/** Crops are drawn this many times larger and averaged down. */
const OVERSAMPLING = 3;
/** Eyes per row and column of a sheet. */
const SHEET_CELLS = 8;
const CROP_UNITS = 96;

/** Raised with every change to what the camera does; changes to the drawing are noticed by themselves. */
export const RENDERER_VERSION = 1;

/** Bytes of one crop: RGB, row-major. */
export const CROP_BYTES = CROP_SIDE * CROP_SIDE * 3;

/** A picture as raw RGB. */
export interface RawPicture {
  pixels: Uint8Array;
  width: number;
  height: number;
}

/** One SVG document with the eyes in rows of `columns`, each `pixels` wide and high. */
export function sheetSvg(eyes: readonly EyeAppearance[], columns: number, pixels: number): string {
  const half = CROP_UNITS / 2;
  const cells = eyes.map((eye, i) => {
    const place = `x="${(i % columns) * pixels}" y="${Math.floor(i / columns) * pixels}" width="${pixels}" height="${pixels}"`;
    return `<svg ${place} viewBox="${-half} ${-half} ${CROP_UNITS} ${CROP_UNITS}">${eyeSvg(eye, `e${i}`)}</svg>`;
  });
  const [width, height] = [columns * pixels, Math.ceil(eyes.length / columns) * pixels];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${cells.join("")}</svg>`;
}

/** Rasterises eyes without any camera effect, `pixels` a side, in rows of `columns`: what the drawing itself looks like. */
export async function renderSheet(
  eyes: readonly EyeAppearance[],
  columns: number,
  pixels: number,
): Promise<RawPicture> {
  const { data, info } = await sharp(Buffer.from(sheetSvg(eyes, columns, pixels)))
    .flatten()
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  if (info.channels === 3) return { pixels: data, width: info.width, height: info.height };
  const rgb = new Uint8Array(info.width * info.height * 3);
  for (let p = 0; p < info.width * info.height; p++)
    for (let c = 0; c < 3; c++) rgb[p * 3 + c] = data[p * info.channels + (info.channels < 3 ? 0 : c)];
  return { pixels: rgb, width: info.width, height: info.height };
}

/** Mean of OVERSAMPLING x OVERSAMPLING blocks of one cell of the sheet. */
function cellOf(sheet: RawPicture, left: number, top: number): Float32Array {
  const out = new Float32Array(CROP_BYTES);
  const area = OVERSAMPLING * OVERSAMPLING;
  for (let y = 0; y < CROP_SIDE * OVERSAMPLING; y++) {
    for (let x = 0; x < CROP_SIDE * OVERSAMPLING; x++) {
      const from = ((top + y) * sheet.width + left + x) * 3;
      const to = (Math.floor(y / OVERSAMPLING) * CROP_SIDE + Math.floor(x / OVERSAMPLING)) * 3;
      for (let c = 0; c < 3; c++) out[to + c] += sheet.pixels[from + c] / area;
    }
  }
  return out;
}

/** Compresses the crops as tall JPEG strips, one per quality. Blocks of 8 pixels divide a crop, so neighbours do not mix. */
async function compress(crops: Uint8Array, eyes: readonly EyeAppearance[]): Promise<void> {
  const byQuality = new Map<number, number[]>();
  eyes.forEach((eye, i) => {
    const { jpegQuality } = eye.camera;
    if (jpegQuality > 0) byQuality.set(jpegQuality, [...(byQuality.get(jpegQuality) ?? []), i]);
  });
  for (const [quality, members] of byQuality) {
    const strip = new Uint8Array(members.length * CROP_BYTES);
    members.forEach((eye, i) => {
      strip.set(crops.subarray(eye * CROP_BYTES, (eye + 1) * CROP_BYTES), i * CROP_BYTES);
    });
    const jpeg = await sharp(strip, { raw: { width: CROP_SIDE, height: CROP_SIDE * members.length, channels: 3 } })
      .jpeg({ quality, chromaSubsampling: "4:4:4" })
      .toBuffer();
    const decoded = await sharp(jpeg).raw().toBuffer();
    members.forEach((eye, i) => {
      crops.set(decoded.subarray(i * CROP_BYTES, (i + 1) * CROP_BYTES), eye * CROP_BYTES);
    });
  }
}

async function renderOneSheet(eyes: readonly EyeAppearance[]): Promise<Uint8Array> {
  const cell = CROP_SIDE * OVERSAMPLING;
  const sheet = await renderSheet(eyes, SHEET_CELLS, cell);
  const crops = new Uint8Array(eyes.length * CROP_BYTES);
  eyes.forEach((eye, i) => {
    const clean = cellOf(sheet, (i % SHEET_CELLS) * cell, Math.floor(i / SHEET_CELLS) * cell);
    crops.set(takePicture(clean, CROP_SIDE, eye.camera, eye.detail), i * CROP_BYTES);
  });
  await compress(crops, eyes);
  return crops;
}

/**
 * Renders the eyes as the camera sees them.
 *
 * @returns `eyes.length` x 32 x 32 x 3 bytes (RGB). The same list gives the same bytes on the same sharp release.
 */
export async function renderEyes(eyes: readonly EyeAppearance[]): Promise<Uint8Array> {
  const perSheet = SHEET_CELLS * SHEET_CELLS;
  const out = new Uint8Array(eyes.length * CROP_BYTES);
  let next = 0;
  const worker = async () => {
    while (next < eyes.length) {
      const start = next;
      next += perSheet;
      out.set(await renderOneSheet(eyes.slice(start, start + perSheet)), start * CROP_BYTES);
    }
  };
  // The rasteriser runs on pool threads; meanwhile this thread applies the camera to finished sheets.
  await Promise.all([worker(), worker(), worker()]);
  return out;
}
