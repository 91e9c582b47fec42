/** Folders of images: with train and test parts, with one folder per class, or flat and without labels. */
import { readdir } from "node:fs/promises";
import { extname, join } from "node:path";
import type { Progress } from "../graph/progress.js";
import { throwIfAborted } from "../graph/progress.js";
import type { Dataset, Preprocessing, Split } from "./dataset.js";
import { decodeFile } from "./decode.js";
import { DataError } from "./errors.js";
import { splitByName } from "./random.js";
import { imageSplit, mapBounded } from "./split.js";

/** Known image files. What the decoder cannot read among them (HEIC, for one) is reported as skipped, never passed over in silence. */
const extensions = new Set([
  ".jpg",
  ".jpeg",
  ".png",
  ".webp",
  ".gif",
  ".tif",
  ".tiff",
  ".avif",
  ".bmp",
  ".heic",
  ".heif",
  ".jxl",
  ".ppm",
  ".pgm",
]);
const trainNames = ["train", "training"];
const testNames = ["test", "val", "valid", "validation"];

/** Share of undecodable images above which a folder is refused. */
const MAX_CORRUPT = 0.05;

/** Decoded pixels that are kept in memory; images beyond it are decoded again at each use. */
const CACHE_BYTES = 512 * 2 ** 20;

export interface FolderOptions {
  /** At most this many images of each part, evenly spread over the sorted list. Default: all. */
  limit?: { train?: number; test?: number };
  progress?: Progress;
  signal?: AbortSignal;
}

interface Item {
  /** Relative to the data set's folder, with forward slashes: stable across systems. */
  name: string;
  path: string;
  className?: string;
}

/**
 * Loads PATH/{train,test|val}/CLASS/*, PATH/CLASS/* (split 80 to 20 by a hash of the names) or PATH/* (the same, without
 * labels). Class indices follow the sorted folder names of the training part. Every image is decoded once here, so that
 * corrupt ones are known by name before anything is computed; above 5 % of them it throws DataError.
 */
export async function loadImageFolder(
  path: string,
  p: Preprocessing,
  name: string,
  o: FolderOptions = {},
): Promise<Dataset> {
  const parts = await findParts(path);
  let { train, test } = parts;
  const classes = classesOf(train, test, path);
  train = spread(train, o.limit?.train);
  test = spread(test, o.limit?.test);
  const all = [...train, ...test];
  const skipped: { item: string; reason: string }[] = [];
  const decoded = new Map<Item, Uint8Array | null>();
  let cached = 0;
  let done = 0;
  await mapBounded(all, async (item) => {
    throwIfAborted(o.signal);
    try {
      const pixels = await decodeFile(item.path, p);
      const keep = cached + pixels.length <= CACHE_BYTES;
      if (keep) cached += pixels.length;
      decoded.set(item, keep ? pixels : null);
    } catch (e) {
      if (e instanceof DataError) throw e;
      skipped.push({ item: item.name, reason: (e as Error).message.split("\n")[0] });
    }
    o.progress?.({ stage: "decoding images", done: ++done, total: all.length });
  });
  skipped.sort((a, b) => (a.item < b.item ? -1 : 1));
  if (skipped.length > MAX_CORRUPT * all.length) {
    throw new DataError(
      "images-corrupt",
      `${skipped.length} of ${all.length} images cannot be used, first ${skipped[0].item}: ${skipped[0].reason}`,
      {
        where: path,
        hint: "repair, convert or remove them; up to 5 % are skipped",
      },
    );
  }
  const split = (items: readonly Item[]): Split => {
    const usable = items.filter((i) => decoded.has(i));
    const labels = classes ? Int32Array.from(usable, (i) => classes.indexOf(i.className!)) : undefined;
    return imageSplit(usable.length, (k) => decoded.get(usable[k]) ?? decodeFile(usable[k].path, p), p, labels);
  };
  const dataset: Dataset = { name, train: split(train), test: split(test), skipped };
  if (dataset.train.count === 0 || dataset.test.count === 0) {
    throw new DataError(
      "data-empty",
      `no usable image is left in the ${dataset.train.count === 0 ? "training" : "test"} part`,
      { where: path },
    );
  }
  return classes ? { ...dataset, classes } : dataset;
}

