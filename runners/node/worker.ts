/**
 * The process that owns ONNX Runtime for the local runner: if the runtime aborts, this process ends and its host lives.
 * Requests are served one after another; it ends when its host closes the channel, is killed or crashes.
 */
import { rmSync } from "node:fs";
import { DeviceError, toErrorData } from "../errors.js";
import { type FromHost, type FromWorker, PROTOCOL_VERSION, parseRequest, type Request } from "../protocol.js";
import { clockStep } from "../sampler.js";
import type { EngineName } from "./engine.js";
import { loadEngine } from "./loadEngine.js";

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
  const { Sessions, now } = await import("./sessions.js");
  const engine = await loadEngine(engineName as EngineName, {
    folder,
    verbose: verbose === "verbose",
    threads: Number(threads),
  });
  const clockMs = clockStep(now);
  const sessions = new Sessions(engine, clockMs);
  serve((request, signal) => {
    switch (request.type) {
      case "load":
        return sessions.load(request);
      case "run":
        return sessions.run(request);
      case "measure":
        return sessions.measure(request, signal);
      case "profile":
        return sessions.profile(request, signal);
      case "unload":
        return sessions.unload(request.model);
    }
  });
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

function serve(handle: (request: Request, signal: AbortSignal) => Promise<unknown>): void {
  const running = new Map<number, AbortController>();
  let queue = Promise.resolve();
  process.on("message", (message: FromHost) => {
    if ("abort" in message) {
      running.get(message.abort)?.abort(new DeviceError("aborted", "the work on the device was stopped"));
      return;
    }
    const { id, request } = message;
    const controller = new AbortController();
    running.set(id, controller);
    queue = queue.then(async () => {
      try {
        controller.signal.throwIfAborted();
        send({ id, ok: true, value: await handle(parseRequest(request), controller.signal) });
      } catch (error) {
        send({ id, ok: false, error: toErrorData(error, "device-failed") });
      } finally {
        running.delete(id);
      }
    });
  });
}
