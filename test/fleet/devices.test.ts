/** Devices behind a real Redis: the same results as without a queue, and nothing lost when something breaks. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { DeviceError } from "../../runners/errors.js";
import {
  type BlobStore,
  classQueue,
  type DeviceWorker,
  type DeviceWorkerOptions,
  folderBlobs,
  listDevices,
  openDeviceWorker,
  openFleetRunner,
  openRedis,
  parseQueue,
  type QueueAddress,
  Submitter,
} from "../../runners/fleet/index.js";
import { openLocalRunner } from "../../runners/node/index.js";
import type { DeviceRunner, Measurement } from "../../runners/runner.js";
import { measurement } from "../runners/fakeDevice.js";
import { convModel, wire } from "../runners/models.js";
import { hasRedis, NEEDS_REDIS, startRedis, type TestRedis } from "../support/redis.js";

const image = wire(
  Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.cos(i)),
  [1, 3, 16, 16],
);

describe.skipIf(!hasRedis)(`devices on a queue${NEEDS_REDIS}`, () => {
  let server: TestRedis;
  let redis: Redis;
  let address: QueueAddress;
  let blobs: BlobStore;
  let folder: string;
  let local: DeviceRunner;
  const workers: DeviceWorker[] = [];
  const submitters: { close(): Promise<void> }[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "edgefit-fleet-"));
    server = await startRedis();
    address = parseQueue(server.url);
    redis = await openRedis(address);
    blobs = folderBlobs(folder);
    local = await openLocalRunner();
  });
  afterEach(async () => {
    await Promise.all([...workers.splice(0), ...submitters.splice(0)].map((w) => w.close()));
    await redis.flushall();
  });
  afterAll(async () => {
    await local.close();
    redis.disconnect();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const enter = async (o: Partial<DeviceWorkerOptions> & { id: string }): Promise<DeviceWorker> => {
    const worker = await openDeviceWorker({
      address,
      redis,
      runner: local,
      blobs,
      class: "desk",
      version: "1.0.0",
      ...o,
    });
    workers.push(worker);
    return worker;
  };
  const runnerOf = async (target: { class: string } | { device: string }, run?: string): Promise<DeviceRunner> => {
    const runner = await openFleetRunner({ address, redis, blobs, target, run });
    submitters.push(runner);
    return runner;
  };
  const submitterOf = async (name: string): Promise<Submitter> => {
    const submitter = await Submitter.open(address, name);
    submitters.push(submitter);
    return submitter;
  };
  /** A device that answers with what it is told, and counts. */
  const scripted = (answer: () => Promise<Measurement[]>): DeviceRunner & { calls: number } => {
    const runner = {
      ...local,
      calls: 0,
      measure: () => {
        runner.calls++;
        return answer();
      },
    };
    return runner;
  };
  const oneSample = (ms: number): Measurement[] => [measurement(1, [ms])];

  test("runs, times and profiles as the device itself does", async () => {
    await enter({ id: "one" });
    const runner = await runnerOf({ class: "desk" });
    expect(await runner.describe()).toEqual(await local.describe());
    const { id, inputs } = await runner.load(convModel());
    const here = await local.load(convModel());
    expect(inputs).toEqual(here.inputs);
    expect(await runner.run(id, { x: image })).toEqual(await local.run(here.id, { x: image }));
    const settings = { warmup: 1, minWarmupMs: 0, minSamples: 5, minTimeMs: 0 };
    const other = await runner.load(convModel());
    const rows = await runner.measure({
      ...settings,
      models: [
        { id, feeds: { x: image } },
        { id: other.id, feeds: { x: image } },
      ],
    });
    expect(rows.map((r) => [r.model, r.samplesMs.length])).toEqual([
      [id, 5],
      [other.id, 5],
    ]);
    const profiled = await runner.load(convModel(), { profiling: true });
    const profile = await runner.profile(profiled.id, { x: image }, 4, 1);
    expect(profile.callsUs).toHaveLength(4);
    expect(profile.nodes.map((n) => n.opType).join()).toMatch(/Conv/);
    await local.unload(here.id);
    const [listed] = await listDevices(redis);
    expect(listed).toMatchObject({ id: "one", class: "desk", failed: 0 });
    expect(listed.done).toBeGreaterThanOrEqual(4);
  });

  test("a model that the runtime refuses fails with the runtime's own reason, after three tries", async () => {
    await enter({ id: "one" });
    const runner = await runnerOf({ class: "desk" });
    await expect(runner.load(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: "model-load-failed" });
  });

  test("the same run asked again is answered from what was measured; another run measures anew", async () => {
    let now = 0;
    const device = scripted(async () => oneSample(++now));
    await enter({ id: "one", runner: device });
    const measured = async (run: string): Promise<number> => {
      const runner = await runnerOf({ class: "desk" }, run);
      const { id } = await runner.load(convModel());
      const [{ samplesMs }] = await runner.measure({ models: [{ id, feeds: { x: image } }] });
      return samplesMs[0];
    };
    expect(await measured("monday")).toBe(1);
    expect(await measured("monday")).toBe(1);
    expect(await measured("tuesday")).toBe(2);
    expect(device.calls).toBe(2);
  });

  test("a device that goes gives its job back, and another of the class does it", async () => {
    const lost = scripted(async () => {
      throw new DeviceError("device-lost", "the device has gone");
    });
    await enter({ id: "flaky", runner: lost });
    const runner = await runnerOf({ class: "desk" });
    const { id } = await runner.load(convModel());
    const asked = runner.measure({ models: [{ id, feeds: { x: image } }] });
    await expect.poll(() => listDevices(redis), { timeout: 15_000 }).toEqual([]);
    await enter({ id: "steady", runner: scripted(async () => oneSample(7)) });
    expect((await asked)[0].samplesMs[0]).toBe(7);
    expect(lost.calls).toBe(1);
  });

  test("Redis killed in the middle of a job: the answer still comes, once", async () => {
    const device = scripted(async () => {
      if (device.calls === 1) {
        await server.kill();
        await new Promise((resolve) => setTimeout(resolve, 500));
        await server.start();
      }
      return oneSample(3);
    });
    await enter({ id: "one", runner: device });
    const runner = await runnerOf({ class: "desk" });
    const { id } = await runner.load(convModel());
    expect((await runner.measure({ models: [{ id, feeds: { x: image } }] }))[0].samplesMs[0]).toBe(3);
    await expect.poll(async () => (await listDevices(redis)).map((d) => d.id), { timeout: 15_000 }).toEqual(["one"]);
  });

  test("devices of other versions are refused by the class, and taken once the class is empty", async () => {
    const first = await enter({ id: "one" });
    await expect(enter({ id: "two", version: "2.0.0" })).rejects.toMatchObject({
      code: "class-versions",
      where: "two: edgefit 2.0.0 where one has 1.0.0",
    });
    await first.close();
    await enter({ id: "two", version: "2.0.0" });
  });

  test.each([
    ["a path instead of a hash", { models: [{ bytes: "/etc/passwd" }] }],
    ["a field that is none", { path: "/etc/passwd" }],
    ["too many models", { models: Array.from({ length: 65 }, () => ({ bytes: "0".repeat(64) })) }],
    ["a negative count", { work: { type: "profile", feeds: "0".repeat(64), calls: -1, warmup: 0 } }],
  ])("a payload with %s is refused at once, by name", async (_, wrong) => {
    await enter({ id: "one" });
    const submitter = await submitterOf(classQueue("desk"));
    const job = { run: "r", step: 0, models: [{ bytes: "0".repeat(64) }], work: { type: "load" }, ...wrong };
    await expect(submitter.ask(job)).rejects.toMatchObject({ code: "job-malformed" });
  });

  test("bytes that are not those of their hash are noticed", async () => {
    await enter({ id: "one" });
    const runner = await runnerOf({ class: "desk" });
    const hash = await blobs.put(convModel());
    const { writeFile } = await import("node:fs/promises");
    await writeFile(join(folder, hash), "something else");
    const broken = { put: async () => hash, get: blobs.get };
    const other = await openFleetRunner({ address, redis, blobs: broken, target: { class: "desk" } });
    submitters.push(other);
    await expect(other.load(convModel())).rejects.toMatchObject({ code: "blob-damaged" });
    await expect(runner.load(convModel())).resolves.toBeDefined();
  });

  test("a class without devices says which there are", async () => {
    await enter({ id: "one" });
    await expect(runnerOf({ class: "phones" })).rejects.toMatchObject({
      code: "fleet-empty",
      message: "no class phones is on the queue",
      hint: "there are one (class desk)",
    });
  });

  test("aborting takes back what has not begun", async () => {
    await enter({ id: "one", runner: scripted(() => new Promise((r) => setTimeout(() => r(oneSample(1)), 400))) });
    const runner = await runnerOf({ class: "desk" });
    const { id } = await runner.load(convModel());
    const controller = new AbortController();
    const ask = () => runner.measure({ models: [{ id, feeds: { x: image } }] }, controller.signal);
    const asked = [ask(), ask()];
    setTimeout(() => controller.abort(new Error("enough")), 100);
    expect((await Promise.allSettled(asked)).map((r) => r.status)).toEqual(["rejected", "rejected"]);
    await expect.poll(() => redis.llen(`edgefit:${classQueue("desk")}:wait`)).toBe(0);
  });
});

describe("the address of a queue", () => {
  test.each(["localhost", "http://localhost:6379", "redis://", "redis:", ""])("%j is refused", (text) => {
    expect(() => parseQueue(text)).toThrow(expect.objectContaining({ code: "queue-address" }));
  });

  test("nobody there: one sentence, without the password", async () => {
    const error = await openRedis(parseQueue("redis://me:secret@127.0.0.1:1")).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "queue-unreachable", where: "redis://me:***@127.0.0.1:1" });
    expect(String((error as Error).message)).not.toContain("secret");
  }, 20_000);

  test.skipIf(!hasRedis)(`a wrong password is told apart${NEEDS_REDIS}`, async () => {
    const server = await startRedis({ password: "right" });
    try {
      await expect(openRedis(parseQueue(server.url.replace("right", "wrong")))).rejects.toMatchObject({
        code: "queue-refused",
      });
      (await openRedis(parseQueue(server.url))).disconnect();
    } finally {
      await server.close();
    }
  });
});
