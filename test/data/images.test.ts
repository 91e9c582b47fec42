import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { encode } from "fast-bmp";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadDataset, type Preprocessing } from "../../toolkit/data/index.js";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "edgefit-data-"));
});
afterAll(() => rm(root, { recursive: true }));

const raw = (overrides: Partial<Preprocessing> = {}): Preprocessing => ({
  size: { height: 4, width: 4 },
  rescaleFactor: 1,
  imageMean: [0, 0, 0],
  imageStd: [1, 1, 1],
  channelOrder: "rgb",
  layout: "nchw",
  resample: "nearest",
  fit: "stretch",
  ...overrides,
});

async function solid(path: string, color: [number, number, number], size = 4): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const pixels = Buffer.alloc(size * size * 3);
  for (let i = 0; i < pixels.length; i++) pixels[i] = color[i % 3];
  await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .png()
    .toFile(path);
}

/** One folder per test; the first image of each split is what most of them look at. */
const folder = (name: string): string => join(root, name);

describe("image folders", () => {
  test("train and val parts give class indices by sorted folder name", async () => {
    const at = folder("parts");
    await solid(join(at, "train/dog/a.png"), [1, 2, 3]);
    await solid(join(at, "train/cat/b.png"), [4, 5, 6]);
    await solid(join(at, "val/dog/c.png"), [7, 8, 9]);
    const d = await loadDataset(`imagefolder:${at}`, raw());
    expect(d.classes).toEqual(["cat", "dog"]);
    const batch = await d.train.batch([1, 0]);
    expect(batch.dims).toEqual([2, 3, 4, 4]);
    expect([...batch.labels!]).toEqual([1, 0]);
    expect(batch.data[0]).toBe(1);
    expect(batch.data[16]).toBe(2);
    expect(batch.data[48]).toBe(4);
    expect([...(await d.test.batch([0])).labels!]).toEqual([1]);
  });

  test("class folders without parts are split by name, stably, with nothing in both parts", async () => {
    const at = folder("hash");
    for (let i = 0; i < 40; i++) await solid(join(at, `c${i % 2}/${i}.png`), [i, 0, 0]);
    const first = await loadDataset(at, raw());
    expect(first.train.count + first.test.count).toBe(40);
    expect(first.test.count).toBeGreaterThan(1);
    expect(first.test.count).toBeLessThan(20);
    const reds = async (s: typeof first.train): Promise<number[]> => {
      const b = await s.batch(Array.from({ length: s.count }, (_, i) => i));
      return Array.from({ length: s.count }, (_, i) => b.data[i * 48]);
    };
    const [train, held] = [await reds(first.train), await reds(first.test)];
    expect(new Set([...train, ...held]).size).toBe(40);
    await solid(join(at, "c0/extra.png"), [99, 0, 0]);
    const second = await loadDataset(at, raw());
    expect((await reds(second.test)).filter((r) => r !== 99)).toEqual(held);
  });

  test("a flat folder is unlabelled", async () => {
    const at = folder("flat");
    for (let i = 0; i < 6; i++) await solid(join(at, `${i}.png`), [i, i, i]);
    const d = await loadDataset(at, raw());
    expect(d.train.labelled).toBe(false);
    expect(d.classes).toBeUndefined();
    expect((await d.train.batch([0])).labels).toBeUndefined();
  });

  test("bgr, nhwc and normalisation change numbers and places as they say", async () => {
    const at = folder("order");
    for (let i = 0; i < 4; i++) await solid(join(at, `${i}.png`), [10, 20, 30]);
    const p = raw({
      channelOrder: "bgr",
      layout: "nhwc",
      imageMean: [1, 2, 3],
      imageStd: [2, 2, 2],
      rescaleFactor: 0.5,
    });
    const b = await (await loadDataset(at, p)).train.batch([0]);
    expect(b.dims).toEqual([1, 4, 4, 3]);
    expect([...b.data.subarray(0, 3)]).toEqual([(15 - 1) / 2, (10 - 2) / 2, (5 - 3) / 2]);
    const gray = raw({ channelOrder: "gray", imageMean: [0], imageStd: [1] });
    const g = await (await loadDataset(at, gray)).train.batch([0]);
    expect(g.dims).toEqual([1, 1, 4, 4]);
    expect(g.data[0]).toBe(Math.round(0.299 * 10 + 0.587 * 20 + 0.114 * 30));
  });

  test("grey, 16-bit and transparent files become 8-bit RGB", async () => {
    const at = folder("kinds");
    await mkdir(at);
    const gray = Buffer.alloc(16, 77);
    await sharp(gray, { raw: { width: 4, height: 4, channels: 1 } })
      .toColourspace("b-w")
      .png()
      .toFile(join(at, "a-gray.png"));
    const deep = new Uint16Array(48).fill(0x8080);
    await sharp(deep, { raw: { width: 4, height: 4, channels: 3 } })
      .toColourspace("rgb16")
      .png()
      .toFile(join(at, "b-deep.png"));
    const deepGray = new Uint16Array(16).fill(0x4040);
    await sharp(deepGray, { raw: { width: 4, height: 4, channels: 1 } })
      .toColourspace("grey16")
      .png()
      .toFile(join(at, "c-deep-gray.png"));
    const clear = Buffer.from(Array.from({ length: 16 }, () => [5, 6, 7, 0]).flat());
    await sharp(clear, { raw: { width: 4, height: 4, channels: 4 } })
      .png()
      .toFile(join(at, "d-alpha.png"));
    expect((await sharp(join(at, "b-deep.png")).metadata()).depth).toBe("ushort");
    expect((await sharp(join(at, "a-gray.png")).metadata()).channels).toBe(1);
    const seen: number[][] = [];
    const d = await loadDataset(at, raw());
    for (const s of [d.train, d.test]) {
      const b = await s.batch(Array.from({ length: s.count }, (_, i) => i));
      for (let i = 0; i < s.count; i++) seen.push([b.data[i * 48], b.data[i * 48 + 16], b.data[i * 48 + 32]]);
    }
    expect(seen.sort((a, b) => a[0] - b[0])).toEqual([
      [5, 6, 7],
      [64, 64, 64],
      [77, 77, 77],
      [128, 128, 128],
    ]);
  });

  test("BMP files are read like others", async () => {
    const at = folder("bmp");
    await mkdir(at);
    const data = Uint8Array.from({ length: 48 }, (_, i) => i);
    const bytes = encode({ width: 4, height: 4, channels: 3, components: 3, bitsPerPixel: 24, data });
    for (const n of ["a", "b"]) await writeFile(join(at, `${n}.bmp`), bytes);
    const b = await (await loadDataset(at, raw({ layout: "nhwc" }))).train.batch([0]);
    expect([...b.data]).toEqual([...data]);
  });

  test("a file turned by EXIF is read upright", async () => {
    const at = folder("exif");
    await mkdir(at);
    // Left half white; orientation 6 means that the camera was turned: upright, the top half is white.
    const pixels = Buffer.alloc(8 * 8 * 3);
    for (let y = 0; y < 8; y++) for (let x = 0; x < 4; x++) pixels.fill(255, (y * 8 + x) * 3, (y * 8 + x) * 3 + 3);
    for (const n of ["a", "b"]) {
      const image = sharp(pixels, { raw: { width: 8, height: 8, channels: 3 } });
      await image
        .withMetadata({ orientation: 6 })
        .jpeg({ quality: 100 })
        .toFile(join(at, `${n}.jpg`));
    }
    const b = await (await loadDataset(at, raw({ size: { height: 8, width: 8 } }))).train.batch([0]);
    expect(b.data[7]).toBeGreaterThan(250);
    expect(b.data[7 * 8]).toBeLessThan(5);
  });

  test("the centre crop keeps the middle of the resized image", async () => {
    const at = folder("crop");
    await mkdir(at);
    const pixels = Buffer.alloc(8 * 4 * 3);
    for (let i = 0; i < 32; i++) pixels[3 * i] = i % 8; // red = column
    for (const n of ["a", "b"])
      await sharp(pixels, { raw: { width: 8, height: 4, channels: 3 } })
        .png()
        .toFile(join(at, `${n}.png`));
    const b = await (await loadDataset(at, raw({ fit: "crop" }))).train.batch([0]);
    expect([...b.data.subarray(0, 4)]).toEqual([2, 3, 4, 5]);
  });

  test("a few corrupt files are named, skipped and counted", async () => {
    const at = folder("few");
    for (let i = 0; i < 30; i++) await solid(join(at, `${i}.png`), [i, 0, 0]);
    const whole = await readFile(join(at, "3.png"));
    await writeFile(join(at, "3.png"), whole.subarray(0, whole.length - 30));
    const d = await loadDataset(at, raw());
    expect(d.skipped.map((s) => s.item)).toEqual(["3.png"]);
    expect(d.train.count + d.test.count).toBe(29);
  });

  test("more than 5 % corrupt files stop the work", async () => {
    const at = folder("many");
    for (let i = 0; i < 10; i++) await solid(join(at, `${i}.png`), [i, 0, 0]);
    await writeFile(join(at, "3.png"), "not an image");
    await expect(loadDataset(at, raw())).rejects.toMatchObject({ code: "images-corrupt", where: at });
  });

  test.each([
    ["empty", "data-empty", async (at: string) => void (await mkdir(at))],
    ["absent", "data-unreadable", async () => {}],
    ["one image", "data-small", (at: string) => solid(join(at, "a.png"), [1, 1, 1])],
    [
      "mixed",
      "data-mixed",
      async (at: string) => {
        await solid(join(at, "cat/a.png"), [1, 1, 1]);
        await solid(join(at, "b.png"), [1, 1, 1]);
      },
    ],
    [
      "unknown test class",
      "labels-missing",
      async (at: string) => {
        await solid(join(at, "train/cat/a.png"), [1, 1, 1]);
        await solid(join(at, "test/dog/a.png"), [1, 1, 1]);
      },
    ],
  ])("a folder that is %s is refused with %s", async (name, code, make) => {
    const at = folder(name);
    await make(at);
    await expect(loadDataset(at, raw())).rejects.toMatchObject({ code, exit: 1 });
  });

  test("limits keep every class", async () => {
    const at = folder("limited");
    for (const c of ["a", "b"]) {
      for (const part of ["train", "test"])
        for (let i = 0; i < 5; i++) await solid(join(at, part, c, `${i}.png`), [i, 0, 0]);
    }
    const d = await loadDataset(at, raw(), { limit: { train: 4 } });
    expect([d.train.count, d.test.count]).toEqual([4, 10]);
    expect([...(await d.train.batch([0, 1, 2, 3])).labels!]).toEqual([0, 0, 1, 1]);
  });
});
