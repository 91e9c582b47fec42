/// <reference lib="dom" />
/** The worker of a page: joins a hub by a socket, runs what it is asked, and tells the page how it goes. */
import { toErrorData } from "../errors.js";
import { type FromHost, type FromWorker, PROTOCOL_VERSION } from "../protocol.js";
import type { Measurement } from "../runner.js";
import { clockStep } from "../sampler.js";
import { serve } from "../serve.js";
import { now, Sessions } from "../sessions.js";
import { median, quantile } from "../stats.js";
import { decodeMessage, encodeMessage } from "../wire.js";
import { webEngine } from "./engine.js";
import type { Hello, PageHello, Setup, Status } from "./hello.js";

const tell = (status: Status) => postMessage(status);

addEventListener("message", ({ data }: MessageEvent<Setup>) => void join(data), { once: true });

async function join(setup: Setup): Promise<void> {
  tell({ state: "starting" });
  const socket = new WebSocket(setup.socket);
  socket.binaryType = "arraybuffer";
  await new Promise<void>((resolve) => {
    socket.onopen = () => resolve();
    socket.onclose = () => tell({ state: "lost" });
  });
  const send = (message: unknown) => socket.send(encodeMessage(message));
  try {
    const threads = crossOriginIsolated ? setup.threads : 1;
    const engine = await webEngine(setup.provider, threads, new URL("/ort/", location.href).href);
    const clockMs = clockStep(now);
    const answer = serve(new Sessions(engine, clockMs), (m) => {
      show(m);
      send(m);
    });
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
      const message = decodeMessage(new Uint8Array(data)) as FromHost;
      if ("request" in message) tell({ state: "working", what: nameOf(message.request), done: ++served });
      answer(message);
    };
    send(
      await hello(
        setup,
        threads,
        { package: engine.package, version: engine.version, provider: engine.provider },
        clockMs,
      ),
    );
    tell({ state: "joined" });
  } catch (error) {
    const data = toErrorData(error, "runtime-missing");
    send({ ready: false, error: { code: data.code, message: data.message.slice(0, 300) } });
    tell({ state: "failed", reason: data.message });
  }
}

let served = 0;

const nameOf = (request: unknown): string => String((request as { type?: unknown } | null)?.type ?? "work");

/** Latencies, for the page; the answer itself goes to the host. */
function show(m: FromWorker): void {
  if (!("ok" in m) || !m.ok || !Array.isArray(m.value)) return;
  const last = (m.value as Measurement[]).at(-1);
  if (!last?.samplesMs?.length) return;
  const { samplesMs } = last;
  tell({ state: "measured", p50Ms: median(samplesMs), p95Ms: quantile(samplesMs, 0.95), samples: samplesMs.length });
}

/** As browsers give it; older ones have `isFallbackAdapter` on the adapter itself. */
interface Adapter {
  info?: { vendor?: string; architecture?: string; isFallbackAdapter?: boolean };
  isFallbackAdapter?: boolean;
}

async function hello(
  setup: Setup,
  threads: number,
  runtime: Hello["runtime"],
  clockMs: number,
): Promise<Hello & { page: PageHello }> {
  const machine = navigator as Navigator & { deviceMemory?: number };
  const gpu = (navigator as { gpu?: { requestAdapter(): Promise<unknown> } }).gpu;
  const adapter = setup.provider === "webgpu" ? ((await gpu?.requestAdapter()) as Adapter | null | undefined) : null;
  return {
    ready: true,
    protocol: PROTOCOL_VERSION,
    runtime,
    clockMs,
    page: {
      provider: setup.provider,
      threads,
      userAgent: machine.userAgent.slice(0, 300),
      cores: machine.hardwareConcurrency || 1,
      memoryBytes: machine.deviceMemory ? machine.deviceMemory * 2 ** 30 : null,
      isolated: crossOriginIsolated,
      secure: isSecureContext,
      adapter: adapter
        ? {
            vendor: adapter.info?.vendor ?? "",
            architecture: adapter.info?.architecture ?? "",
            isFallback: adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false,
          }
        : null,
    },
  };
}
