/// <reference lib="dom" />
/** The page that a phone opens: starts the worker and shows what it does. */
import type { Setup, Status, WebProvider } from "./hello.js";

const query = new URLSearchParams(location.search);
const provider: WebProvider = query.get("provider") === "webgpu" ? "webgpu" : "wasm";
const threads = Math.max(1, Number(query.get("threads") ?? 1) || 1);

const element = (id: string): HTMLElement => document.getElementById(id)!;
const state = element("state");
const detail = element("detail");
const latency = element("latency");

element("facts").textContent = [
  provider === "webgpu" ? "WebGPU" : `WebAssembly, ${crossOriginIsolated ? threads : 1} thread(s)`,
  crossOriginIsolated ? null : "not isolated: one thread and a coarse clock",
  isSecureContext ? null : "no https: WebGPU is not available",
]
  .filter(Boolean)
  .join(" · ");

function show(s: Status): void {
  switch (s.state) {
    case "starting":
      state.textContent = "Loading the runtime";
      break;
    case "joined":
      state.textContent = "Ready";
      detail.textContent = "Waiting for work. Keep this page in the foreground.";
      break;
    case "working":
      state.textContent = "Working";
      detail.textContent = `${s.what}, task ${s.done}`;
      break;
    case "measured":
      latency.textContent = `p50 ${s.p50Ms.toFixed(3)} ms · p95 ${s.p95Ms.toFixed(3)} ms · ${s.samples} samples`;
      break;
    case "lost":
      state.textContent = "Disconnected";
      detail.textContent = "The host has gone. Reload this page to join again.";
      break;
    case "failed":
      state.textContent = "This browser cannot run it";
      detail.textContent = s.reason;
  }
  document.body.dataset.state = s.state;
}

/** Keeps the screen on while the page is seen, where the browser offers that. */
async function keepAwake(): Promise<void> {
  const { wakeLock } = navigator as Navigator & { wakeLock?: { request(kind: "screen"): Promise<unknown> } };
  if (!wakeLock || document.visibilityState !== "visible") return;
  await wakeLock.request("screen").catch(() => {}); // refused on low battery: measuring goes on
}

const worker = new Worker("/worker.js", { type: "module" });
worker.onmessage = ({ data }: MessageEvent<Status>) => show(data);
worker.onerror = (e) => show({ state: "failed", reason: e.message });
const socket = new URL("/join", location.href);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";
socket.search = new URLSearchParams({ token: query.get("token") ?? "" }).toString();
worker.postMessage({ socket: socket.href, provider, threads } satisfies Setup);
document.addEventListener("visibilitychange", () => void keepAwake());
void keepAwake();
