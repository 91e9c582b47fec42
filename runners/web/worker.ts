/// <reference lib="dom" />
/** The worker of a page: runs what it is asked, and tells the page how it goes. Its end is the end of everything that it loaded. */
import { toErrorData } from "../errors.js";
import { clockStep } from "../sampler.js";
import { serve } from "../serve.js";
import { now, Sessions, UNKNOWN } from "../sessions.js";
import { median, quantile } from "../stats.js";
import { webEngine } from "./engine.js";
import type { FromPageWorker, Setup, ToWorker } from "./messages.js";
import { type Pace, pace } from "./reference.js";

const TELL_MS = 400;
const SHOWN_SAMPLES = 60;

const tell = (message: FromPageWorker) => postMessage(message);

let answer: ReturnType<typeof serve> | undefined;
/** Set while the page is hidden: settles when it is seen again. */
let hidden: Promise<void> | null = null;
let seen = () => {};
let goOn = false;

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if ("setup" in data) void start(data.setup);
  else if ("message" in data) answer?.(data.message);
  else if ("goOn" in data) goOn = true;
  else if (!data.hidden) {
    hidden = null;
    seen();
  } else
    hidden ??= new Promise((resolve) => {
      seen = resolve;
    });
});

async function start(setup: Setup): Promise<void> {
  try {
    const threads = crossOriginIsolated ? setup.threads : 1;
    const engine = await webEngine(setup.provider, threads, new URL("/ort/", location.href).href);
    const clockMs = clockStep(now);
    const sessions = new Sessions(engine, clockMs, {
      ...UNKNOWN,
      minSampleMs: setup.minSampleMs,
      ...(setup.unattended ? {} : watchful(pace(now, clockMs))),
      hold: () => hidden,
      onSample: liveTeller(),
    });
    answer = serve(sessions, (m) => tell({ answer: m }));
    const { package: name, version, provider } = engine;
    tell({ started: { runtime: { package: name, version, provider }, clockMs, threads } });
  } catch (error) {
    const { code, message } = toErrorData(error, "runtime-missing");
    tell({ failed: { code, message: message.slice(0, 300) } });
  }
}

/** Waits before a job while the device is hot, and tells afterwards by how much it became slower. */
function watchful(reference: Pace) {
  let before = 0;
  return {
    async before(signal: AbortSignal) {
      goOn = false;
      await reference.cool({
        signal,
        skip: () => goOn,
        tell(slower, waiting) {
          before = slower;
          tell({ pace: { slower, waiting } });
        },
      });
    },
    after() {
      const slower = reference.look();
      tell({ pace: { slower, waiting: false } });
      return (1 + slower) / (1 + before) - 1;
    },
  };
}

/** Of a job with several models, the first one's latency is shown: it is the one that the others are compared with. */
function liveTeller() {
  let last = 0;
  let samples: number[] = [];
  let current: unknown;
  return (job: { samples: number; minSamples: number }, task: number, ms: number): void => {
    if (job !== current) samples = [];
    current = job;
    if (task === 0) samples.push(ms);
    if (now() - last < TELL_MS || samples.length === 0) return;
    last = now();
    tell({
      live: {
        p50Ms: median(samples),
        p95Ms: quantile(samples, 0.95),
        recent: samples.slice(-SHOWN_SAMPLES),
        samples: samples.length,
        done: Math.min(1, job.samples / job.minSamples),
      },
    });
  };
}

setInterval(() => tell({ alive: true }), 1000);
