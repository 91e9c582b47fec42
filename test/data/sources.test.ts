import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { dump } from "npyjs";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  loadDataset,
  loadPreprocessing,
  type Preprocessing,
  parseDataSpec,
  randomBatch,
} from "../../toolkit/data/index.js";
import { hasShared, sharedPath } from "../support/shared.js";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "edgefit-data-"));
});
afterAll(() => rm(root, { recursive: true }));

const plain = (side: number, overrides: Partial<Preprocessing> = {}): Preprocessing => ({
  size: { height: side, width: side },
  rescaleFactor: 1,
  imageMean: [0, 0, 0],
  imageStd: [1, 1, 1],
  channelOrder: "rgb",
  layout: "nchw",
  resample: "bilinear",
  fit: "stretch",
  ...overrides,
});

describe("FORMAT:PATH", () => {
  test.each([
    ["cifar10:a/b", "cifar10", "a/b"],
    ["CIFAR10:a:b", "cifar10", "a:b"],
    ["photos", "imagefolder", "photos"],
    ["C:\\photos", "imagefolder", "C:\\photos"],
    ["D:/x.npz", "npz", "D:/x.npz"],
    ["imagefolder:C:\\x", "imagefolder", "C:\\x"],
    ["x.npy", "npz", "x.npy"],
  ])("%s is %s at %s", (spec, format, path) => {
    expect(parseDataSpec(spec)).toEqual({ format, path });
  });

  test.each([["coco:x"], ["cifar10:"], [""]])("%j is refused", (spec) => {
    expect(() => parseDataSpec(spec)).toThrow(expect.objectContaining({ where: "--data" }));
  });
});

describe("cifar10 sheets", () => {
  const row = (n: number, k: number): Buffer => Buffer.alloc(3072, (7 * n + k) % 251);
  const sheet = (file: string, rows: readonly Buffer[], width = 1024): Promise<unknown> =>
    sharp(Buffer.concat(rows), { raw: { width, height: rows.length, channels: 3 } })
      .png()
      .toFile(join(root, file));

  test("rows and labels of several batches come in order", async () => {
    const first = Buffer.from(Array.from({ length: 3072 }, (_, i) => (i * 7) % 256));
    await sheet("data_batch_1.png", [first, row(1, 0)]);
    await sheet("data_batch_2.png", [row(2, 0), row(2, 1)]);
    await sheet("test_batch.png", [row(9, 0)]);
    await writeFile(join(root, "train_lables.json"), "[1,2,3,4]");
    await writeFile(join(root, "test_lables.json"), "[9]");
    const d = await loadDataset(`cifar10:${root}`, plain(32));
    expect([d.train.count, d.test.count]).toEqual([4, 1]);
    const b = await d.train.batch([3, 0]);
    expect([...b.labels!]).toEqual([4, 1]);
    expect(b.data[0]).toBe(row(2, 1)[0]);
    // Item 0, pixel (y 1, x 2), green.
    expect(b.data[3072 + 1024 + 32 + 2]).toBe(first[3 * 34 + 1]);
    const large = await (await loadDataset(`cifar10:${root}`, plain(48))).test.batch([0]);
    expect(large.dims).toEqual([1, 3, 48, 48]);
    expect(new Set(large.data)).toEqual(new Set([row(9, 0)[0]]));
  });

  test("a wrong label, a wrong count, a wrong width and a missing sheet are named", async () => {
    await writeFile(join(root, "test_lables.json"), "[10]");
    await expect(loadDataset(`cifar10:${root}`, plain(32))).rejects.toMatchObject({ code: "label-range" });
    await writeFile(join(root, "test_lables.json"), "[1,2]");
    await expect(loadDataset(`cifar10:${root}`, plain(32))).rejects.toMatchObject({ code: "labels-count" });
    await sheet("test_batch.png", [Buffer.alloc(96)], 32);
    await expect(loadDataset(`cifar10:${root}`, plain(32))).rejects.toMatchObject({ code: "sheet-size" });
    await rm(join(root, "test_batch.png"));
    await expect(loadDataset(`cifar10:${root}`, plain(32))).rejects.toMatchObject({ code: "data-missing" });
  });

  test.skipIf(!hasShared)("the published sheets hold 10,000 balanced test images", async () => {
    const d = await loadDataset(`cifar10:${sharedPath("data/cifar10")}`, plain(32));
    expect([d.train.count, d.test.count]).toEqual([10000, 10000]);
    const labels = (await d.test.batch(Array.from({ length: 1000 }, (_, i) => i * 10))).labels!;
    expect(Math.max(...labels)).toBe(9);
    const counts = new Array(10).fill(0);
    for (let i = 0; i < 10000; i += 1000) {
      for (const l of (await d.test.batch(Array.from({ length: 1000 }, (_, k) => i + k))).labels!) counts[l]++;
    }
    expect(counts).toEqual(new Array(10).fill(1000));
  });
});

