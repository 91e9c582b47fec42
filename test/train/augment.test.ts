import { describe, expect, it } from "vitest";
import type { Batch } from "../../toolkit/data/dataset.js";
import { type AugmentOptions, augmentBatch, checkAugment } from "../../toolkit/train/augment.js";
import { constantSchedule, crossEntropy, distillation, sgd, train } from "../../toolkit/train/index.js";
import { mixBatch } from "../../toolkit/train/mixup.js";
import { streamOf, symmetricBeta } from "../../toolkit/train/random.js";
import { gaussian } from "../support/random.js";
import { accuracy, stripeNet, stripes } from "./nets.js";

const noise = (dims: readonly number[], seed = 1, labels?: Int32Array): Batch => {
  const normal = gaussian(seed);
  return { data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, normal), dims, labels };
};

const augment = (batch: Batch, o: AugmentOptions, step = 0): Float32Array =>
  augmentBatch(batch, o, streamOf(1, 0, step)).data;

/** [n, c, h, w] as [n, h, w, c]. */
function channelsLast(b: Batch): Batch {
  const [n, c, h, w] = b.dims;
  const data = new Float32Array(b.data.length);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < c; k++)
      for (let p = 0; p < h * w; p++) data[(i * h * w + p) * c + k] = b.data[(i * c + k) * h * w + p];
  return { ...b, data, dims: [n, h, w, c] };
}

describe("augmentation", () => {
  it("is the same for the same step and another for the next", () => {
    const batch = noise([8, 3, 6, 6]);
    const o = { flip: true, cropPadding: 2, colour: { brightness: 0.4 }, cutout: 3, mixup: 1 };
    expect(augment(batch, o)).toEqual(augment(batch, o));
    expect(augment(batch, o)).not.toEqual(augment(batch, o, 1));
  });

  it("mirrors about half of the images, and only mirrors", () => {
    const batch = noise([200, 2, 3, 4]);
    const changed = augment(batch, { flip: true });
    let mirrored = 0;
    for (let i = 0; i < 200; i++) {
      const image = (d: Float32Array) => Array.from(d.subarray(24 * i, 24 * (i + 1)));
      const rows = Array.from({ length: 6 }, (_, r) =>
        image(batch.data)
          .slice(4 * r, 4 * r + 4)
          .reverse(),
      );
      if (String(image(changed)) === String(rows.flat())) mirrored++;
      else expect(image(changed)).toEqual(image(batch.data));
    }
    expect(Math.abs(mirrored - 100)).toBeLessThan(30);
  });

  it("shifts images and fills with black pixels", () => {
    const pixels = { imageMean: [0.5, 0.2], imageStd: [0.25, 0.1], channelOrder: "rgb", layout: "nchw" } as const;
    const batch: Batch = { data: new Float32Array(32 * 2 * 5 * 5).fill(9), dims: [32, 2, 5, 5] };
    const changed = augment(batch, { cropPadding: 2, pixels });
    const kinds = [0, 1].map((c) => new Set(Array.from(changed).filter((_, i) => Math.floor(i / 25) % 2 === c)));
    expect(kinds).toEqual([new Set([9, -2]), new Set([9, -2])]);
  });

  it("cuts one square out of every image", () => {
    const batch: Batch = { data: new Float32Array(64 * 3 * 8 * 8).fill(1), dims: [64, 3, 8, 8] };
    const changed = augment(batch, { cutout: 3 });
    for (let i = 0; i < 64; i++) {
      const planes = [0, 1, 2].map((c) => String(changed.subarray((3 * i + c) * 64, (3 * i + c + 1) * 64)));
      expect(new Set(planes).size).toBe(1);
      const zeros = changed.subarray(192 * i, 192 * i + 64).filter((v) => v === 0).length;
      expect([4, 6, 9]).toContain(zeros); // whole, or cut off by an edge or a corner
    }
  });

  it("changes colours as on the pixels behind the numbers", () => {
    const pixels = {
      imageMean: [0.4, 0.5, 0.6],
      imageStd: [0.2, 0.25, 0.3],
      channelOrder: "rgb",
      layout: "nchw",
    } as const;
    const batch = noise([4, 3, 5, 5]);
    const raw = (d: Float32Array) =>
      Array.from(d, (v, i) => v * pixels.imageStd[Math.floor(i / 25) % 3] + pixels.imageMean[Math.floor(i / 25) % 3]);
    const before = raw(batch.data);
    const bright = raw(augment(batch, { colour: { brightness: 0.5 }, pixels }));
    const vivid = raw(augment(batch, { colour: { saturation: 0.5 }, pixels }));
    const strong = raw(augment(batch, { colour: { contrast: 0.5 }, pixels }));
    for (let i = 0; i < 4; i++) {
      const at = (c: number, p: number) => 75 * i + 25 * c + p;
      const factor = bright[at(0, 0)] / before[at(0, 0)];
      expect(Math.abs(factor - 1)).toBeLessThan(0.5);
      expect(factor).not.toBeCloseTo(1, 4);
      const luma = (p: number) => 0.299 * before[at(0, p)] + 0.587 * before[at(1, p)] + 0.114 * before[at(2, p)];
      const saturation = (vivid[at(0, 3)] - luma(3)) / (before[at(0, 3)] - luma(3));
      const mean = (d: number[], c: number) => d.slice(at(c, 0), at(c, 25)).reduce((a, b) => a + b) / 25;
      const contrast = (strong[at(0, 0)] - mean(before, 0)) / (before[at(0, 0)] - mean(before, 0));
      for (let c = 0; c < 3; c++) {
        for (let p = 0; p < 25; p++) {
          expect(bright[at(c, p)]).toBeCloseTo(factor * before[at(c, p)], 4);
          expect(vivid[at(c, p)]).toBeCloseTo(luma(p) + saturation * (before[at(c, p)] - luma(p)), 4);
          expect(strong[at(c, p)]).toBeCloseTo(mean(before, c) + contrast * (before[at(c, p)] - mean(before, c)), 4);
        }
      }
    }
  });

  it("does the same in both layouts", () => {
    const batch = noise([6, 3, 5, 4]);
    const pixels = { imageMean: [0.4, 0.5, 0.6], imageStd: [0.2, 0.25, 0.3], channelOrder: "bgr" } as const;
    const all: AugmentOptions = {
      flip: true,
      cropPadding: 1,
      cutout: 2,
      colour: { brightness: 0.3, contrast: 0.3, saturation: 0.3 },
      mixup: 0.4,
    };
    const first = augmentBatch(batch, { ...all, pixels: { ...pixels, layout: "nchw" } }, streamOf(1, 0, 4));
    const last = augment(channelsLast(batch), { ...all, pixels: { ...pixels, layout: "nhwc" } }, 4);
    channelsLast(first).data.forEach((v, i) => {
      expect(last[i]).toBeCloseTo(v, 5);
    });
  });

  it.each<[AugmentOptions]>([[{ mixup: -1 }], [{ cropPadding: 0.5 }], [{ colour: { contrast: 2 } }], [{ cutout: -1 }]])(
    "refuses %j",
    (o) => {
      expect(() => checkAugment(o)).toThrowError(expect.objectContaining({ code: "augment-options" }));
    },
  );

  it("refuses to flip what is no image", () => {
    expect(() => augment(noise([4, 7]), { flip: true })).toThrowError(
      expect.objectContaining({ code: "augment-dims" }),
    );
  });
});

