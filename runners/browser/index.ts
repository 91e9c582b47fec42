/** A headless Chromium on this machine as a device: the runtime, kernels and clock of a web page, with nobody looking. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { DeviceError } from "../errors.js";
import { openLastingRunner } from "../hub/lasting.js";
import type { Lease } from "../hub/registry.js";
import { openHub } from "../hub/server.js";
import { machineFacts } from "../node/facts.js";
import type { DeviceFacts, DeviceRunner, GraphOptimizationLevel } from "../runner.js";
import type { Hello, WebProvider } from "../web/hello.js";

export interface BrowserOptions {
  /** Default `wasm`. */
  provider?: WebProvider;
  /** Default 1. */
  threads?: number;
  graphOptimizationLevel?: GraphOptimizationLevel;
  /** Path of a Chromium or Chrome. Default: `$EDGEFIT_CHROMIUM`, else the first found on the PATH. */
  executable?: string;
  /** Receives what the page writes to its console. */
  log?: (line: string) => void;
  /** Told when the browser crashed and is started again. */
  onNote?: (text: string) => void;
}

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"];

/** A browser that can be started; undefined where there is none. */
export function findChromium(env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (env.EDGEFIT_CHROMIUM) return env.EDGEFIT_CHROMIUM;
  const suffix = process.platform === "win32" ? ".exe" : "";
  const folders = (env.PATH ?? "").split(delimiter).filter(Boolean);
  const mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
  const candidates = NAMES.flatMap((name) => folders.map((folder) => join(folder, name + suffix)));
  return [...candidates, mac].find((path) => existsSync(path));
}

/**
 * Starts browser and page and waits until the runtime runs in it. A browser that crashes is started again, and what it was doing
 * is repeated. Throws DeviceError without a browser, or when it fails.
 */
export async function openBrowserRunner(o: BrowserOptions = {}): Promise<DeviceRunner> {
  const { provider = "wasm", threads = 1, graphOptimizationLevel = "all" } = o;
  const executablePath = o.executable ?? findChromium();
  if (!executablePath) {
    throw new DeviceError("browser-missing", "no Chromium or Chrome was found", {
      hint: "install one (Debian: apt-get install chromium), or name it with EDGEFIT_CHROMIUM",
    });
  }
  const hub = await openHub();
  let browser: Browser | undefined;
  const close = async (): Promise<void> => {
    await browser?.close();
    await hub.close();
  };

  async function attach(): Promise<Lease> {
    await browser?.close();
    browser = await launch(executablePath!, provider);
    const page = await browser.newPage();
    const failure = new AbortController();
    const fail = (message: string) => failure.abort(new DeviceError("page-failed", `the page failed: ${message}`));
    page.on("pageerror", (e) => fail(e.message));
    page.on("crash", () => fail("it crashed"));
    if (o.log) page.on("console", (m) => o.log?.(m.text()));
    const late = setTimeout(() => fail("it did not join within a minute"), 60_000);
    try {
      await page.goto(hub.pageUrl("localhost", { provider, threads: String(threads), unattended: "1" }));
      return await hub.devices.lease({}, { signal: failure.signal });
    } finally {
      clearTimeout(late);
    }
  }

  async function describe(hello: Hello): Promise<DeviceFacts> {
    const machine = await machineFacts();
    const page = hello.page!;
    return {
      ...machine,
      id: `browser-${machine.os.arch}-${provider}-t${page.threads}`,
      kind: provider === "wasm" ? "web-wasm" : "web-webgpu",
      emulated: machine.emulated || (provider === "webgpu" && (page.adapter?.isFallback ?? false)),
      runtime: { ...hello.runtime, threads: page.threads, graphOptimizationLevel },
      clockMs: hello.clockMs,
    };
  }

  try {
    const runner = await openLastingRunner({
      attach,
      describe,
      graphOptimizationLevel,
      onLost: (reason) => o.onNote?.(`${reason.message}; the browser is started again`),
    });
    let closing: Promise<void> | undefined;
    return {
      ...runner,
      close: () => {
        closing ??= runner.close().then(close);
        return closing;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const launch = (executablePath: string, provider: WebProvider): Promise<Browser> =>
  chromium.launch({
    executablePath,
    headless: true,
    // A container's root user has no sandbox; the page is ours and reaches nothing but this machine.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      "--disable-background-timer-throttling",
      "--disable-renderer-backgrounding",
      ...(provider === "webgpu" ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-gpu"] : []),
    ],
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
  });