describe("npz", () => {
  const npz = async (name: string, arrays: Record<string, ArrayBuffer>): Promise<string> => {
    const path = join(root, name);
    await writeFile(
      path,
      zipSync(Object.fromEntries(Object.entries(arrays).map(([k, v]) => [`${k}.npy`, new Uint8Array(v)]))),
    );
    return path;
  };
  const labels = (n: number): ArrayBuffer =>
    dump(
      BigInt64Array.from({ length: n }, (_, i) => BigInt(i % 3)),
      [n],
    );

  test("uint8 pixels of both layouts give the same batches", async () => {
    const hwc = Uint8Array.from({ length: 2 * 4 * 4 * 3 }, (_, i) => i);
    const chw = new Uint8Array(hwc.length);
    for (let n = 0; n < 2; n++)
      for (let i = 0; i < 16; i++) for (let c = 0; c < 3; c++) chw[n * 48 + c * 16 + i] = hwc[n * 48 + 3 * i + c];
    const parts = (x: Uint8Array, dims: number[]): Record<string, ArrayBuffer> => ({
      x_train: dump(x, dims),
      y_train: labels(2),
      x_test: dump(x, dims),
      y_test: labels(2),
    });
    const a = await loadDataset(await npz("hwc.npz", parts(hwc, [2, 4, 4, 3])), plain(4));
    const b = await loadDataset(await npz("chw.npz", parts(chw, [2, 3, 4, 4])), plain(4));
    const [x, y] = [await a.train.batch([0, 1]), await b.train.batch([0, 1])];
    expect([...x.data]).toEqual([...chw]);
    expect(y).toEqual(x);
    expect([...x.labels!]).toEqual([0, 1]);
  });

  test("float arrays are used as they are, moved to the model's layout", async () => {
    const x = Float32Array.from({ length: 10 * 12 }, (_, i) => i / 7);
    const path = await npz("float.npz", { x: dump(x, [10, 2, 2, 3]), y: labels(10) });
    const d = await loadDataset(path, plain(2, { rescaleFactor: 9 }));
    expect(d.train.count + d.test.count).toBe(10);
    const first = await d.train.batch([0]);
    const item = first.data[0] / (12 / 7);
    expect(Number.isInteger(Math.round(item * 1e4) / 1e4)).toBe(true);
    expect(first.data[4]).toBeCloseTo(first.data[0] + 1 / 7, 5);
    expect(first.data[1]).toBeCloseTo(first.data[0] + 3 / 7, 5);
    await expect(loadDataset(path, plain(8))).rejects.toMatchObject({ code: "image-size" });
  });

  test("floats in y are targets, a list of whole numbers holds labels", async () => {
    const x = Float32Array.from({ length: 10 * 12 }, (_, i) => Math.floor(i / 12));
    const y = Float32Array.from({ length: 20 }, (_, i) => i / 4);
    const numbers = await loadDataset(
      await npz("targets.npz", { x: dump(x, [10, 3, 2, 2]), y: dump(y, [10, 2]) }),
      plain(2),
    );
    expect(numbers.train.labelled).toBe(false);
    const { data, labels: none, targets } = await numbers.train.batch([1, 0]);
    expect(none).toBeUndefined();
    const items = [data[0], data[12]];
    expect([...targets!.y]).toEqual(items.flatMap((i) => [i / 2, i / 2 + 0.25]));
    const whole = Float32Array.from({ length: 10 }, (_, i) => i % 3);
    const classes = await npz("float-labels.npz", { x: dump(x, [10, 3, 2, 2]), y: dump(whole, [10]) });
    expect((await loadDataset(classes, plain(2))).train.labelled).toBe(true);
  });

  test("odd files are refused by name", async () => {
    await expect(loadDataset(await npz("none.npz", { z: labels(2) }), plain(2))).rejects.toMatchObject({
      code: "arrays-missing",
    });
    await expect(
      loadDataset(await npz("count.npz", { x: dump(new Uint8Array(24), [2, 2, 2, 3]), y: labels(3) }), plain(2)),
    ).rejects.toMatchObject({ code: "labels-count" });
    const short = new Uint8Array(dump(new Float32Array(24), [2, 2, 2, 3])).slice(0, -8);
    await expect(loadDataset(await npz("short.npz", { x: short.buffer }), plain(2))).rejects.toMatchObject({
      code: "array-corrupt",
    });
    await writeFile(join(root, "text.npz"), "hello");
    await expect(loadDataset(join(root, "text.npz"), plain(2))).rejects.toMatchObject({ code: "archive-corrupt" });
    await writeFile(join(root, "text.npy"), "hello");
    await expect(loadDataset(join(root, "text.npy"), plain(2))).rejects.toMatchObject({ code: "array-corrupt" });
  });
});