describe("mixup", () => {
  it.each([0.2, 1, 3])("draws shares from Beta(%d, %d)", (alpha) => {
    const random = streamOf(5, 0, 0);
    const values = Array.from({ length: 20_000 }, () => symmetricBeta(random, alpha));
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    expect(mean).toBeCloseTo(0.5, 1);
    expect(variance / (1 / (4 * (2 * alpha + 1)))).toBeCloseTo(1, 1);
  });

  it("blends each item with one other by its share, on inputs of any shape", () => {
    const batch = noise(
      [16, 7],
      2,
      Int32Array.from({ length: 16 }, (_, i) => i),
    );
    const { data, labels, mixed } = mixBatch(batch, 0.5, streamOf(1, 2, 3));
    expect(labels).toBe(batch.labels);
    expect([...mixed!.labels!].sort((a, b) => a - b)).toEqual([...batch.labels!]);
    for (let i = 0; i < 16; i++) {
      const [share, other] = [mixed!.shares[i], mixed!.labels![i]];
      for (let k = 0; k < 7; k++) {
        expect(data[7 * i + k]).toBeCloseTo(share * batch.data[7 * i + k] + (1 - share) * batch.data[7 * other + k], 5);
      }
    }
  });

  it("teaches with both labels", async () => {
    const data = stripes(512, 3);
    const { graph } = await train({
      graph: stripeNet(),
      data,
      loss: crossEntropy(),
      epochs: 4,
      batchSize: 32,
      optimizer: sgd(),
      schedule: constantSchedule(0.05),
      augment: { mixup: 0.3 },
      seed: 1,
      threads: 1,
    });
    expect(await accuracy(graph, stripes(512, 4))).toBeGreaterThan(0.95);
  });

  it("needs no labels when a teacher tells what it sees in the blends", async () => {
    const data = stripes(512, 3);
    const options = { epochs: 4, batchSize: 32, optimizer: sgd(), seed: 1, threads: 1 };
    const { graph: teacher } = await train({
      ...options,
      graph: stripeNet(),
      data,
      loss: crossEntropy(),
      schedule: constantSchedule(0.05),
    });
    const { graph } = await train({
      ...options,
      graph: stripeNet({ seed: 9, separable: true }),
      data: { ...data, batch: async (i) => ({ ...(await data.batch(i)), labels: undefined }) },
      loss: distillation({ teacher, threads: 1 }),
      schedule: constantSchedule(0.03),
      augment: { mixup: 1 },
    });
    expect(await accuracy(graph, stripes(512, 4))).toBeGreaterThan(0.95);
  });
});
