/// <reference lib="dom" />
/** The page that a phone opens: holds the socket and the worker, and shows what they do. */
import type { FromHost } from "../protocol.js";
import { decodeMessage, encodeMessage } from "../wire.js";
import { connect } from "./connection.js";
import { facilities } from "./facilities.js";
import { BEAT_MS, type Beat, type Hello, type WebProvider } from "./hello.js";
import { deviceId } from "./identity.js";
import type { FromPageWorker, Live, ToWorker } from "./messages.js";
import { screen } from "./screen.js";

/** The protocol that this page speaks; `protocol.ts` itself would bring its checks along. */
const PROTOCOL = 1;

const query = new URLSearchParams(location.search);
const unattended = query.get("unattended") === "1";
const minSampleMs = Number(query.get("sampleMs") ?? 20);
let provider: WebProvider = query.get("provider") === "webgpu" ? "webgpu" : "wasm";
let threads = Math.max(1, Number(query.get("threads") ?? 1) || 1);

const offered = await facilities();
const view = screen(document, offered);

let worker: Worker | undefined;
let hello: Hello | undefined;
/** Requests that are open, by number. */
const open = new Map<number, { live: Live | null }>();
let aliveSince = 0;
let waiting = false;

const send = (message: unknown) => connection.send(encodeMessage(message));
const toWorker = (message: ToWorker) => worker?.postMessage(message);

/** A new worker with an empty memory. Settles when its runtime runs; throws the reason why it does not. */
async function startWorker(): Promise<Hello> {
  worker?.terminate();
  open.clear();
  waiting = false;
  hello = undefined;
  const made = new Worker("/worker.js", { type: "module" });
  worker = made;
  const started = await new Promise<Extract<FromPageWorker, { started: unknown }>["started"]>((resolve, reject) => {
    made.onmessage = ({ data }: MessageEvent<FromPageWorker>) => {
      if ("started" in data) resolve(data.started);
      else if ("failed" in data) reject(data.failed);
      else if (worker === made) fromWorker(data);
    };
    made.onerror = (e) => {
      reject({ code: "worker-crashed", message: e.message || "the page's worker crashed" });
      if (worker === made) crashed(e.message);
    };
    toWorker({ setup: { provider, threads, unattended, minSampleMs } });
  });
  toWorker({ hidden: document.visibilityState === "hidden" });
  hello = {
    ready: true,
    protocol: PROTOCOL,
    runtime: started.runtime,
    clockMs: started.clockMs,
    device: { id: deviceId() },
    beats: true,
    page: { ...offered, provider, threads: started.threads },
  };
  view.runtime(hello);
  return hello;
}

function fromWorker(data: Exclude<FromPageWorker, { started: unknown } | { failed: unknown }>): void {
  if ("answer" in data) {
    if ("id" in data.answer) open.delete(data.answer.id);
    send(data.answer);
    if (open.size === 0) view.idle();
  } else if ("alive" in data) aliveSince = Date.now();
  else if ("live" in data) {
    for (const job of open.values()) job.live = data.live;
    view.live(data.live);
  } else {
    waiting = data.pace.waiting;
    view.pace(data.pace);
  }
}

/** A worker that ended by itself, out of memory most often: what it was asked is answered by that. */
function crashed(reason: string): void {
  const message = `the page's worker crashed: ${reason || "it may have run out of memory"}`;
  for (const id of [...open.keys()]) send({ id, ok: false, error: { code: "device-crashed", message } });
  void startWorker().catch(failed);
}

const failed = ({ code, message }: { code: string; message: string }): void => {
  send({ ready: false, error: { code, message: message.slice(0, 300) } });
  view.failed(message);
};

function fromHub(bytes: Uint8Array): void {
  const message = decodeMessage(bytes) as FromHost;
  if ("note" in message) view.note(message.note);
  else if ("name" in message) view.named(message.name);
  else if ("abort" in message) toWorker({ message });
  else if ("request" in message) {
    used = true;
    const request = message.request as { type?: string; provider?: WebProvider; threads?: number };
    if (request.type === "configure") void configure(message.id, request);
    else {
      open.set(message.id, { live: null });
      view.working(request.type ?? "work");
      toWorker({ message });
    }
  }
}

async function configure(id: number, request: { provider?: WebProvider; threads?: number }): Promise<void> {
  provider = request.provider === "webgpu" ? "webgpu" : "wasm";
  threads = Math.max(1, Math.floor(Number(request.threads) || 1));
  view.working("configure");
  try {
    send({ id, ok: true, value: await startWorker() });
    view.idle();
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    send({ id, ok: false, error: { code, message } });
    provider = "wasm";
    await startWorker().catch(failed);
  }
}

const socketUrl = new URL("/join", location.href);
socketUrl.protocol = location.protocol === "https:" ? "wss:" : "ws:";
socketUrl.search = new URLSearchParams({ token: query.get("token") ?? "" }).toString();

view.loading();
/** Whether the worker has been given anything that a new connection must not find. */
let used = false;
let ready = startWorker();
await ready.catch(() => undefined); // the hub is told why, once there is a connection
const connection = connect(socketUrl.href, {
  open() {
    ready.then(
      (h) => {
        send(h);
        view.joined();
      },
      (e) => failed(e),
    );
  },
  message: fromHub,
  lost(seconds) {
    // What was loaded belonged to the connection: the next one starts with an empty memory.
    if (used) {
      used = false;
      ready = startWorker();
      ready.catch(() => {});
    }
    view.lost(seconds);
  },
  ended: (why) => view.ended(why),
});
addEventListener("pagehide", () => connection.leave());
view.onRetry(() => connection.retry());
view.onGoOn(() => toWorker({ goOn: true }));

setInterval(() => {
  if (open.size === 0) return;
  const hidden = document.visibilityState === "hidden";
  // A worker that hangs sends nothing; then neither does the page.
  if (!hidden && Date.now() - aliveSince > 2 * BEAT_MS) return;
  const live = [...open.values()].at(-1)?.live ?? null;
  const beat: Beat = {
    state: hidden ? "hidden" : waiting ? "hot" : "working",
    done: live?.done ?? null,
    p50Ms: live?.p50Ms || null,
    p95Ms: live?.p95Ms || null,
  };
  send({ beat });
}, BEAT_MS);

/** Keeps the screen on while the page is seen, where the browser offers that. */
async function keepAwake(): Promise<void> {
  const { wakeLock } = navigator as Navigator & { wakeLock?: { request(kind: "screen"): Promise<unknown> } };
  if (document.visibilityState !== "visible") return;
  const held = await wakeLock?.request("screen").catch(() => undefined); // refused on low battery: measuring goes on
  view.awake(held !== undefined);
}

document.addEventListener("visibilitychange", () => {
  const hidden = document.visibilityState === "hidden";
  toWorker({ hidden });
  view.hidden(hidden);
  if (!hidden) connection.retry();
  void keepAwake();
});
void keepAwake();
