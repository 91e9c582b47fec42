/**
 * The process that owns ONNX Runtime for the local runner: if the runtime aborts, this process ends and its host lives.
 * Requests are served one after another; it ends when its host closes the channel, is killed or crashes.
 */
import { rmSync } from "node:fs";
import { toErrorData } from "../errors.js";
import { type FromWorker, PROTOCOL_VERSION } from "../protocol.js";
import { clockStep } from "../sampler.js";
import { serve } from "../serve.js";
import { now, Sessions } from "../sessions.js";
import { readConditions } from "./conditions.js";
import type { EngineName } from "./engineOptions.js";
import { loadEngine } from "./loadEngine.js";
import { resetPeak, residentBytes } from "./memory.js";
import type { ProviderName } from "./providers.js";

const [folder, verbose, engineName, threads, provider, fallback] = process.argv.slice(2);
const send = (message: FromWorker) => process.send?.(message);

// Ctrl-C reaches the whole process group; the host decides, and its end closes the channel.
process.on("SIGINT", () => {});
process.on("disconnect", () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit();
});

try {
  // Inside the try: on a platform without the runtime's binary this is where it shows.
  const { name, engine, note } = await loadEngine(engineName as EngineName, {
    folder,
    verbose: verbose === "verbose",
    threads: Number(threads),
    provider: provider as ProviderName,
    allowFallback: fallback === "allow-fallback",
  });
  const clockMs = clockStep(now);
  const sessions = new Sessions(engine, clockMs, { residentBytes, resetPeak, readConditions });
  process.on("message", serve(sessions, send));
  const runtime = {
    package: engine.package,
    version: engine.version,
    node: process.versions.node,
    provider: engine.provider,
  };
  const emulated = engine.emulated ?? false;
  send({ ready: true, protocol: PROTOCOL_VERSION, engine: name, runtime, clockMs, emulated, ...(note && { note }) });
} catch (error) {
  send({ ready: false, error: toErrorData(error, "runtime-missing") });
}
