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
import type { EngineName } from "./engineOptions.js";
import { loadEngine } from "./loadEngine.js";
import { resetPeak, residentBytes } from "./memory.js";

const [folder, verbose, engineName, threads] = process.argv.slice(2);
const send = (message: FromWorker) => process.send?.(message);

// Ctrl-C reaches the whole process group; the host decides, and its end closes the channel.
process.on("SIGINT", () => {});
process.on("disconnect", () => {
  rmSync(folder, { recursive: true, force: true });
  process.exit();
});

try {
  // Inside the try: on a platform without the runtime's binary this is where it shows.
  const engine = await loadEngine(engineName as EngineName, {
    folder,
    verbose: verbose === "verbose",
    threads: Number(threads),
  });
  const clockMs = clockStep(now);
  const sessions = new Sessions(engine, clockMs, { residentBytes, resetPeak });
  process.on("message", serve(sessions, send));
  const runtime = {
    package: engine.package,
    version: engine.version,
    node: process.versions.node,
    provider: engine.provider,
  };
  send({ ready: true, protocol: PROTOCOL_VERSION, runtime, clockMs });
} catch (error) {
  send({ ready: false, error: toErrorData(error, "runtime-missing") });
}
