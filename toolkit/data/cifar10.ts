/**
 * CIFAR-10 as lossless PNG sheets: 1024 pixels wide, one row per image, the row being the 32x32 image in row-major RGB;
 * labels as JSON arrays. Train is every data_batch_N.png that is present, test is test_batch.png.
 */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Dataset, Preprocessing, Split } from "./dataset.js";
import { decodeRaw, resizeRaw } from "./decode.js";
import { DataError } from "./errors.js";
import { imageSplit } from "./split.js";

const SIDE = 32;
const ROW_BYTES = SIDE * SIDE * 3;

export const cifar10Classes = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
] as const;

interface Sheet {
  pixels: Uint8Array;
  labels: Int32Array;
}

/** Reads the sheets once and keeps their bytes (30 MB per 10,000 images). Throws DataError naming the missing or odd file. */
export async function loadCifar10(path: string, p: Preprocessing, name: string): Promise<Dataset> {
  const files = await readdir(path).catch((cause) => {
    throw new DataError("data-unreadable", "the folder cannot be read", {
      where: path,
      cause,
      hint: "check the path given to --data",
    });
  });
  const batches = files.filter((f) => /^data_batch_\d+\.png$/.test(f)).sort((a, b) => batchNumber(a) - batchNumber(b));
  if (batches.length === 0) throw missing(path, "data_batch_1.png");
  if (!files.includes("test_batch.png")) throw missing(path, "test_batch.png");
  const train = await Promise.all(batches.map((f) => readSheet(path, f)));
  const test = await readSheet(path, "test_batch.png");
  return {
    name,
    classes: cifar10Classes,
    train: sheetSplit(train, p),
    test: sheetSplit([test], p),
    skipped: [],
  };
}

const batchNumber = (file: string): number => Number(/\d+/.exec(file)![0]);

const missing = (path: string, file: string): DataError =>
  new DataError("data-missing", `the folder holds no ${file}`, {
    where: path,
    hint: "cifar10: reads data_batch_N.png and test_batch.png, 1024 pixels wide with one image per row, and their labels as JSON",
  });

async function readSheet(folder: string, file: string): Promise<Sheet> {
  const where = join(folder, file);
  const image = await decodeRaw(where).catch((cause) => {
    throw new DataError("image-corrupt", `the sheet cannot be decoded: ${(cause as Error).message}`, { where, cause });
  });
  if (image.width !== SIDE * SIDE) {
    throw new DataError(
      "sheet-size",
      `the sheet is ${image.width} pixels wide, expected 1024 (one 32x32 image per row)`,
      { where },
    );
  }
  return { pixels: image.data, labels: await readLabels(folder, file, image.height) };
}

async function readLabels(folder: string, file: string, count: number): Promise<Int32Array> {
  const base = file.replace(/\.png$/, "");
  // The published package spells "labels" both ways; the file of all training labels serves batches without one of their own.
  const own =
    base === "test_batch" ? ["test_labels.json", "test_lables.json"] : [`${base}_labels.json`, `${base}_lables.json`];
  const shared = base === "test_batch" ? [] : ["train_labels.json", "train_lables.json"];
  const chosen = [...own, ...shared].find((f) => existsSync(join(folder, f)));
  if (!chosen) throw missing(folder, own[0]);
  const where = join(folder, chosen);
  let values: unknown;
  try {
    values = JSON.parse(await readFile(where, "utf8"));
  } catch (cause) {
    throw new DataError("labels-unreadable", "the labels are not a JSON array", { where, cause });
  }
  const offset = shared.includes(chosen) ? (batchNumber(file) - 1) * count : 0;
  if (!Array.isArray(values) || values.length < offset + count || (own.includes(chosen) && values.length !== count)) {
    const found = Array.isArray(values) ? values.length : 0;
    throw new DataError("labels-count", `the file holds ${found} labels for ${offset + count} images`, { where });
  }
  return Int32Array.from(values.slice(offset, offset + count), (v: unknown, i) => {
    if (!Number.isInteger(v) || (v as number) < 0 || (v as number) >= cifar10Classes.length) {
      throw new DataError(
        "label-range",
        `label ${offset + i} is ${JSON.stringify(v)}, expected a whole number from 0 to 9`,
        { where },
      );
    }
    return v as number;
  });
}

function sheetSplit(sheets: readonly Sheet[], p: Preprocessing): Split {
  const starts: number[] = [];
  let count = 0;
  for (const s of sheets) {
    starts.push(count);
    count += s.labels.length;
  }
  const labels = new Int32Array(count);
  sheets.forEach((s, k) => {
    labels.set(s.labels, starts[k]);
  });
  const pixels = (item: number): Promise<Uint8Array> => {
    let k = starts.length - 1;
    while (starts[k] > item) k--;
    const row = item - starts[k];
    const data = sheets[k].pixels.subarray(row * ROW_BYTES, (row + 1) * ROW_BYTES);
    return resizeRaw({ data, height: SIDE, width: SIDE }, p);
  };
  return imageSplit(count, pixels, p, labels);
}
