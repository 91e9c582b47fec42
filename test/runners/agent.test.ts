/** The agent: finds its hub, is known again, comes back after losses, and gives up where trying again is of no use. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { joinAddress, shown } from "../../runners/agent/address.js";
import { type AgentEvent, runAgent } from "../../runners/agent/agent.js";
import { pause, waitBefore } from "../../runners/agent/backoff.js";
import { type ConnectionOptions, serveConnection } from "../../runners/agent/connection.js";
import { deviceId } from "../../runners/agent/identity.js";
import { DeviceError } from "../../runners/errors.js";
import { openHub } from "../../runners/hub/server.js";
import type { Hello } from "../../runners/web/hello.js";
import { denseModel, eventually, wire } from "./models.js";

const folder = mkdtempSync(join(tmpdir(), "edgefit-agent-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the address of a hub", () => {
  test.each([
    ["http://10.0.0.5:8717", "t", "ws://10.0.0.5:8717/join?token=t"],
    ["10.0.0.5:8717", "t", "ws://10.0.0.5:8717/join?token=t"],
    ["https://hub.local:8718/?token=abc#x", undefined, "wss://hub.local:8718/join?token=abc"],
    ["ws://user:secret@hub:1/anything?token=old", "new", "ws://hub:1/join?token=new"],
  ])("%s", (hub, token, expected) => {
    expect(joinAddress(hub, token).href).toBe(expected);
  });

  test.each(["", "ftp://hub", "http://", "not a hub"])("%j is none", (hub) => {
    expect(() => joinAddress(hub, "t")).toThrow(expect.objectContaining({ code: "hub-address" }));
  });

  test("needs a token, and is shown without it", () => {
    expect(() => joinAddress("http://hub:1", undefined)).toThrow(expect.objectContaining({ code: "hub-token" }));
    expect(shown(joinAddress("https://hub:1", "secret"))).toBe("https://hub:1");
  });
});

test("waits grow to half a minute, each with a random half", () => {
  for (const [attempt, most] of [
    [0, 1000],
    [1, 2000],
    [4, 16_000],
    [5, 30_000],
    [1000, 30_000],
  ])
    expect([waitBefore(attempt, 0), waitBefore(attempt, 1)]).toEqual([most / 2, most]);
});

test("a wait ends when it is aborted", async () => {
  const controller = new AbortController();
  const waited = pause(60_000, controller.signal);
  controller.abort();
  await waited;
  await pause(60_000, controller.signal);
});

test("the id lasts, differs by what computes, and is made anew from a damaged file or in memory", () => {
  const state = join(folder, "state");
  const id = deviceId("arm64-t1", state);
  expect(id).toMatch(/^[0-9a-f]{16}-arm64-t1$/);
  expect(deviceId("arm64-t1", state)).toBe(id);
  expect(deviceId("arm64-t2", state)).toBe(id.replace("t1", "t2"));
  writeFileSync(join(state, "agent-id"), "../../etc");
  expect(deviceId("arm64-t1", state)).toMatch(/^[0-9a-f]{16}-arm64-t1$/);
  expect(deviceId("x", join(state, "agent-id/below"))).toMatch(/^[0-9a-f]{16}-x$/);
});

describe("how a connection ends", () => {
  const hello: Hello = {
    ready: true,
    protocol: 1,
    runtime: { package: "onnxruntime-node", version: "1.0.0", provider: "CPUExecutionProvider", node: "20.0.0" },
    clockMs: 0.001,
    device: { id: "0123456789abcdef", name: "board" },
    beats: true,
    machine: {
      kind: "node-cpu",
      hardware: { cpu: "a board", cores: 4, isa: ["neon"], memoryBytes: 1e9 },
      os: { platform: "linux", arch: "arm64", release: null },
      conditions: { governor: null, temperatureC: null, charging: null },
      emulated: false,
      threads: 1,
    },
  };
  const connect = (address: URL, o: Partial<ConnectionOptions> = {}) =>
    serveConnection({
      address,
      hello,
      ask: async () => undefined,
      beat: async () => "working",
      signal: new AbortController().signal,
      ...o,
    });
  const at = (port: number, token = "t") => joinAddress(`http://127.0.0.1:${port}`, token);

  test("nobody listens: try again", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((r) => server.once("listening", r));
    const { port } = server.address() as AddressInfo;
    await new Promise((r) => server.close(r));
    const ending = await connect(at(port));
    expect(ending).toMatchObject({ final: false, joined: false, reason: { code: "hub-unreachable" } });
    expect(ending.reason.message).toBe("the hub cannot be reached: nothing listens there");
  });

  test("another server: final, with its status", async () => {
    const server = createServer((_, r) => r.writeHead(404).end()).listen(0, "127.0.0.1");
    await new Promise((r) => server.once("listening", r));
    const ending = await connect(at((server.address() as AddressInfo).port));
    server.close();
    expect(ending).toMatchObject({ final: true, reason: { code: "hub-address" } });
    expect(ending.reason.message).toMatch(/no hub of edgefit/);
  });

  test("a wrong token: final; another version: final, with the hub's words", async () => {
    const hub = await openHub();
    try {
      expect(await connect(at(hub.port, "wrong"))).toMatchObject({ final: true, reason: { code: "hub-token" } });
      const other = await connect(at(hub.port, hub.token), { hello: { ...hello, protocol: 999 } });
      expect(other).toMatchObject({ final: true, reason: { code: "hub-refused" } });
      expect(other.reason.message).toMatch(/protocol 999/);
    } finally {
      await hub.close();
    }
  });

  test("the same device again: the first one gives way, for good; a hub that closes: try again", async () => {
    const hub = await openHub();
    const names: string[] = [];
    let second: ReturnType<typeof connect>;
    const first = connect(at(hub.port, hub.token), {
      onJoined(name) {
        names.push(name);
        second = connect(at(hub.port, hub.token), { onJoined: (n) => names.push(n) });
      },
    });
    expect(await first).toMatchObject({ final: true, joined: true, reason: { code: "agent-replaced" } });
    expect(await eventually(() => names.length === 2)).toBe(true);
    await hub.close();
    expect(await second!).toMatchObject({ final: false, joined: true });
    expect(names).toEqual(["board", "board"]);
  });

  test("answers errors by name, stops work when asked, and leaves after a crash of the runtime", async () => {
    const hub = await openHub();
    try {
      let crash = false;
      const ended = connect(at(hub.port, hub.token), {
        ask: async (_, signal) => {
          if (crash) throw new DeviceError("runtime-crashed", "the runtime was ended by SIGSEGV");
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
      });
      const lease = await hub.devices.lease({});
      const controller = new AbortController();
      const work = lease.link.ask<"unload">({ type: "unload", model: 1 }, controller.signal);
      setTimeout(() => controller.abort(new Error("enough")), 50);
      await expect(work).rejects.toThrow("enough");
      crash = true;
      await expect(lease.link.ask<"unload">({ type: "unload", model: 1 })).rejects.toMatchObject({
        code: "runtime-crashed",
      });
      expect(await ended).toMatchObject({ final: false, used: true, reason: { code: "runtime-crashed" } });
    } finally {
      await hub.close();
    }
  });
});

describe("a running agent", () => {
  const events: AgentEvent[] = [];
  const controller = new AbortController();
  let hub: Awaited<ReturnType<typeof openHub>>;
  let running: ReturnType<typeof runAgent>;
  const count = (event: AgentEvent["event"]) => events.filter((e) => e.event === event).length;

  beforeAll(async () => {
    hub = await openHub();
    running = runAgent({
      hub: `http://127.0.0.1:${hub.port}`,
      token: hub.token,
      name: "lab board",
      stateFolder: join(folder, "running"),
      signal: controller.signal,
      onEvent: (e) => events.push(e),
    });
  });
  afterAll(() => hub.close());

  test("joins under its name, says what it is, and computes for the hub", async () => {
    const lease = await hub.devices.lease({});
    expect(lease.name).toBe("lab-board");
    expect(events[0]).toMatchObject({ event: "ready", note: null });
    const feeds = { x: wire([3, 4], [1, 2]) };
    const { id } = await lease.link.ask<"load">({
      type: "load",
      bytes: denseModel(),
      threads: 1,
      graphOptimizationLevel: "all",
      profiling: false,
    });
    expect(await lease.link.ask<"run">({ type: "run", model: id, feeds: feeds as never })).toEqual({
      y: wire([11, 9], [1, 2]),
    });
    await lease.link.close();
  });

  test("comes back to a hub that was gone, as the same device, and ends when it is told to", async () => {
    const { port, token } = hub;
    await hub.close();
    expect(await eventually(() => count("waiting") > 0)).toBe(true);
    hub = await openHub({ port, token });
    const lease = await hub.devices.lease({});
    expect(lease.name).toBe("lab-board");
    expect(await eventually(() => count("joined") === 2)).toBe(true);
    controller.abort();
    expect(await running).toEqual({ joins: 2, requests: expect.any(Number) });
    expect(await lease.gone).toMatchObject({ code: "device-lost" });
  });
});
