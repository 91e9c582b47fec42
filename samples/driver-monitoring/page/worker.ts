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
  const [locatorModel, readerModel] = await Promise.all([modelAt(stack.locator.at), modelAt(stack.reader.at)]);
  const locator = locatorKinds[stack.locator.kind].make(await openNet(locatorModel));
  const reader = readerKinds[stack.reader.kind].make(await openNet(readerModel));
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
