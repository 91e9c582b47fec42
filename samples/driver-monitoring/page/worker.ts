/// <reference lib="dom" />
/** The page's worker: the whole pipeline, away from the thread that draws. */
import { webEngine } from "../../../runners/web/engine.js";
import { locatorKinds, readerKinds } from "../pipeline/kinds.js";
import { netsOn } from "../pipeline/net.js";
import { Pipeline } from "../pipeline/pipeline.js";
import type { FromWorker, PageConfig, ToWorker } from "./messages.js";

const tell = (message: FromWorker): void => postMessage(message);
const now = (): number => performance.now();

let pipeline: Pipeline | undefined;

async function modelAt(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function open({ stack, runtime }: PageConfig): Promise<void> {
  const engine = await webEngine("wasm", 1, new URL(runtime, location.href).href);
  const openNet = netsOn(engine);
  const load = async (url: string) => openNet(await modelAt(url));
  const locator = locatorKinds[stack.locator.kind].make(await load(stack.locator.at));
  const eyes = stack.reader.eyes === undefined ? undefined : await load(stack.reader.eyes);
  const reader = readerKinds[stack.reader.kind].make(await load(stack.reader.at), eyes);
  pipeline = new Pipeline({ locator, reader, now });
  tell({ type: "ready", runtime: `${engine.package} ${engine.version}`, locator: locator.name, reader: reader.name });
}

async function handle(message: ToWorker): Promise<void> {
  switch (message.type) {
    case "open":
      return open(message.config);
    case "reset":
      pipeline?.monitor.reset();
      return;
    case "frame": {
      const { pixels, width, height, timeMs } = message;
      const frame = { data: new Uint8ClampedArray(pixels), width, height, channels: 4 } as const;
      if (pipeline) tell({ type: "analysis", analysis: await pipeline.analyse(frame, timeMs) });
    }
  }
}

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  handle(data).catch((e: unknown) => tell({ type: "failed", reason: e instanceof Error ? e.message : String(e) }));
});
