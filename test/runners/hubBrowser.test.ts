/** A real Chromium joins a hub as a phone would: it measures and validates, is killed and comes back, and its page says so. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findChromium } from "../../runners/browser/index.js";
import { type HubDeviceOptions, openHubDevice } from "../../runners/hub/open.js";
import { type Hub, openHub } from "../../runners/hub/server.js";
import type { DeviceRunner } from "../../runners/runner.js";
import type { Dataset } from "../../toolkit/data/index.js";
import { writeModel } from "../../toolkit/onnx/index.js";
import { profileModel } from "../../toolkit/profile.js";
import { withSession } from "../../toolkit/runtime/session.js";
import { openSubject } from "../../toolkit/subject.js";
import { validate } from "../../toolkit/validate.js";
import { smallNet } from "../support/models.js";
import { convModel, eventually, wire } from "./models.js";

const SKIPPED = "skipped where no Chromium is installed; on Debian: apt-get install chromium";
const chromiumPath = findChromium();

describe.skipIf(!chromiumPath)(`a Chromium that joins the hub (${SKIPPED})`, () => {
  let hub: Hub;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  const folder = mkdtempSync(join(tmpdir(), "edgefit-hub-browser-"));
  const file = join(folder, "net.onnx");
  const notes: string[] = [];

  const open = (o: HubDeviceOptions = {}) =>
    openHubDevice(hub.devices, { onNote: (n) => notes.push(n), patienceMs: 120_000, purpose: "net.onnx", ...o });
  const joined = async (url = hub.pageUrl("localhost", { sampleMs: "1" })): Promise<Page> => {
    const opened = await context.newPage();
    await opened.goto(url);
    await opened.waitForFunction(() => document.body.dataset.link === "up", undefined, { timeout: 120_000 });
    return opened;
  };
  const shows = (text: RegExp) =>
    page.waitForFunction((t) => new RegExp(t).test(document.body.textContent ?? ""), text.source, { timeout: 60_000 });

  beforeAll(async () => {
    writeFileSync(file, writeModel(smallNet()));
    hub = await openHub();
    const { chromium } = await import("playwright-core");
    browser = await chromium.launch({
      executablePath: chromiumPath,
      chromiumSandbox: process.getuid?.() !== 0,
      args: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-gpu"],
    });
    context = await browser.newContext({ viewport: { width: 390, height: 844 } });
    page = await joined();
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    await hub?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test("is listed with what it has: threads, isolation, a software adapter", () => {
    expect(hub.devices.list()).toMatchObject([
      {
        name: "chrome-linux",
        busy: null,
        page: { isolated: true, secure: true, adapter: { isFallback: true } },
        facts: { kind: "web-wasm", emulated: false, runtime: { threads: 1 } },
      },
    ]);
  });

  test("validates on the device and compares its answers with this machine's; the page shows it", async () => {
    const runner = await open();
    try {
      const found = await validate({ models: [file], device: hasty(runner), dims: { N: 1 }, data: await labelled() });
      const [model] = found.models;
      expect(found.device).toMatchObject({ id: "chrome-linux-wasm-t1", kind: "web-wasm" });
      expect(model.accuracy).toMatchObject({ top1: 1, images: IMAGES });
      expect(model.host).toMatchObject({
        images: IMAGES,
        differing: 0,
        accuracy: { device: 1, host: 1 },
        runtime: { package: "onnxruntime-node" },
      });
      expect(model.golden.maxAbsError).toBeLessThan(1e-4);
      await shows(/net\.onnx[\s\S]*Median[\s\S]*ms/);
    } finally {
      await runner.close();
    }
    await shows(/Ready/);
  }, 300_000);

  test("killed in the middle of a table, it comes back under its name and the table is completed", async () => {
    notes.length = 0;
    const runner = await open();
    let killed: Promise<unknown> | undefined;
    try {
      const found = await profileModel({
        graph: (await openSubject({ model: file, dims: { N: 1 } })).graph,
        runner,
        samples: 12,
        sampling: { calls: 20, sessions: 1, samples: 20, repeats: 0 },
        seed: 1,
        cacheDir: folder,
        onProgress: ({ stage, done, total }) => {
          if (killed || !/measuring sub-nets/.test(stage) || done === 0 || done === total) return;
          killed = kill(context, page).then(async () => {
            page = await joined();
          });
        },
      });
      expect(killed).toBeDefined();
      await killed;
      expect(notes.join("\n")).toMatch(/chrome-linux: the device broke off: its tab or process crashed or was killed/);
      expect(hub.devices.list().map((d) => d.name)).toEqual(["chrome-linux"]);
      expect(found.table.rows.length).toBeGreaterThan(0);
      expect(found.table.nets).toHaveLength(12);
      expect(found.table.reference.fp32).toBeGreaterThan(0);
    } finally {
      await runner.close();
    }
  }, 600_000);

  test("a page that is reloaded while it works loses no work", async () => {
    const runner = await open();
    try {
      const { id } = await runner.load(convModel());
      const feeds = { x: wire(new Array(768).fill(0.5), [1, 3, 16, 16]) };
      // Long enough on any machine for a sign of life to come before its end.
      const job = { warmup: 1, minWarmupMs: 0, minSamples: 60, minTimeMs: 6000 };
      const rows = runner.measure({ models: [{ id, feeds }], ...job });
      expect(await eventually(() => hub.devices.list()[0]?.beat !== null, 60_000)).toBe(true);
      await page.reload();
      expect((await rows)[0]).toMatchObject({ stopped: "enough" });
      expect((await rows)[0].samplesMs.length).toBeGreaterThanOrEqual(60);
    } finally {
      await runner.close();
    }
  }, 300_000);

  test("a second tab of the same browser takes over, and the first one says so", async () => {
    const second = await joined();
    await shows(/Another tab has taken over/);
    expect(hub.devices.list()).toHaveLength(1);
    await page.close();
    page = second;
  }, 180_000);

  test("its WebGPU, in software, computes the same, is marked as emulated, and is not chosen by itself", async () => {
    const chosen = await open({ provider: "auto", probe: () => ({ model: convModel(), feeds: {} }) });
    expect(await chosen.describe()).toMatchObject({ kind: "web-wasm" });
    await chosen.close();
    const runner = await open({ provider: "webgpu" });
    try {
      expect(await runner.describe()).toMatchObject({
        kind: "web-webgpu",
        emulated: true,
        runtime: { provider: "WebGpuExecutionProvider" },
      });
      const found = await validate({ models: [file], device: hasty(runner), dims: { N: 1 }, data: await labelled(4) });
      expect(found.models[0]).toMatchObject({ accuracy: { top1: 1 }, host: { differing: 0 } });
    } finally {
      await runner.close();
    }
  }, 600_000);

  test("a page with a code that is not valid any more says so", async () => {
    const stale = await context.newPage();
    await stale.goto(hub.pageUrl("localhost").replace(hub.token, "another"));
    expect(await stale.textContent("h1")).toBe("This code is not valid");
    await stale.close();
  });

  test("over plain http it runs one thread and says in plain words what is missing, and why", async () => {
    const { chromium } = await import("playwright-core");
    const other = await chromium.launch({
      executablePath: chromiumPath,
      chromiumSandbox: process.getuid?.() !== 0,
      args: ["--host-resolver-rules=MAP phone.test 127.0.0.1"],
    });
    try {
      const plain = await other.newPage();
      await plain.goto(hub.pageUrl("phone.test"));
      await plain.waitForFunction(() => document.body.dataset.state === "ready", undefined, { timeout: 120_000 });
      const text = await plain.textContent("#missing");
      for (const word of [
        /Threads: the runtime uses one/,
        /WebGPU: .*secure addresses only/,
        /http is not secure/,
        /--https/,
      ])
        expect(text).toMatch(word);
      const entry = hub.devices.list().find((d) => d.page && !d.page.isolated);
      expect(entry).toMatchObject({ page: { secure: false, adapter: null }, facts: { runtime: { threads: 1 } } });
      expect(entry!.facts.clockMs).toBeGreaterThan(0.01);
    } finally {
      await other.close();
    }
  }, 180_000);

  test("when the hub is closed the page says that it is done", async () => {
    await hub.close();
    await shows(/Done/);
  }, 60_000);
});

/** The device with a few samples in place of hundreds: what is tested is the way, not the figure. */
const hasty = (r: DeviceRunner): DeviceRunner => ({
  ...r,
  measure: (job, signal) => r.measure({ ...job, warmup: 1, minWarmupMs: 0, minSamples: 12, minTimeMs: 0 }, signal),
});

