/** A hub in another process: found by its file, listed, asked by name, and left clean. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { certificateFor } from "../../runners/hub/certificate.js";
import { hubSource, listHubDevices } from "../../runners/hub/client.js";
import { joinedDevices } from "../../runners/hub/joinedDevice.js";
import { type StartedHub, startHub } from "../../runners/hub/run.js";
import { parseHubName } from "../../runners/hub/settings.js";
import { findHub, writeHubState } from "../../runners/hub/state.js";
import { resolveDevice } from "../../runners/resolve.js";
import { type FakeDevice, fakeDevice, phoneHello } from "./fakeDevice.js";
import { eventually, wire } from "./models.js";

let folder: string;
let started: StartedHub | undefined;
const before = process.env.EDGEFIT_CACHE;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-hub-test-"));
  process.env.EDGEFIT_CACHE = folder;
});
afterEach(async () => {
  await started?.close();
  started = undefined;
  if (before === undefined) delete process.env.EDGEFIT_CACHE;
  else process.env.EDGEFIT_CACHE = before;
  rmSync(folder, { recursive: true, force: true });
});

const start = async (o: Parameters<typeof startHub>[0] = {}): Promise<StartedHub> => {
  started = await startHub({ host: "127.0.0.1", port: 0, ...o });
  return started;
};
const joinBy = (hub: StartedHub, on?: Parameters<typeof fakeDevice>[2], id = "device-one"): Promise<FakeDevice> => {
  const url = new URL(hub.plainUrl ?? hub.pageUrl);
  return fakeDevice(
    `ws://127.0.0.1:${url.port}/join?token=${url.searchParams.get("token")}`,
    phoneHello({ device: { id } }),
    on,
  );
};

describe("the running hub", () => {
  test("is found by a file that only its user may read, and that goes with it", async () => {
    expect(await findHub()).toBeUndefined();
    expect(await joinedDevices()).toBeUndefined();
    const hub = await start();
    const file = join(folder, "hub.json");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await findHub()).toMatchObject({ pid: process.pid });
    expect(readFileSync(file, "utf8")).not.toContain(new URL(hub.pageUrl).searchParams.get("token"));
    await hub.close();
    expect(await findHub()).toBeUndefined();
    await expect(resolveDevice("hub")).rejects.toMatchObject({ code: "hub-missing", hint: /edgefit hub/ });
  });

  test("a file that a killed hub left behind counts as none, a damaged one is named", async () => {
    await writeHubState({ url: "http://127.0.0.1:9", controlToken: "x", pid: 2 ** 22 + 5, startedAt: "" });
    expect(await findHub()).toBeUndefined();
    // Its process id belongs to another program by now.
    await writeHubState({ url: "http://127.0.0.1:9", controlToken: "x", pid: process.pid, startedAt: "" });
    expect(await joinedDevices()).toBeUndefined();
    await expect(resolveDevice("hub")).rejects.toMatchObject({ code: "hub-unreachable" });
    await (await start()).close();
    writeFileSync(join(folder, "hub.json"), "{");
    await expect(findHub()).rejects.toMatchObject({ code: "hub-state", where: join(folder, "hub.json") });
  });

  test("a second one is refused; so are a short token, a wrong name and a port in use", async () => {
    await start();
    await expect(startHub({ host: "127.0.0.1", port: 0 })).rejects.toMatchObject({ code: "hub-running" });
    const elsewhere = join(folder, "other");
    const port = Number(new URL(started!.pageUrl).port);
    await expect(startHub({ host: "127.0.0.1", port, folder: elsewhere })).rejects.toMatchObject({
      code: "hub-listen",
    });
    await expect(startHub({ token: "short" })).rejects.toMatchObject({ code: "hub-token-short" });
    await expect(startHub({ name: "no name", folder: elsewhere })).rejects.toMatchObject({ code: "hub-name" });
  });

  test("lists who has joined, to whoever has its control token", async () => {
    const hub = await start();
    await joinBy(hub);
    await joinBy(hub, undefined, "device-two");
    const address = (await findHub())!;
    expect((await listHubDevices(address)).map((d) => d.name)).toEqual(["pixel-8", "pixel-8-2"]);
    await expect(listHubDevices({ ...address, controlToken: "wrong" })).rejects.toMatchObject({ code: "hub-token" });
    await expect(hubSource({ ...address, controlToken: "wrong" }).lease({}, {})).rejects.toMatchObject({
      code: "hub-token",
    });
    expect(await joinedDevices()).toMatchObject([{ busy: null, page: { isolated: false } }, { name: "pixel-8-2" }]);
  });
});

describe("a device of a hub in another process", () => {
  const model = new Uint8Array([1, 2, 3]);

  test.each(["hub", "hub:pixel-8", "pixel-8", "hub:pixel-8,level=basic", "REMOTE"])(
    "opens by the name %s, works, and is left clean",
    async (name) => {
      const hub = await start();
      const device = await joinBy(hub);
      const runner = await resolveDevice(name === "REMOTE" ? hub.remote : name, { purpose: "net.onnx" });
      expect(await runner.describe()).toMatchObject({ id: "pixel-8-wasm-t1", os: { platform: "android" } });
      expect(hub.devices.list()).toMatchObject([{ busy: "net.onnx" }]);
      const { id } = await runner.load(model);
      const [row] = await runner.measure({ models: [{ id, feeds: { x: wire([1]) } }] });
      expect(row.samplesMs).toEqual(Float64Array.of(1, 1, 1));
      runner.tell?.({ title: "net.onnx", stage: "measuring", done: 1, total: 2 });
      await runner.close();
      expect(await eventually(() => hub.devices.list()[0].busy === null)).toBe(true);
      expect(device.asked).toEqual(["load", "measure", "unload 1"]);
      expect(device.shown.some((m) => "note" in m && m.note.title === "net.onnx")).toBe(true);
    },
  );

  test("that nobody knows is refused with the names that there are", async () => {
    const hub = await start();
    await expect(resolveDevice("hub:tablet")).rejects.toMatchObject({
      code: "device-unknown",
      hint: /none has joined/,
    });
    await joinBy(hub);
    await expect(resolveDevice("hub:tablet")).rejects.toMatchObject({ hint: "joined: pixel-8" });
    await expect(resolveDevice("tablet")).rejects.toMatchObject({ code: "device-unknown", hint: /edgefit hub/ });
  });

  test("is asked again after a loss, through the hub", async () => {
    const hub = await start();
    await joinBy(hub, (request, d) => {
      if (request.type !== "measure") return undefined;
      d.ws.terminate();
      return null;
    });
    const notes: string[] = [];
    const runner = await resolveDevice("hub:provider=wasm", { onNote: (n) => notes.push(n) });
    const { id } = await runner.load(model);
    const rows = runner.measure({ models: [{ id, feeds: { x: wire([1]) } }] });
    expect(await eventually(() => notes.length === 1)).toBe(true);
    const back = await joinBy(hub);
    expect(await rows).toHaveLength(1);
    expect(back.asked).toEqual(["load", "measure"]);
    await runner.close();
  });

  test("waits while another command has it", async () => {
    const hub = await start();
    await joinBy(hub);
    const first = await resolveDevice("hub", { purpose: "first.onnx" });
    const notes: string[] = [];
    const second = resolveDevice("pixel-8", { onNote: (n) => notes.push(n) });
    expect(await eventually(() => notes[0] === "pixel-8 is busy: first.onnx; waiting")).toBe(true);
    await first.close();
    await (await second).close();
  });

  test("a hub that ends while it is asked is named", async () => {
    const hub = await start();
    await joinBy(hub, (request) => (request.type === "measure" ? null : undefined));
    const runner = await resolveDevice("hub");
    const { id } = await runner.load(model);
    const rows = runner.measure({ models: [{ id, feeds: { x: wire([1]) } }] }).catch((e) => e);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await hub.close();
    expect((await rows).code).toMatch(/^(hub-lost|hub-unreachable|device-lost)$/);
    await runner.close();
  });
});

describe("https", () => {
  test("the page is served under a certificate for the shown name, which is kept", async () => {
    const hub = await start({ https: true, name: "127.0.0.1" });
    const kept = JSON.parse(readFileSync(join(folder, "hub-certificate.json"), "utf8")) as { cert: string };
    expect(statSync(join(folder, "hub-certificate.json")).mode & 0o777).toBe(0o600);
    expect(hub.certificate?.reused).toBe(false);
    expect(hub.pageUrl).toMatch(/^https:/);
    const get = (url: string) =>
      new Promise<{ status: number; text: string; policy: unknown }>((resolve, reject) => {
        request(url, { ca: kept.cert }, (r) => {
          let text = "";
          r.on("data", (d) => {
            text += d;
          });
          r.on("end", () => resolve({ status: r.statusCode!, text, policy: r.headers["cross-origin-opener-policy"] }));
        })
          .on("error", reject)
          .end();
      });
    expect(await get(hub.pageUrl)).toMatchObject({ status: 200, policy: "same-origin" });
    // The other address names the secure one.
    const plain = await (await fetch(hub.plainUrl!)).text();
    expect(plain).toContain(`data-secure="https://{host}:${new URL(hub.pageUrl).port}"`);
    await hub.close();
    expect((await start({ https: true, name: "127.0.0.1" })).certificate).toEqual({
      ...hub.certificate,
      reused: true,
    });
  });

  test("a certificate is made anew for another address, or where its file is damaged", async () => {
    const first = await certificateFor(["192.168.7.5", "box.local"], folder);
    expect(await certificateFor(["box.local"], folder)).toEqual({ ...first, reused: true });
    const second = await certificateFor(["192.168.7.6"], folder);
    expect(second.reused).toBe(false);
    expect(second.fingerprint).not.toBe(first.fingerprint);
    const file = join(folder, "hub-certificate.json");
    for (const text of ["{", JSON.stringify({ key: first.key, cert: second.cert })]) {
      writeFileSync(file, text);
      expect((await certificateFor([], folder)).reused).toBe(false);
    }
  });
});

describe("names of devices of a hub", () => {
  test.each([
    ["hub", { settings: {} }],
    ["hub:", { settings: {} }],
    ["hub:threads=2", { settings: { threads: 2 } }],
    ["hub:pixel-8,threads=2,provider=webgpu", { name: "pixel-8", settings: { threads: 2, provider: "webgpu" } }],
    [
      "hub:http://10.0.0.5:8717#secret,provider=auto",
      { address: { url: "http://10.0.0.5:8717", controlToken: "secret" }, settings: { provider: "auto" } },
    ],
    [
      "hub:https://box.local:8718/pixel-8#secret",
      { name: "pixel-8", address: { url: "https://box.local:8718", controlToken: "secret" }, settings: {} },
    ],
  ])("%s", (text, meant) => expect(parseHubName(text)).toEqual(meant));

  test.each(["hub:http://10.0.0.5:8717", "hub:http://", "hub:threads=0", "hub:port=1", "hub:pixel-8,fast"])(
    "%s is refused",
    (text) => expect(() => parseHubName(text)).toThrow(expect.objectContaining({ code: "device-setting" })),
  );
});