describe("preprocessing", () => {
  const input = { dims: ["N", 3, 32, 32], elemType: "float32" } as const;
  const config = async (fields: object): Promise<string> => {
    const file = join(root, "preprocessor_config.json");
    await writeFile(file, JSON.stringify(fields));
    return file;
  };

  test("defaults come from the model's input", async () => {
    const { preprocessing: p } = await loadPreprocessing({ input });
    expect(p).toMatchObject({
      size: { height: 32, width: 32 },
      rescaleFactor: 1 / 255,
      imageMean: [0, 0, 0],
      imageStd: [1, 1, 1],
      layout: "nchw",
      channelOrder: "rgb",
    });
    const gray = await loadPreprocessing({ input: { dims: [1, 48, 64, 1], elemType: "float32" } });
    expect(gray.preprocessing).toMatchObject({
      size: { height: 48, width: 64 },
      layout: "nhwc",
      channelOrder: "gray",
      imageMean: [0],
    });
  });

  test("a config beside the model is read, and flags override it", async () => {
    await config({
      size: { shortest_edge: 36 },
      crop_size: 32,
      image_mean: [0.5, 0.4, 0.3],
      image_std: [0.2, 0.2, 0.2],
      resample: 3,
    });
    const { preprocessing: p, source } = await loadPreprocessing({
      modelPath: join(root, "m.onnx"),
      flags: { mean: [0.1] },
      input,
    });
    expect(p).toMatchObject({
      imageMean: [0.1, 0.1, 0.1],
      imageStd: [0.2, 0.2, 0.2],
      resample: "bicubic",
      fit: "crop",
      resizeTo: { shortestEdge: 36 },
    });
    expect(source).toContain("preprocessor_config.json");
    expect(source).toContain("--mean");
  });

  test("switched-off steps do nothing", async () => {
    const file = await config({
      do_rescale: false,
      do_normalize: false,
      image_mean: [1, 1, 1],
      do_resize: false,
      size: 64,
    });
    const { preprocessing: p } = await loadPreprocessing({ file, input });
    expect(p).toMatchObject({ rescaleFactor: 1, imageMean: [0, 0, 0], resizeTo: "none" });
  });

  test.each([
    ["image-size", { size: 224 }, {}, /32x32.*224x224/],
    ["preprocess-mean", { image_mean: [1, 2] }, {}, /2 values.*3 channels/],
    ["preprocess-std", { image_std: [1, 0, 1] }, {}, /0/],
    ["preprocess-resample", { resample: 4 }, {}, /4/],
    ["preprocess-file", { size: "big" }, {}, /size/],
    ["channels-mismatch", {}, { order: "gray" }, /3 channels/],
    ["preprocess-scale", {}, { scale: 0 }, /0/],
  ] as const)("%s is reported for %j with %j", async (code, fields, flags, message) => {
    const file = await config(fields);
    const failure = loadPreprocessing({ file, flags, input });
    await expect(failure).rejects.toMatchObject({ code });
    await expect(failure).rejects.toThrow(message);
  });

  test("inputs that are no float images are refused", async () => {
    await expect(loadPreprocessing({ input: { dims: [1, 3, 8, 8], elemType: "uint8" } })).rejects.toMatchObject({
      code: "input-type",
    });
    await expect(loadPreprocessing({ input: { dims: [1, 10], elemType: "float32" } })).rejects.toMatchObject({
      code: "input-rank",
    });
    await expect(loadPreprocessing({ input: { dims: [1, 3, "h", "w"], elemType: "float32" } })).rejects.toMatchObject({
      code: "image-size",
    });
  });
});

test("noise is standard normal and follows its seed", () => {
  const a = randomBatch([1, 3, 50, 50], 1);
  expect(randomBatch([1, 3, 50, 50], 1)).toEqual(a);
  expect(randomBatch([1, 3, 50, 50], 2).data[0]).not.toBe(a.data[0]);
  const mean = a.data.reduce((s, v) => s + v, 0) / a.data.length;
  const variance = a.data.reduce((s, v) => s + (v - mean) ** 2, 0) / a.data.length;
  expect(Math.abs(mean)).toBeLessThan(0.05);
  expect(Math.abs(variance - 1)).toBeLessThan(0.05);
});
