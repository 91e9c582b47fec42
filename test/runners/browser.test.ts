/** Chromium as a device: joins by a socket, computes what the native runtime computes, is timed and profiled, and goes without traces. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { findChromium, openBrowserRunner } from "../../runners/browser/index.js";
import { factsOf } from "../../runners/hub/facts.js";
import { openPhoneRunner } from "../../runners/hub/phone.js";
import { type Hub, openHub } from "../../runners/hub/server.js";
import { openLocalRunner } from "../../runners/node/index.js";
import { resolveDevice } from "../../runners/resolve.js";
import type { DeviceRunner } from "../../runners/runner.js";
import { decodeMessage, encodeMessage } from "../../runners/wire.js";
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
      expect(await phone.describe()).toMatchObject({ kind: "web-wasm", id: "phone-wasm-t1", emulated: false });
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
  }, 120_000);
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

describe("the hub", () => {
  let hub: Hub;
  beforeAll(async () => {
    hub = await openHub({ maxMessageBytes: 10_000, maxDevices: 3 });
  });
  afterAll(() => hub.close());

  const status = (path: string) =>
    new Promise<number>((resolve, reject) => {
      request({ port: hub.port, host: "127.0.0.1", path }, (r) => {
        r.resume();
        resolve(r.statusCode!);
      })
        .on("error", reject)
        .end();
    });
  const join = (token: string) => new WebSocket(`ws://127.0.0.1:${hub.port}/join?token=${token}`);
  const outcome = (ws: WebSocket) =>
    new Promise<string>((resolve) => {
      ws.on("open", () => resolve("open"));
      ws.on("error", (e) => resolve(e.message));
    });
  const closed = (ws: WebSocket) => new Promise<void>((resolve) => ws.once("close", () => resolve()));

  test("hands out the page, its scripts and the runtime's files, and nothing else", async () => {
    for (const path of ["/", "/page.js", "/worker.js", "/ort/ort.wasm.min.mjs"]) expect(await status(path)).toBe(200);
    for (const path of ["/ort/../package.json", "/ort/%2e%2e%2fpackage.json", "/ort/none.wasm", "/etc/passwd"])
      expect(await status(path)).toBe(404);
  });

  test.each(["", "wrong", "x".repeat(5000)])("token %j is refused", async (token) => {
    expect(await outcome(join(token))).toMatch(/401|socket hang up|431/);
  });

  test("what is no greeting, or too long, ends the socket, and the hub lives", async () => {
    for (const data of [
      "hello",
      Buffer.from([255, 255, 255, 255]),
      encodeMessage({ ready: true }),
      Buffer.alloc(20_000),
    ]) {
      const ws = join(hub.token);
      expect(await outcome(ws)).toBe("open");
      ws.on("error", () => {});
      ws.send(data);
      await closed(ws);
    }
    expect(await status("/")).toBe(200);
  });

  test("more devices than allowed are turned away", async () => {
    const sockets = [join(hub.token), join(hub.token), join(hub.token)];
    for (const ws of sockets) expect(await outcome(ws)).toBe("open");
    expect(await outcome(join(hub.token))).toMatch(/503/);
    for (const ws of sockets) ws.terminate();
  });
});

describe("a device that joined", () => {
  const hello = {
    ready: true,
    protocol: 1,
    runtime: { package: "onnxruntime-web", version: "1.0.0", provider: "CPUExecutionProvider" },
    clockMs: 0.1,
    page: {
      provider: "wasm",
      threads: 1,
      userAgent: "test",
      cores: 2,
      memoryBytes: null,
      isolated: false,
      secure: true,
      adapter: null,
    },
  };

  async function joined(answer: (ws: WebSocket, message: { id: number }) => void) {
    let resolve!: (d: import("../../runners/hub/joined.js").JoinedDevice) => void;
    const device = new Promise<import("../../runners/hub/joined.js").JoinedDevice>((r) => {
      resolve = r;
    });
    const hub = await openHub({ onJoin: resolve });
    const ws = new WebSocket(`ws://127.0.0.1:${hub.port}/join?token=${hub.token}`);
    ws.on("open", () => ws.send(encodeMessage(hello)));
    ws.on("message", (data: Buffer) => answer(ws, decodeMessage(data) as { id: number }));
    ws.on("error", () => {});
    return { device: await device, hub };
  }

  test("whose page is closed mid-work fails what was asked, by name", async () => {
    const { device, hub } = await joined((ws) => ws.terminate());
    await expect(device.link.ask<"unload">({ type: "unload", model: 1 })).rejects.toMatchObject({
      code: "device-lost",
    });
    expect(await device.gone).toMatchObject({ code: "device-lost" });
    await hub.close();
  });

  test("that answers with nonsense is dropped", async () => {
    const { device, hub } = await joined((ws, { id }) => ws.send(encodeMessage({ id, ok: "perhaps" })));
    await expect(device.link.ask<"unload">({ type: "unload", model: 1 })).rejects.toMatchObject({
      code: "device-lost",
    });
    await hub.close();
  });
});
