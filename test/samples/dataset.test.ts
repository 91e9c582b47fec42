import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLOSED_BELOW, OPEN_ABOVE } from "../../samples/driver-monitoring/appearance.js";
import { samplePath } from "../../samples/driver-monitoring/assets.js";
import { eyePreprocessing, openEyeStateDataset } from "../../samples/driver-monitoring/dataset.js";
import { loadPreprocessing } from "../../toolkit/data/index.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-eyes-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("eye-state data set", () => {
  test("training and test part share no eye", async () => {
    const d = await openEyeStateDataset({ train: 3000, test: 3000, cacheDir: folder });
    const seen = new Set<string>();
    for (const split of [d.train, d.test]) {
      for (let i = 0; i < split.count; i++) seen.add(JSON.stringify({ ...split.appearance(i), detail: 0 }));
    }
    expect(seen.size).toBe(6000);
  });

  test("labels follow openness, both classes are equally frequent, and the ambiguous band is empty", async () => {
    const d = await openEyeStateDataset({ train: 2000, test: 200, cacheDir: folder });
    const openness = Array.from({ length: 2000 }, (_, i) => d.train.appearance(i).shape.openness);
    expect(openness.filter((o) => o >= CLOSED_BELOW && o <= OPEN_ABOVE)).toEqual([]);
    const open = openness.filter((o) => o > OPEN_ABOVE).length / 2000;
    expect(Math.abs(open - 0.5)).toBeLessThan(0.05);
    const { labels } = await d.test.batch([0, 1, 2, 3, 4, 5, 6, 7]);
    expect([...labels!]).toEqual(
      [0, 1, 2, 3, 4, 5, 6, 7].map((i) => (d.test.appearance(i).shape.openness > 0.3 ? 1 : 0)),
    );
  });

  test("serves normalised NCHW batches of the crops' bytes", async () => {
    const d = await openEyeStateDataset({ train: 10, test: 10, cacheDir: folder });
    const batch = await d.train.batch([7, 2]);
    expect(batch.dims).toEqual([2, 3, 32, 32]);
    const crop = await d.train.crop(2);
    for (const [channel, y, x] of [
      [0, 0, 0],
      [1, 13, 30],
      [2, 31, 31],
    ]) {
      const value = batch.data[3072 + channel * 1024 + y * 32 + x];
      expect(value).toBeCloseTo((crop[(y * 32 + x) * 3 + channel] / 255 - 0.5) / 0.5, 5);
    }
  });

  test("a cached block is read back, and a damaged one is rendered again", async () => {
    const open = () => openEyeStateDataset({ train: 4, test: 4, seed: 77, cacheDir: join(folder, "again") });
    const first = Buffer.from(await (await open()).train.crop(3));
    const files = readdirSync(join(folder, "again"));
    expect(files).toHaveLength(1);
    const file = join(folder, "again", files[0]);
    expect(Buffer.from(await (await open()).train.crop(3)).equals(first)).toBe(true);
    writeFileSync(file, readFileSync(file).subarray(0, 100));
    expect(Buffer.from(await (await open()).train.crop(3)).equals(first)).toBe(true);
    expect(readFileSync(file).length).toBe(256 * 3072);
  });

  test("a cache folder that cannot be written is an error with a remedy", async () => {
    const file = join(folder, "a-file");
    writeFileSync(file, "");
    const d = await openEyeStateDataset({ train: 4, test: 4, cacheDir: join(file, "inside") });
    await expect(d.train.batch([0])).rejects.toMatchObject({ code: "cache-unwritable", exit: 1 });
  });

  test("an item outside the part is refused", async () => {
    const d = await openEyeStateDataset({ train: 4, test: 4, cacheDir: folder });
    await expect(d.train.batch([4])).rejects.toMatchObject({ code: "item-range" });
  });

  test("a longer data set begins with the shorter one", async () => {
    const [short, long] = await Promise.all(
      [50, 500].map((train) => openEyeStateDataset({ train, test: 1, cacheDir: folder })),
    );
    expect(short.train.appearance(49)).toEqual(long.train.appearance(49));
  });

  test("preprocessing is what preprocessor_config.json says", async () => {
    const { preprocessing } = await loadPreprocessing({
      file: samplePath("preprocessor_config.json"),
      input: { dims: ["N", 3, 32, 32], elemType: "float32" },
    });
    expect(preprocessing).toEqual(eyePreprocessing);
  });
});
