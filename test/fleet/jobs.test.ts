/** Heavy work on a queue: the same numbers as on the spot, wherever it is done. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type BlobStore,
  folderBlobs,
  MACHINES,
  parseQueue,
  type QueueAddress,
  Submitter,
} from "../../runners/fleet/index.js";
import type { Split } from "../../toolkit/data/index.js";
import { makeSplit } from "../../toolkit/data/split.js";
import { fetchSplit, storeSplit } from "../../toolkit/fleet/parts.js";
import { openMachineWorker, openQueuedJobs } from "../../toolkit/fleet/queuedJobs.js";
import { inProcess, type Jobs } from "../../toolkit/jobs.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { inferShapes } from "../../toolkit/ops/infer.js";
import { resnetCifar } from "../../toolkit/zoo/index.js";
import { hasRedis, NEEDS_REDIS, startRedis, type TestRedis } from "../support/redis.js";

/** Noise whose label is whether its first element is above zero. */
function noise(count: number): Split {
  const random = xoroshiro128plus(5);
  const size = 3 * 32 * 32;
  const data = Float32Array.from({ length: count * size }, () => uniformInt(random, -1000, 1000) / 1000);
  return makeSplit({
    count,
    dims: [3, 32, 32],
    labels: Int32Array.from({ length: count }, (_, i) => (data[i * size] > 0 ? 1 : 0)),
    write: (item, out, offset) => out.set(data.subarray(item * size, (item + 1) * size), offset),
  });
}

const net = (seed: number) => inferShapes(resnetCifar({ layers: 8, widthMultiplier: 0.25, classes: 2, seed }));

test("images in chunks are the images, in whatever order they are asked for", async () => {
  const folder = mkdtempSync(join(tmpdir(), "edgefit-parts-"));
  try {
    const blobs = folderBlobs(folder);
    const split = noise(800);
    const stored = await storeSplit(blobs, split);
    expect(stored.chunks.length).toBeGreaterThan(1);
    expect(await storeSplit(blobs, split)).toEqual(stored);
    const again = fetchSplit(blobs, stored);
    const asked = [799, 0, 341, 340, 342, 0];
    expect(await again.batch(asked)).toEqual(await split.batch(asked));
    await expect(again.batch([800])).rejects.toMatchObject({ code: "item-index" });
    await expect(again.batch([])).rejects.toMatchObject({ code: "item-index" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe.skipIf(!hasRedis)(`work on a queue${NEEDS_REDIS}`, () => {
  let server: TestRedis;
  let address: QueueAddress;
  let folder: string;
  let blobs: BlobStore;
  let jobs: Jobs & { close(): Promise<void> };
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "edgefit-jobs-"));
    server = await startRedis();
    address = parseQueue(server.url);
    blobs = folderBlobs(folder);
    jobs = await openQueuedJobs(address, blobs);
  });
  afterAll(async () => {
    await jobs.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("a fine-tuned net has the same bytes, and its accuracy is the same number", async () => {
    const worker = await openMachineWorker({ address, blobs, concurrency: 1 });
    try {
      const asked = { net: net(1), teacher: net(2), data: noise(64), epochs: 1, seed: 3 };
      const stages = new Set<string>();
      const here = await inProcess.run("finetune", asked, {});
      const there = await jobs.run("finetune", asked, { onProgress: ({ stage }) => stages.add(stage) });
      expect(Buffer.compare(writeModel(there), writeModel(here))).toBe(0);
      expect(stages.size).toBeGreaterThan(0);
      const question = { net: here, data: noise(200) };
      expect(await jobs.run("evaluate", question, {})).toBe(await inProcess.run("evaluate", question, {}));
    } finally {
      await worker.close();
    }
  });

  test("a worker that stops gives its job back, and the next one does it", async () => {
    const asked = { net: net(1), teacher: net(2), data: noise(96), epochs: 2, seed: 4 };
    const first = await openMachineWorker({ address, blobs, concurrency: 1 });
    let begin!: () => void;
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const answer = jobs.run("finetune", asked, { onProgress: begin });
    await begun;
    await first.close();
    const second = await openMachineWorker({ address, blobs, concurrency: 1 });
    try {
      expect(Buffer.compare(writeModel(await answer), writeModel(await inProcess.run("finetune", asked, {})))).toBe(0);
    } finally {
      await second.close();
    }
  });

  test.each([
    ["of an unknown kind", { kind: "remove" }],
    [
      "with a path",
      { kind: "evaluate", net: "../../etc/passwd", data: { count: 1, labelled: true, perChunk: 1, chunks: [] } },
    ],
    [
      "with one field too many",
      { kind: "evaluate", net: "0".repeat(64), data: { count: 0, labelled: true, perChunk: 1, chunks: [] }, path: "/" },
    ],
  ])("a job %s is refused by name, at once", async (_, payload) => {
    const worker = await openMachineWorker({ address, blobs, concurrency: 1 });
    const submitter = await Submitter.open(address, MACHINES);
    try {
      await expect(submitter.ask(payload)).rejects.toMatchObject({ code: "job-malformed" });
    } finally {
      await submitter.close();
      await worker.close();
    }
  });
});
