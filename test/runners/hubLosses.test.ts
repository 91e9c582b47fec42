/** Devices of a hub that go and come back while they work: nothing that was measured is lost, and what brings them down is named. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openHubDevice } from "../../runners/hub/open.js";
import { kinOf } from "../../runners/hub/registry.js";
import { type Hub, openHub } from "../../runners/hub/server.js";
import type { DeviceRunner } from "../../runners/runner.js";
import type { Hello } from "../../runners/web/hello.js";
import { type AnyRequest, type FakeDevice, fakeDevice, joinUrl, measurement, phoneHello } from "./fakeDevice.js";
import { eventually, wire } from "./models.js";

const model = new Uint8Array([1, 2, 3]);
const feeds = { x: wire([1]) };
const withAdapter = (o: { isFallback?: boolean; userAgent?: string } = {}): Hello => {
  const hello = phoneHello();
  return {
    ...hello,
    page: {
      ...hello.page!,
      ...(o.userAgent ? { userAgent: o.userAgent } : {}),
      secure: true,
      isolated: true,
      adapter: { vendor: "arm", architecture: "valhall", isFallback: o.isFallback ?? false },
    },
  };
};

let hub: Hub;
let notes: string[];
let runner: DeviceRunner | undefined;
beforeEach(async () => {
  hub = await openHub();
  notes = [];
});
afterEach(async () => {
  await runner?.close();
  runner = undefined;
  await hub.close();
});

const open = async (o: Parameters<typeof openHubDevice>[1] = {}) => {
  runner = await openHubDevice(hub.devices, {
    provider: "wasm",
    patienceMs: 5000,
    onNote: (n) => notes.push(n),
    ...o,
  });
  return runner;
};
const die = (type: string, times = 1) => {
  let left = times;
  return (request: AnyRequest, d: FakeDevice) => {
    if (request.type !== type || left-- <= 0) return undefined;
    d.ws.terminate();
    return null;
  };
};

describe("a device that goes while it measures", () => {
  test("is waited for; when it is back its models are loaded again and the job is repeated", async () => {
    await fakeDevice(joinUrl(hub), phoneHello(), die("measure"));
    const r = await open();
    const [a, b] = [await r.load(model), await r.load(model)];
    const rows = r.measure({
      models: [
        { id: b.id, feeds },
        { id: a.id, feeds },
      ],
    });
    expect(await eventually(() => notes.length === 1)).toBe(true);
    expect(notes[0]).toMatch(/^pixel-8: the device broke off: .*Waiting for it, or another of its kind, for 5 s$/);
    const back = await fakeDevice(joinUrl(hub));
    expect((await rows).map((row) => row.model)).toEqual([b.id, a.id]);
    expect(back.asked).toEqual(["load", "load", "measure"]);
    // What was loaded before the loss can be used and unloaded under its number.
    await r.run(a.id, feeds);
    await r.unload(a.id);
    await r.unload(b.id);
    await expect(r.run(a.id, feeds)).rejects.toMatchObject({ code: "model-unknown" });
  });

  test("may be replaced by another of its kind, not by one of another", async () => {
    await fakeDevice(joinUrl(hub), phoneHello(), die("measure"));
    const r = await open();
    const { id } = await r.load(model);
    const other = phoneHello({ device: { id: "tablet-1" } });
    other.page = { ...other.page!, userAgent: "Mozilla/5.0 (Linux; Android 13; Tab) Chrome/126.0.0.0", cores: 4 };
    const tablet = await fakeDevice(joinUrl(hub), other);
    const rows = r.measure({ models: [{ id, feeds }] });
    expect(
      await eventually(
        () =>
          hub.devices
            .list()
            .map((d) => d.name)
            .join() === "tab",
      ),
    ).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const twin = await fakeDevice(joinUrl(hub), phoneHello({ device: { id: "device-two" } }));
    expect(await rows).toHaveLength(1);
    expect(tablet.asked).toEqual([]);
    expect(twin.asked).toEqual(["load", "measure"]);
    expect(kinOf(phoneHello())).not.toBe(kinOf(other));
  });

  test("does not come back: the error says which, why and for how long it was waited", async () => {
    await fakeDevice(joinUrl(hub), phoneHello(), die("measure"));
    const r = await open({ patienceMs: 200 });
    const { id } = await r.load(model);
    await expect(r.measure({ models: [{ id, feeds }] })).rejects.toMatchObject({
      code: "device-crashed",
      message: /^pixel-8: the device broke off.*neither it nor another of its kind came back within 0 s/,
    });
    await expect(r.run(id, feeds)).rejects.toMatchObject({ code: "device-crashed" });
  });

  test("a tab that dies of the same job again and again is reported as a crash of that job", async () => {
    const url = joinUrl(hub);
    const comeBack = async () => {
      const d = await fakeDevice(url, phoneHello(), die("profile"));
      void d.closed.then(() => setTimeout(() => comeBack().catch(() => {}), 20)); // until the hub is closed
    };
    await comeBack();
    const r = await open();
    const { id } = await r.load(model, { profiling: true });
    await expect(r.profile(id, feeds, 3, 1)).rejects.toMatchObject({
      code: "device-crashed",
      message: /went 3 times while it was asked to profile/,
    });
  });

  test("a worker that crashes in a page that lives is a loss like any other", async () => {
    let crashes = 1;
    const device = await fakeDevice(joinUrl(hub), phoneHello(), (request, d, id) => {
      if (request.type !== "run" || crashes-- <= 0) return undefined;
      d.send({ id, ok: false, error: { code: "device-crashed", message: "the page's worker crashed: out of memory" } });
      return null;
    });
    const r = await open();
    const { id } = await r.load(model);
    expect((await r.run(id, feeds)).y.data).toEqual(Float32Array.of(1));
    expect(device.asked.filter((a) => a === "load")).toHaveLength(2);
    expect(notes.join()).toMatch(/out of memory/);
  });

  test("a refusal of the device is an answer, not a loss", async () => {
    await fakeDevice(joinUrl(hub), phoneHello(), (request, d, id) => {
      if (request.type !== "load") return undefined;
      d.send({ id, ok: false, error: { code: "model-load-failed", message: "no such operator" } });
      return null;
    });
    const r = await open();
    await expect(r.load(model)).rejects.toMatchObject({ code: "model-load-failed" });
    expect(notes).toEqual([]);
  });

  test("waiting for it ends when the host wants to end", async () => {
    await fakeDevice(joinUrl(hub), phoneHello(), die("measure"));
    const controller = new AbortController();
    const r = await open({ signal: controller.signal });
    const { id } = await r.load(model);
    const rows = r.measure({ models: [{ id, feeds }] }, controller.signal);
    expect(await eventually(() => notes.length === 1)).toBe(true);
    controller.abort(new Error("enough"));
    await expect(rows).rejects.toThrow("enough");
  });

  test("that comes back as something else is not taken for the same", async () => {
    const hello = withAdapter();
    await fakeDevice(joinUrl(hub), hello, die("measure"));
    const r = await open({ threads: 4 });
    const { id } = await r.load(model);
    const rows = r.measure({ models: [{ id, feeds }] }).catch((e) => e);
    const lost = await eventually(() => notes.length === 1);
    expect(lost).toBe(true);
    // Now over plain http: one thread.
    await fakeDevice(joinUrl(hub), { ...hello, page: { ...hello.page!, isolated: false } }, (request) =>
      request.type === "configure" ? { ...hello, page: { ...hello.page!, isolated: false, threads: 1 } } : undefined,
    );
    expect(await rows).toMatchObject({ code: "device-changed" });
  });
});

describe("the provider", () => {
  /** A phone whose WebGPU takes `gpuMs` and computes `y`. */
  const phone = (gpuMs: number, y = 1, hello = withAdapter(), onGpu?: (d: FakeDevice, id: number) => null) => {
    let provider = "wasm";
    return fakeDevice(joinUrl(hub), hello, (request, d, id) => {
      if (request.type === "configure") provider = request.provider!;
      else if (provider === "webgpu" && onGpu && request.type === "load") return onGpu(d, id);
      else if (provider === "webgpu" && request.type === "run")
        return { y: { elemType: "float32", dims: [1], data: Float32Array.of(y) } };
      else if (request.type === "measure") {
        const ms = provider === "webgpu" ? gpuMs : 2;
        return request.models!.map((m) => measurement(m.id, [ms, ms, ms]));
      }
      return undefined;
    });
  };
  const auto = { provider: "auto" as const, probe: () => ({ model, feeds }) };

  test.each([
    ["the faster one, WebGPU", 1, 1, "web-webgpu", /WebAssembly 2\.00 ms, WebGPU 1\.00 ms; WebGPU is taken/],
    ["the faster one, WebAssembly", 9, 1, "web-wasm", /WebAssembly is taken/],
    ["WebAssembly where both are as fast", 1.95, 1, "web-wasm", /WebAssembly is taken/],
    ["WebAssembly where WebGPU computes something else", 1, 3, "web-wasm", /WebGPU computes something else/],
  ])("`auto` takes %s", async (_, gpuMs, y, kind, note) => {
    await phone(gpuMs, y);
    const r = await open(auto);
    expect((await r.describe()).kind).toBe(kind);
    expect(notes.join()).toMatch(note);
  });

  test("`auto` takes WebAssembly where WebGPU refuses the model, or brings the page down", async () => {
    await phone(1, 1, withAdapter(), (d, id) => {
      d.send({ id, ok: false, error: { code: "model-load-failed", message: "not on this GPU" } });
      return null;
    });
    const r = await open(auto);
    expect((await r.describe()).kind).toBe("web-wasm");
    expect(notes.join()).toMatch(/not on this GPU/);
    await r.close();
    notes = [];

    const twice = await openHub();
    const kill = await fakeDevice(joinUrl(twice), withAdapter(), (request, d) => {
      if (request.type !== "configure" || request.provider !== "webgpu") return undefined;
      d.ws.terminate();
      return null;
    });
    void kill.closed.then(() => fakeDevice(joinUrl(twice), withAdapter()));
    const second = await openHubDevice(twice.devices, { ...auto, onNote: (n) => notes.push(n) });
    expect((await second.describe()).kind).toBe("web-wasm");
    expect(notes.join()).toMatch(/went while WebGPU was tried/);
    await second.close();
    await twice.close();
  });

  test("`auto` does not try WebGPU on iOS, in software, or without a model to try it with", async () => {
    const iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1";
    for (const [hello, o] of [
      [withAdapter({ userAgent: iphone }), auto],
      [withAdapter({ isFallback: true }), auto],
      [withAdapter(), { provider: "auto" as const }],
    ] as const) {
      const device = await phone(1, 1, hello);
      const r = await open(o);
      expect((await r.describe()).kind).toBe("web-wasm");
      expect(device.asked).not.toContain("measure");
      await r.close();
      device.ws.close();
      expect(await eventually(() => hub.devices.list().length === 0)).toBe(true);
    }
  });

  test("WebGPU that is not there is refused, with the reason that the address gives", async () => {
    await fakeDevice(joinUrl(hub));
    await expect(open({ provider: "webgpu" })).rejects.toMatchObject({ code: "provider-missing", hint: /--https/ });
  });

  test("threads that a page cannot have are told", async () => {
    await fakeDevice(joinUrl(hub));
    const r = await open({ threads: 4 });
    expect((await r.describe()).runtime.threads).toBe(1);
    expect(notes.join()).toMatch(/runs 1 thread\(s\), not 4.*--https/);
  });
});

test("a device that is asked for and lost before it is held is waited for", async () => {
  const wait = open();
  expect(await eventually(() => notes.length === 1)).toBe(true);
  expect(notes[0]).toBe("no device has joined; waiting");
  await fakeDevice(joinUrl(hub));
  expect((await (await wait).describe()).id).toBe("pixel-8-wasm-t1");
});
