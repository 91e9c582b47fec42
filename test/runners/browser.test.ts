/** Chromium as a device: joins by a socket, computes what the native runtime computes, is timed and profiled, and goes without traces. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findChromium, openBrowserRunner } from "../../runners/browser/index.js";
import { factsOf } from "../../runners/hub/facts.js";
import { openPhoneRunner } from "../../runners/hub/phone.js";
import { openLocalRunner } from "../../runners/node/index.js";
import { resolveDevice } from "../../runners/resolve.js";
import type { DeviceRunner } from "../../runners/runner.js";
import { convModel, denseModel, wire } from "./models.js";

const image = wire(
  Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.cos(i)),
  [1, 3, 16, 16],
);
const quick = { warmup: 2, minWarmupMs: 0, minSamples: 6, minTimeMs: 0 };

async function expectLikeNative(runner: DeviceRunner, digits: number): Promise<void> {
  const native = await openLocalRunner();
  try {
    const [a, b] = await Promise.all(
      [runner, native].map(async (r) => r.run((await r.load(convModel())).id, { x: image })),
    );
    expect(Object.keys(a)).toEqual(Object.keys(b));
    for (const [name, t] of Object.entries(a)) {
      expect(t.dims).toEqual(b[name].dims);
      for (const [i, v] of (t.data as Float32Array).entries()) expect(v).toBeCloseTo(Number(b[name].data[i]), digits);
    }
  } finally {
    await native.close();
  }
}

describe.skipIf(!findChromium())("a headless Chromium (skipped where none is installed)", () => {
  let runner: DeviceRunner;
  beforeAll(async () => {
    runner = await resolveDevice("browser");
  }, 90_000);
  afterAll(() => runner?.close());

  test("is isolated, has a fine clock, and says what runs", async () => {
    const facts = await runner.describe();
    expect(facts).toMatchObject({ kind: "web-wasm", emulated: false });
    expect(facts.runtime).toMatchObject({ package: "onnxruntime-web", threads: 1 });
    expect(facts.clockMs).toBeLessThan(0.05);
  });

  test("computes what the native runtime computes", () => expectLikeNative(runner, 5));

  test("is timed in turns and profiled node by node", async () => {
    const a = await runner.load(convModel());
    const b = await runner.load(denseModel());
    const models = [
      { id: a.id, feeds: { x: image } },
      { id: b.id, feeds: { x: wire([1, 2], [1, 2]) } },
    ];
    const rows = await runner.measure({ models, ...quick });
    expect(rows.map((r) => r.samplesMs.length)).toEqual([6, 6]);
    await runner.unload(a.id);
    await expect(runner.run(a.id, { x: image })).rejects.toMatchObject({ code: "model-unknown" });
    const { id } = await runner.load(convModel(), { profiling: true });
    const profile = await runner.profile(id, { x: image }, 3, 1);
    expect(profile.callsUs).toHaveLength(3);
    expect(profile.nodes.map((n) => n.opType).join()).toMatch(/Conv/);
  });

  test("refuses a broken model with the runtime's reason, stops when asked, and lives on", async () => {
    await expect(runner.load(Uint8Array.of(1, 2, 3))).rejects.toMatchObject({ code: "model-load-failed" });
    const { id } = await runner.load(denseModel());
    const feeds = { x: wire([3, 4], [1, 2]) };
    const controller = new AbortController();
    const job = runner.measure({ models: [{ id, feeds }], minTimeMs: 60_000 }, controller.signal);
    setTimeout(() => controller.abort(new Error("enough")), 200);
    await expect(job).rejects.toThrow("enough");
    expect((await runner.run(id, feeds)).y).toEqual(wire([11, 9], [1, 2]));
  });

  test("joins as a phone would, by the address of an invitation", async () => {
    const { chromium } = await import("playwright-core");
    const browser = await chromium.launch({
      executablePath: findChromium(),
      chromiumSandbox: process.getuid?.() !== 0,
    });
    try {
      const phone = await openPhoneRunner({
        host: "127.0.0.1",
        onInvite: (url) => void browser.newPage().then((page) => page.goto(url)),
      });
      expect(await phone.describe()).toMatchObject({ kind: "web-wasm", id: "chrome-linux-wasm-t1", emulated: false });
      await expectLikeNative(phone, 5);
      await phone.close();
    } finally {
      await browser.close();
    }
  });

  test("with WebGPU on the software adapter: right, and marked as emulated", async () => {
    const gpu = await openBrowserRunner({ provider: "webgpu" });
    try {
      expect(await gpu.describe()).toMatchObject({ kind: "web-webgpu", emulated: true });
      await expectLikeNative(gpu, 4);
    } finally {
      await gpu.close();
    }
  }, 300_000);
});

test("waiting for a phone ends when asked, and frees the address", async () => {
  const controller = new AbortController();
  let address = "";
  const wait = openPhoneRunner({
    host: "127.0.0.1",
    signal: controller.signal,
    onInvite(url) {
      address = url;
      controller.abort(new Error("enough"));
    },
  });
  await expect(wait).rejects.toThrow("enough");
  await expect(fetch(address)).rejects.toThrow();
});

test("what a phone says of itself becomes facts without an address or a name of its owner", () => {
  const page = {
    provider: "webgpu" as const,
    threads: 4,
    userAgent: "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36",
    cores: 8,
    memoryBytes: 8e9,
    isolated: true,
    secure: true,
    adapter: { vendor: "arm", architecture: "valhall", isFallback: false },
  };
  const runtime = { package: "onnxruntime-web", version: "1.0.0", provider: "WebGpuExecutionProvider" };
  const facts = factsOf({ ready: true, protocol: 1, runtime, clockMs: 0.1, page }, "all");
  expect(facts).toMatchObject({
    id: "phone-webgpu-t4",
    kind: "web-webgpu",
    hardware: { cpu: "Linux; Android 14; Pixel 8, GPU arm valhall", cores: 8 },
    os: { platform: "android", release: "Chrome/126.0.0.0" },
    emulated: false,
  });
});

test("a browser that cannot be started is named", async () => {
  await expect(openBrowserRunner({ executable: "/nowhere/chromium" })).rejects.toThrow(/nowhere/);
});
