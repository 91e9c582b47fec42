/** The page in a real browser, with a camera that is a file of rendered pictures, and with everything that can go wrong. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { findChromium } from "../../../runners/browser/index.js";
import { ownStack } from "../../../samples/driver-monitoring/headless/stackFolder.js";
import { type PageServer, servePage } from "../../../samples/driver-monitoring/page/server.js";
import { buildSite } from "../../../samples/driver-monitoring/page/site.js";
import { writeFakeCamera } from "./fakeCamera.js";

const executablePath = findChromium();

describe.runIf(executablePath)("the page in a browser", { timeout: 180_000 }, () => {
  let folder: string;
  let server: PageServer;
  let browser: Browser | undefined;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "edgefit-page-"));
    server = await servePage(await buildSite(ownStack()));
    await writeFakeCamera(join(folder, "camera.y4m"), { actions: [], lengthMs: 1000, rate: 5, width: 320 });
  }, 180_000);
  afterEach(async () => {
    await browser?.close();
    browser = undefined;
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Opens the page and keeps what it asks of the network, and its errors. */
  async function open(args: readonly string[]): Promise<{ page: Page; asked: string[]; errors: string[] }> {
    browser = await chromium.launch({
      executablePath,
      headless: true,
      chromiumSandbox: process.getuid?.() !== 0,
      args: [...args],
    });
    const page = await browser.newPage();
    const asked: string[] = [];
    const errors: string[] = [];
    page.on("request", (r) => asked.push(r.url()));
    page.on("pageerror", (e) => errors.push(e.message));
    await page.goto(server.url);
    return { page, asked, errors };
  }
  const stateOf = (page: Page) => page.evaluate(() => document.body.dataset.state);
  const picturesOf = (page: Page) => page.evaluate(() => Number(document.body.dataset.pictures ?? 0));
  const titleOf = (page: Page) => page.locator("#cover-title").textContent();
  const waits = { timeout: 120_000, interval: 300 };
  const camera = () => [
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    `--use-file-for-fake-video-capture=${join(folder, "camera.y4m")}`,
  ];

  test("finds the driver, shows every stage's time, asks nothing of any other host; hides, loses its camera, goes on", async () => {
    const { page, asked, errors } = await open(camera());
    await expect.poll(() => picturesOf(page), waits).toBeGreaterThan(5);
    await expect.poll(() => page.locator("#driver").textContent(), waits).toMatch(/Left eye\s*\d+ %/);
    await expect.poll(() => page.locator("#stages").textContent(), waits).toMatch(/Read face\s*[\d.]+ \/ 13 ms/);
    expect(await page.locator("#alert-title").textContent()).not.toBe("");
    expect(asked.filter((url) => !url.startsWith(server.url))).toEqual([]);

    const hide = (hidden: boolean) =>
      page.evaluate((h) => {
        Object.defineProperty(document, "hidden", { configurable: true, value: h });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await hide(true);
    expect(await stateOf(page)).toBe("hidden");
    expect(await page.locator("#alert-title").textContent()).toBe("Paused");
    const before = await picturesOf(page);
    await page.waitForTimeout(1000);
    expect(await picturesOf(page)).toBe(before);
    await hide(false);
    await expect.poll(() => picturesOf(page), waits).toBeGreaterThan(before);

    await page.evaluate(() => {
      const stream = (document.getElementById("video") as HTMLVideoElement).srcObject as MediaStream;
      stream.getVideoTracks()[0].dispatchEvent(new Event("ended"));
    });
    expect(await stateOf(page)).toBe("unplugged");
    expect(await titleOf(page)).toBe("The camera was disconnected");
    await page.evaluate(() => navigator.mediaDevices.dispatchEvent(new Event("devicechange")));
    await expect.poll(() => stateOf(page), waits).toBe("running");
    expect(errors).toEqual([]);
  });

  test("opens again without its server, once it was opened", async () => {
    const { page } = await open(camera());
    await expect.poll(() => picturesOf(page), waits).toBeGreaterThan(0);
    await page.evaluate(async () => {
      await navigator.serviceWorker.ready;
    });
    await page.context().setOffline(true);
    await page.reload();
    await expect.poll(() => picturesOf(page), waits).toBeGreaterThan(0);
  });

  test("says so when the camera is not allowed", async () => {
    const { page } = await open(["--use-fake-device-for-media-stream"]);
    await expect.poll(() => stateOf(page), waits).toBe("denied");
    expect(await titleOf(page)).toBe("The camera is not allowed");
    expect(await page.locator("#again").isVisible()).toBe(true);
  });

  test("says so when there is no camera", async () => {
    const { page } = await open(["--use-fake-ui-for-media-stream"]);
    await expect.poll(() => stateOf(page), waits).toBe("none");
    expect(await titleOf(page)).toBe("No camera was found");
  });
});