async function findParts(path: string): Promise<{ train: Item[]; test: Item[] }> {
  const folders = (await list(path)).filter((e) => e.isDirectory()).map((e) => e.name);
  const named = (names: readonly string[]): string | undefined =>
    names.map((n) => folders.find((f) => f.toLowerCase() === n)).find((f) => f !== undefined);
  const trainFolder = named(trainNames);
  const testFolder = named(testNames);
  if (trainFolder && testFolder) {
    const [train, test] = [await itemsOf(path, trainFolder), await itemsOf(path, testFolder)];
    for (const [items, folder] of [
      [train, trainFolder],
      [test, testFolder],
    ] as const) {
      if (items.length === 0) throw empty(join(path, folder));
    }
    return { train, test };
  }
  const items = await itemsOf(path, "");
  if (items.length === 0) throw empty(path);
  if (items.length === 1) {
    throw new DataError("data-small", "the folder holds one image; calibration and test need one each", {
      where: path,
    });
  }
  return splitByName(items, (i) => i.name);
}

const empty = (where: string): DataError =>
  new DataError("data-empty", "the folder holds no images", {
    where,
    hint: "expected PATH/train/CLASS/*.jpg with PATH/test/CLASS/*.jpg, or PATH/CLASS/*.jpg, or PATH/*.jpg",
  });

const list = (path: string) =>
  readdir(path, { withFileTypes: true }).catch((cause) => {
    throw new DataError("data-unreadable", "the folder cannot be read", {
      where: path,
      cause,
      hint: "check the path given to --data",
    });
  });

const isImage = (file: string): boolean => !file.startsWith(".") && extensions.has(extname(file).toLowerCase());
const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

async function itemsOf(root: string, part: string): Promise<Item[]> {
  const folder = join(root, part);
  const entries = await list(folder);
  const flat = entries.filter((e) => !e.isDirectory() && isImage(e.name)).map((e) => e.name);
  const items: Item[] = [];
  for (const directory of entries.filter((e) => e.isDirectory() && !e.name.startsWith("."))) {
    const inside = await readdir(join(folder, directory.name), { recursive: true });
    for (const file of inside.filter((f) => isImage(f.split(/[\\/]/).at(-1)!))) {
      const relative = [part, directory.name, ...file.split(/[\\/]/)].filter(Boolean);
      items.push({ name: relative.join("/"), path: join(root, ...relative), className: directory.name });
    }
  }
  if (flat.length > 0 && items.length > 0) {
    throw new DataError(
      "data-mixed",
      `the folder holds class folders and also ${flat.length} images outside them, first ${flat.sort()[0]}`,
      {
        where: folder,
        hint: "move them into a class folder or out of the data set",
      },
    );
  }
  items.push(...flat.map((f) => ({ name: [part, f].filter(Boolean).join("/"), path: join(folder, f) })));
  return items.sort((a, b) => byCodeUnits(a.name, b.name));
}

function classesOf(train: readonly Item[], test: readonly Item[], path: string): string[] | undefined {
  const names = (items: readonly Item[]): string[] =>
    [...new Set(items.flatMap((i) => i.className ?? []))].sort(byCodeUnits);
  const classes = names(train);
  const testClasses = names(test);
  if ((classes.length === 0) !== (testClasses.length === 0)) {
    throw new DataError("labels-missing", "only one of the two parts has class folders", { where: path });
  }
  if (classes.length === 0) return undefined;
  // A split by hash may put a small class wholly on the test side; its name still counts. Given parts must agree.
  const strange = testClasses.filter((c) => !classes.includes(c));
  if (strange.length > 0 && test.some((i) => testNames.includes(i.name.split("/")[0].toLowerCase()))) {
    throw new DataError(
      "labels-missing",
      `the test part has the class "${strange[0]}", which the training part lacks`,
      {
        where: path,
        hint: `training has ${classes.join(", ")}`,
      },
    );
  }
  return [...classes, ...strange].sort(byCodeUnits);
}

/** Keeps `limit` items, evenly spread, so that a limited part still holds every class. */
function spread(items: Item[], limit: number | undefined): Item[] {
  if (limit === undefined || limit >= items.length) return items;
  return Array.from({ length: limit }, (_, k) => items[Math.floor((k * items.length) / limit)]);
}
