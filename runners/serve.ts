/** The answering side of a link: requests are checked and served one after another; a running one can be stopped. */
import { DeviceError, toErrorData } from "./errors.js";
import { type FromHost, type FromWorker, parseRequest, type Request } from "./protocol.js";
import type { Sessions } from "./sessions.js";

/** Returns what to call with each message from the host. */
export function serve(sessions: Sessions, send: (message: FromWorker) => void): (message: FromHost) => void {
  const running = new Map<number, AbortController>();
  let queue = Promise.resolve();
  return (message) => {
    if ("abort" in message) {
      running.get(message.abort)?.abort(new DeviceError("aborted", "the work on the device was stopped"));
      return;
    }
    if (!("request" in message)) return; // for a screen
    const { id, request } = message;
    const controller = new AbortController();
    running.set(id, controller);
    queue = queue.then(async () => {
      try {
        controller.signal.throwIfAborted();
        send({ id, ok: true, value: await handle(sessions, parseRequest(request), controller.signal) });
      } catch (error) {
        send({ id, ok: false, error: toErrorData(error, "device-failed") });
      } finally {
        running.delete(id);
      }
    });
  };
}

async function handle(sessions: Sessions, request: Request, signal: AbortSignal): Promise<unknown> {
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
    case "configure":
      throw new DeviceError("not-configurable", "this device runs one build of the runtime and cannot change it");
  }
}
