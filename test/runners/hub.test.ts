/** A hub under devices that lie, flood, hang and vanish: each is refused or dropped, by name, and the hub lives on. */
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { rateLimit } from "../../runners/hub/limits.js";
import { type Hub, type HubOptions, openHub } from "../../runners/hub/server.js";
import { CLOSED } from "../../runners/web/hello.js";
import { encodeMessage } from "../../runners/wire.js";
import { type AnyRequest, type FakeDevice, fakeDevice, joinUrl, measurement, phoneHello } from "./fakeDevice.js";
import { eventually } from "./models.js";

const status = (port: number, path: string) =>
  new Promise<number>((resolve, reject) => {
    request({ port, host: "127.0.0.1", path }, (r) => {
      r.resume();
      resolve(r.statusCode!);
    })
      .on("error", reject)
      .end();
  });

const outcome = (ws: WebSocket) =>
  new Promise<string>((resolve) => {
    ws.on("open", () => resolve("open"));
    ws.on("error", (e) => resolve(e.message));
  });

describe("the hub's door", () => {
  let hub: Hub;
  beforeAll(async () => {
    hub = await openHub({ token: "the-token", limits: { messageBytes: 10_000, devices: 2, silentSockets: 8 } });
  });
  afterAll(() => hub.close());
  const page = "/?token=the-token";
  const join = (token = hub.token) => new WebSocket(`ws://127.0.0.1:${hub.port}/join?token=${token}`);

  test("hands out the page to whoever has the token, the runtime's files, and nothing else", async () => {
    for (const path of [page, "/page.js", "/worker.js", "/ort/ort.wasm.min.mjs"])
      expect(await status(hub.port, path)).toBe(200);
    for (const path of ["/", "/?token=wrong", "/?token=the-token&token=the-token"])
      expect(await status(hub.port, path)).toBe(401);
    for (const path of ["/ort/../package.json", "/ort/%2e%2e%2fpackage.json", "/ort/none.wasm", "/etc/passwd"])
      expect(await status(hub.port, path)).toBe(404);
    expect(await status(hub.port, "/control/devices")).toBe(401);
  });

  test.each(["", "wrong", "the-token2", "x".repeat(5000)])("token %j is refused", async (token) => {
    expect(await outcome(join(token))).toMatch(/401|429|socket hang up|431/);
  });

  test("nobody without a control token is served as a host", async () => {
    for (const authorization of [undefined, "Bearer ", "Bearer the-token"]) {
      const ws = new WebSocket(`ws://127.0.0.1:${hub.port}/control/attach`, {
        headers: authorization === undefined ? {} : { authorization },
      });
      expect(await outcome(ws)).toMatch(/401/);
    }
  });

  test.each<[string, Buffer | string]>([
    ["a text", "hello"],
    ["JSON that is none", Buffer.from([4, 0, 0, 0, ...Buffer.from("{]}!")])],
    ["a length beyond the message", Buffer.from([255, 255, 255, 255])],
    ["an array outside of the message", Buffer.from(broken())],
    ["half a greeting", Buffer.from(encodeMessage({ ready: true }))],
    ["another protocol", Buffer.from(encodeMessage(phoneHello({ protocol: 99 })))],
    ["a greeting of page and program in one", Buffer.from(encodeMessage({ ...phoneHello(), machine: {} }))],
    ["a message that is too long", Buffer.alloc(20_000)],
  ])("%s in place of a greeting ends the socket, and the hub lives", async (_, data) => {
    const ws = join();
    expect(await outcome(ws)).toBe("open");
    const closed = new Promise((resolve) => ws.once("close", resolve));
    ws.send(data);
    await closed;
    expect(hub.devices.list()).toEqual([]);
    expect(await status(hub.port, page)).toBe(200);
  });

  test("frames that are none, and bytes that are no HTTP, end their connection only", async () => {
    const handshake = [
      `GET /join?token=${hub.token} HTTP/1.1`,
      "Host: hub",
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Version: 13",
      "\r\n",
    ].join("\r\n");
    // A frame without its mask, one of a kind that is reserved, and no HTTP at all.
    for (const bytes of [
      Buffer.concat([Buffer.from(handshake), Buffer.from([0x82, 0x05, 1, 2, 3, 4, 5])]),
      Buffer.concat([Buffer.from(handshake), Buffer.from([0xf3, 0xff, 255, 255, 255, 255, 255, 255, 255, 255])]),
      Buffer.from([0, 1, 2, 3, 255, 10, 13, 10, 13]),
    ]) {
      const socket = connect(hub.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.resume();
      socket.write(bytes);
      await new Promise((resolve) => socket.once("close", resolve));
    }
    expect(await status(hub.port, page)).toBe(200);
  });

  test("200 idle sockets, and 100 connections that say nothing, keep no device out", async () => {
    const idle: WebSocket[] = [];
    const mute: Socket[] = [];
    try {
      for (let i = 0; i < 200; i++) {
        const ws = join();
        ws.on("error", () => {});
        idle.push(ws);
      }
      for (let i = 0; i < 100; i++) mute.push(connect(hub.port, "127.0.0.1").on("error", () => {}));
      await Promise.all(idle.map(outcome));
      const device = await fakeDevice(joinUrl(hub));
      expect(await eventually(() => hub.devices.list().length === 1)).toBe(true);
      expect(await eventually(() => idle.filter((ws) => ws.readyState === ws.OPEN).length <= 8)).toBe(true);
      device.ws.terminate();
      expect(await eventually(() => hub.devices.list().length === 0)).toBe(true);
    } finally {
      for (const ws of idle) ws.terminate();
      for (const socket of mute) socket.destroy();
    }
  });

  test("more devices than allowed are turned away, and told so", async () => {
    const ids = ["device-aa", "device-bb", "device-cc"];
    const [a, b] = [
      await fakeDevice(joinUrl(hub), phoneHello({ device: { id: ids[0] } })),
      await fakeDevice(joinUrl(hub), phoneHello({ device: { id: ids[1] } })),
    ];
    expect(await eventually(() => hub.devices.list().length === 2)).toBe(true);
    // `pixel-8` is kept for the device of the test before.
    expect(hub.devices.list().map((d) => d.name)).toEqual(["pixel-8-2", "pixel-8-3"]);
    const third = await fakeDevice(joinUrl(hub), phoneHello({ device: { id: ids[2] } }));
    expect(await third.closed).toBe(CLOSED.full);
    a.ws.terminate();
    b.ws.terminate();
    expect(await eventually(() => hub.devices.list().length === 0)).toBe(true);
  });
});

/** A well-formed header that points outside of its message. */
function broken(): Uint8Array {
  const header = Buffer.from(JSON.stringify({ x: { $array: ["f64", 0, 1e6] } }));
  const out = Buffer.alloc(4 + header.length);
  out.writeUInt32LE(header.length);
  header.copy(out, 4);
  return out;
}

describe("a device that joined", () => {
  let hub: Hub | undefined;
  afterEach(async () => {
    await hub?.close();
    hub = undefined;
  });

  /** A hub with one such device, held. */
  async function held(
    on: (request: AnyRequest, d: FakeDevice, id: number) => unknown,
    limits: HubOptions["limits"] = {},
    hello = phoneHello(),
  ) {
    hub = await openHub({ limits });
    const device = await fakeDevice(joinUrl(hub), hello, on);
    const lease = await hub.devices.lease({ purpose: "a test" });
    return { hub, device, lease };
  }

  const job = { type: "measure" as const, models: [{ id: 1, feeds: {} }] };

  test("is asked, shows what is done, and is free afterwards with nothing left on it", async () => {
    const { hub, device, lease } = await held(() => undefined);
    const { id } = await lease.link.ask<"load">({
      type: "load",
      bytes: new Uint8Array(4),
      threads: 1,
      graphOptimizationLevel: "all",
      profiling: false,
    });
    expect(hub.devices.list()).toMatchObject([{ name: "pixel-8", busy: "a test" }]);
    lease.tell({ title: "net.onnx", stage: "measuring", done: 1, total: 4 });
    expect((await lease.link.ask<"measure">({ ...job, models: [{ id, feeds: {} }] }))[0].samplesMs).toHaveLength(3);
    await lease.link.close();
    expect(device.asked).toEqual(["load", "measure", "unload 1"]);
    expect(device.shown).toContainEqual({ name: "pixel-8" });
    expect(device.shown).toContainEqual({ note: { title: "net.onnx", stage: "measuring", done: 1, total: 4 } });
    expect(hub.devices.list()).toMatchObject([{ name: "pixel-8", busy: null }]);
    await expect(lease.link.ask<"measure">(job)).rejects.toMatchObject({ code: "runner-closed" });
  });

  test.each<[string, unknown, RegExp]>([
    ["NaN", [measurement(1, [1, Number.NaN])], /time that is negative or no number/],
    ["negative times", [measurement(1, [-1])], /negative/],
    ["infinite times", [measurement(1, [Number.POSITIVE_INFINITY])], /no number/],
    ["no times", [measurement(1, [])], /empty list/],
    ["an hour within a second", [measurement(1, [3_600_000])], /3\.60e\+3 s of measured time/],
    ["an hour by calls", [measurement(1, [1], { callsPerSample: 3_600_000 })], /of measured time/],
    ["times as plain numbers", [{ ...measurement(1, []), samplesMs: [1, 2] }], /no list of times/],
    ["another model's times", [measurement(7, [1])], /the models 7, asked were 1/],
    ["nothing", [], /models none, asked were 1/],
    ["a drift that is no number", [measurement(1, [1], { drift: Number.NaN })], /drift/],
  ])("that answers with %s is named, and may try again", async (_, answer, why) => {
    let lies = 1;
    const { lease } = await held(() => (lies-- > 0 ? answer : undefined));
    const error = await lease.link.ask<"measure">(job).catch((e) => e);
    expect(error).toMatchObject({ code: "device-nonsense" });
    expect(error.message).toMatch(/^pixel-8 answered "measure" with/);
    expect(error.message).toMatch(why);
    expect(await lease.link.ask<"measure">(job)).toHaveLength(1);
  });

  test("that claims more profiled time than has passed is named", async () => {
    const profile = { nodes: [], callsUs: Float64Array.of(1e12) };
    const { lease } = await held(() => profile);
    const ask = lease.link.ask<"profile">({ type: "profile", model: 1, feeds: {}, calls: 1, warmup: 0 });
    await expect(ask).rejects.toMatchObject({ code: "device-nonsense" });
  });

  test("that answers with what is no answer is dropped, and what was asked fails by name", async () => {
    const { hub, lease, device } = await held((_, d, id) => {
      d.send({ id, ok: "perhaps" });
      return null;
    });
    await expect(lease.link.ask<"measure">(job)).rejects.toMatchObject({
      code: "device-lost",
      message: /not well formed/,
    });
    expect(await device.closed).toBe(CLOSED.malformed);
    expect(hub.devices.list()).toEqual([]);
  });

  test("that answers with more than is allowed is dropped, and says why", async () => {
    const { lease } = await held(() => ({ y: "x".repeat(50_000) }), { messageBytes: 10_000 });
    await expect(lease.link.ask<"measure">(job)).rejects.toMatchObject({ message: /longer than allowed/ });
  });

  test("that floods the hub with what nobody asked for is dropped", async () => {
    const { device, lease } = await held(() => null, { messagesPerSecond: 5 });
    const ask = lease.link.ask<"measure">(job).catch((e) => e);
    for (let i = 0; i < 50; i++)
      device.send(i % 2 ? { id: 99, ok: true } : { beat: { state: "working", done: null, p50Ms: null, p95Ms: null } });
    expect(await ask).toMatchObject({ code: "device-lost", message: /5 messages a second/ });
    expect(await device.closed).toBe(CLOSED.tooMany);
  });

  test("whose signs of life stop counts as hung; one that sends them may take its time", async () => {
    const beating = phoneHello({ beats: true });
    const hung = await held(() => null, { silenceMs: 200 }, beating);
    await expect(hung.lease.link.ask<"measure">(job)).rejects.toMatchObject({
      code: "device-silent",
      message: /pixel-8 was asked to measure and has given no sign of life/,
    });
    await hung.hub.close();
    const slow = await held(
      (request, d, id) => {
        const beats = setInterval(() => d.send({ beat: { state: "working", done: 0.5, p50Ms: 2, p95Ms: 3 } }), 50);
        setTimeout(() => {
          clearInterval(beats);
          d.answer(id, [measurement(request.models![0].id, [1])]);
        }, 900);
        return null;
      },
      { silenceMs: 400, messagesPerSecond: 100 },
      beating,
    );
    const answer = slow.lease.link.ask<"measure">(job);
    expect(await eventually(() => slow.hub.devices.list()[0]?.beat?.p95Ms === 3)).toBe(true);
    expect(await answer).toHaveLength(1);
  });

  test("that never finishes a job is dropped when its time is over", async () => {
    const { lease } = await held(() => null, { jobMs: 200 });
    await expect(lease.link.ask<"measure">(job)).rejects.toMatchObject({
      code: "device-silent",
      message: /has not finished within/,
    });
  });

  test("that sleeps, so that no heartbeat comes back, counts as gone", async () => {
    hub = await openHub({ limits: { heartbeatMs: 50, missedHeartbeats: 2 } });
    const ws = new WebSocket(joinUrl(hub), { autoPong: false });
    ws.on("error", () => {});
    await outcome(ws);
    ws.send(encodeMessage(phoneHello()));
    const lease = await hub.devices.lease({});
    await expect(lease.link.ask<"measure">(job)).rejects.toMatchObject({ code: "device-lost", message: /asleep/ });
    expect(await lease.gone).toMatchObject({ message: /asleep/ });
  });

  test.each([
    ["was killed", (d: FakeDevice) => d.ws.terminate(), { code: "device-crashed", message: /crashed or was killed/ }],
    [
      "died in Chromium",
      (d: FakeDevice) => d.ws.close(1001),
      { code: "device-crashed", message: /crashed or was killed/ },
    ],
    ["was left", (d: FakeDevice) => d.ws.close(CLOSED.left), { code: "device-lost", message: /closed or reloaded/ }],
  ])("whose tab %s says which of the two it was", async (_, end, error) => {
    const { lease } = await held((_, d) => {
      end(d);
      return null;
    });
    await expect(lease.link.ask<"measure">(job)).rejects.toMatchObject(error);
  });

  test("that joins again under its id has its old name, and the former socket is told", async () => {
    const { hub, device, lease } = await held(() => null);
    const ask = lease.link.ask<"measure">(job).catch((e) => e);
    await fakeDevice(joinUrl(hub));
    expect(await device.closed).toBe(CLOSED.replaced);
    expect(await ask).toMatchObject({ code: "device-lost", message: /joined again/ });
    expect(hub.devices.list()).toMatchObject([{ name: "pixel-8", busy: null }]);
  });

  test("serves one host at a time; the next waits, is told so, and may give up", async () => {
    const { hub, lease } = await held(() => undefined);
    const told: string[] = [];
    const next = hub.devices.lease({ name: "pixel-8" }, { onWait: (why) => told.push(why) });
    const controller = new AbortController();
    const impatient = hub.devices.lease({}, { signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(impatient).rejects.toThrow("enough");
    expect(told).toEqual(["pixel-8 is busy: a test"]);
    await lease.link.close();
    expect((await next).name).toBe("pixel-8");
  });

  test("whose host leaves while it works is stopped, or dropped if it does not stop", async () => {
    const { hub, device, lease } = await held((request) => (request.type === "measure" ? null : undefined));
    const ask = lease.link.ask<"measure">(job).catch((e) => e);
    expect(await eventually(() => device.asked.includes("measure"))).toBe(true);
    device.ws.on("message", () => device.send({ id: 1, ok: false, error: { code: "aborted", message: "stopped" } }));
    await lease.link.close();
    expect(await ask).toMatchObject({ code: "runner-closed" });
    expect(hub.devices.list()).toMatchObject([{ busy: null }]);
  });
});

test("a bucket lets bursts through, then so many a second", () => {
  let t = 0;
  const may = rateLimit(10, () => t);
  const passed = () => Array.from({ length: 100 }, may).filter(Boolean).length;
  expect(passed()).toBe(20);
  t = 500;
  expect(passed()).toBe(5);
  t = 60_000;
  expect(passed()).toBe(20);
});

test("an address that is taken is refused with what to do", async () => {
  const first = await openHub();
  await expect(openHub({ port: first.port })).rejects.toMatchObject({ code: "hub-listen", hint: /--port/ });
  await first.close();
});
