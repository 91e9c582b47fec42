/** Rendered scenes as training data: the locator's picture and jittered crops of the face, with their targets. Kept on disk in blocks. */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { type Progress, throwIfAborted } from "../../../toolkit/graph/progress.js";
import { drawLook, drawMoment } from "../face/drawLook.js";
import { type FaceLabels, labelsOf } from "../face/labels.js";
import { SCENE } from "../face/look.js";
import { FACE_RENDERER_VERSION, renderDriver } from "../face/renderFace.js";
import { sceneSvg } from "../face/sceneSvg.js";
import { type Region, sampleRegion } from "../pipeline/frame.js";
import { CROP, cropAround, cropSampling, LOCATOR, locatorSampling } from "../pipeline/layout.js";
import { randomStream } from "../random.js";

/** Crops of every face, each around a differently misplaced box. */
export const CROPS_PER_FACE = 2;
const JITTER_FAMILY = 1030;
const BLOCK = 64;
const LOCATOR_BYTES = 3 * LOCATOR.width * LOCATOR.height;
const CROP_BYTES = 3 * CROP.side ** 2;
const ITEM_BYTES = LOCATOR_BYTES + CROPS_PER_FACE * CROP_BYTES;
/** Cameras of two kinds, in pixels. */
const WIDTHS = [240, 320] as const;

export interface SceneItem {
  labels: FaceLabels;
  /** In units of the scene, which the locator's picture shows whole. */
  crops: readonly Region[];
}

export interface Scenes {
  readonly count: number;
  item(index: number): SceneItem;
  /** Planes of bytes, [3, height, width]. */
  locatorPixels(index: number): Uint8Array;
  cropPixels(index: number, crop: number): Uint8Array;
}

export interface SceneOptions {
  count: number;
  seed: number;
  /** Family of random streams: one for each part of the data. */
  family: number;
  cacheDir?: string;
  onProgress?: Progress;
  signal?: AbortSignal;
}

/** The box as a detector might give it, and the crop that follows. */
function jittered(labels: FaceLabels, seed: number, family: number, index: number): Region[] {
  const { box } = labels;
  if (!box) return [];
  const random = randomStream(seed, JITTER_FAMILY + family, index);
  return Array.from({ length: CROPS_PER_FACE }, () => {
    const grow = random.between(0.88, 1.15);
    const width = box.width * grow * random.between(0.95, 1.05);
    const height = box.height * grow * random.between(0.95, 1.05);
    return cropAround({
      x: box.x + (box.width - width) / 2 + box.width * random.normal() * 0.04,
      y: box.y + (box.height - height) / 2 + box.height * random.normal() * 0.04,
      width,
      height,
    });
  });
}

/** Everything about an item but its pixels. */
export function sceneItem(seed: number, family: number, index: number): SceneItem {
  const labels = labelsOf(drawLook(seed, family, index), drawMoment(seed, family, index));
  return { labels, crops: jittered(labels, seed, family, index) };
}

const bytesOf = (values: Float32Array): Uint8Array => Uint8Array.from(values, (v) => Math.round(v * 127.5 + 127.5));

async function renderItem(seed: number, family: number, index: number): Promise<Uint8Array> {
  const out = new Uint8Array(ITEM_BYTES);
  const width = WIDTHS[index % WIDTHS.length];
  const frame = await renderDriver(drawLook(seed, family, index), drawMoment(seed, family, index), width);
  const scale = frame.width / SCENE.width;
  const whole = { x: 0, y: 0, width: frame.width, height: frame.height };
  out.set(bytesOf(sampleRegion(frame, whole, locatorSampling)));
  for (const [k, c] of sceneItem(seed, family, index).crops.entries()) {
    const region = { x: c.x * scale, y: c.y * scale, width: c.width * scale, height: c.height * scale };
    out.set(bytesOf(sampleRegion(frame, region, cropSampling)), LOCATOR_BYTES + k * CROP_BYTES);
  }
  return out;
}

/** Changes with anything that changes the pixels. */
function keyOf(seed: number, family: number, block: number): string {
  const { vips, rsvg, mozjpeg } = sharp.versions;
  const example = sceneSvg(drawLook(seed, family, 0), { ...drawMoment(seed, family, 0), present: true }, 9, 9);
  const item = JSON.stringify(sceneItem(seed, family, block * BLOCK));
  const content = [
    FACE_RENDERER_VERSION,
    vips,
    rsvg,
    mozjpeg,
    WIDTHS,
    ITEM_BYTES,
    BLOCK,
    seed,
    family,
    block,
    item,
    example,
  ];
  return createHash("sha256").update(content.join("\n")).digest("hex").slice(0, 24);
}

async function cachedBlock(seed: number, family: number, block: number, folder: string): Promise<Uint8Array> {
  const file = join(folder, `${keyOf(seed, family, block)}.scenes`);
  const known = await readFile(file).catch(() => undefined);
  if (known?.length === BLOCK * ITEM_BYTES) return known;
  const pixels = new Uint8Array(BLOCK * ITEM_BYTES);
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < BLOCK) {
      const i = next++;
      pixels.set(await renderItem(seed, family, block * BLOCK + i), i * ITEM_BYTES);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
  await mkdir(folder, { recursive: true });
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, pixels);
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
  return pixels;
}

/** `drivers` in edgefit's folder of the user's cache (XDG_CACHE_HOME, else ~/.cache). */
export const defaultSceneCache = (): string =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "edgefit", "drivers");

/** Renders scenes, or reads them from the cache. */
export async function openScenes(o: SceneOptions): Promise<Scenes> {
  const blocks: Uint8Array[] = [];
  const total = Math.ceil(o.count / BLOCK);
  for (let b = 0; b < total; b++) {
    throwIfAborted(o.signal);
    blocks.push(await cachedBlock(o.seed, o.family, b, o.cacheDir ?? defaultSceneCache()));
    o.onProgress?.({ stage: "rendering drivers", done: b + 1, total });
  }
  const cut = (index: number, from: number, length: number): Uint8Array => {
    const start = (index % BLOCK) * ITEM_BYTES + from;
    return blocks[Math.floor(index / BLOCK)].subarray(start, start + length);
  };
  return {
    count: o.count,
    item: (index) => sceneItem(o.seed, o.family, index),
    locatorPixels: (index) => cut(index, 0, LOCATOR_BYTES),
    cropPixels: (index, crop) => cut(index, LOCATOR_BYTES + crop * CROP_BYTES, CROP_BYTES),
  };
}
