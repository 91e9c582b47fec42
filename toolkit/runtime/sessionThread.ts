/** The thread behind `openThreadSession`: one session, runs in the order of the messages. */
import { parentPort, workerData } from "node:worker_threads";
import { isEdgefitError } from "../graph/errors.js";
import { openSession, type Session } from "./session.js";
import type { FromThread, ThreadStart, ToThread } from "./threadSession.js";

const port = parentPort;
if (!port) throw new Error("this file runs as a thread");
const say = (m: FromThread, transfer: ArrayBuffer[] = []): void => port.postMessage(m, transfer);

function sayError(e: unknown): void {
  if (!isEdgefitError(e)) {
    say({ type: "bug", message: e instanceof Error ? e.message : String(e) });
    return;
  }
  const { code, exit, message, where, hint } = e;
  say({ type: "error", message, facts: { code, exit, ...(where ? { where } : {}), ...(hint ? { hint } : {}) } });
}

let session: Session | undefined;

async function serve(m: ToThread): Promise<void> {
  if (m.type === "close") {
    await session?.dispose();
    port?.close();
    return;
  }
  try {
    const results = await session!.run(m.feeds, m.outputs);
    const buffers = Object.values(results).flatMap((t) =>
      Array.isArray(t.data) ? [] : [t.data.buffer as ArrayBuffer],
    );
    say({ type: "results", results }, [...new Set(buffers)]);
  } catch (e) {
    sayError(e);
  }
}

try {
  const { bytes, options } = workerData as ThreadStart;
  session = await openSession(bytes, options);
  let last: Promise<void> = Promise.resolve();
  port.on("message", (m: ToThread) => {
    last = last.then(() => serve(m));
  });
  say({ type: "open", inputs: session.inputs, outputs: session.outputs });
} catch (e) {
  sayError(e);
}