/** Ends the process of a page, as the system does when a phone runs out of memory. */
async function kill(context: BrowserContext, page: Page): Promise<void> {
  const crashed = new Promise((resolve) => page.once("crash", resolve));
  const session = await context.newCDPSession(page);
  session.send("Page.crash").catch(() => {}); // nobody is left to answer
  await crashed;
  await page.close();
}

const IMAGES = 12;

/** Waves as images, labelled with what this machine's own runtime answers. */
async function labelled(count = IMAGES): Promise<Dataset> {
  const image = (i: number) => Float32Array.from({ length: 192 }, (_, k) => Math.sin((i + 1) * (k + 1)));
  const labels = await withSession(writeModel(smallNet()), {}, async (session) => {
    const out: number[] = [];
    for (let i = 0; i < count; i++) {
      const { prob } = await session.run({ image: { elemType: "float32", dims: [1, 3, 8, 8], data: image(i) } });
      const scores = Array.from(prob.data as Float32Array);
      out.push(scores.indexOf(Math.max(...scores)));
    }
    return out;
  });
  const split = {
    count,
    labelled: true,
    batch: async (indices: ArrayLike<number>) => {
      const list = Array.from(indices);
      return {
        data: Float32Array.from(list.flatMap((i) => Array.from(image(i)))),
        dims: [list.length, 3, 8, 8],
        labels: Int32Array.from(list, (i) => labels[i]),
      };
    },
  };
  return { name: "waves", train: split, test: split, skipped: [] };
}
