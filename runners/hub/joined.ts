/** A device at the other end of a socket: greeted, kept alive, asked. */
import type { WebSocket } from "ws";
import { z } from "zod";
import { DeviceError } from "../errors.js";
import { type FromWorker, PROTOCOL_VERSION } from "../protocol.js";
import type { Link } from "../remote.js";
import { Requests } from "../requests.js";
import { type Hello, helloSchema, refusalSchema } from "../web/hello.js";
import { decodeMessage, encodeMessage } from "../wire.js";

export interface JoinedDevice {
  hello: Hello;
  link: Link;
  /** Settles when the device has gone, with the reason. */
  gone: Promise<DeviceError>;
}

/** A runtime takes seconds to load on a phone, not minutes. */
const GREETING_MS = 60_000;
const HEARTBEAT_MS = 5_000;
/** Missed heartbeats after which a device counts as gone. */
const MISSED = 6;

const answerSchema = z.union([
  z.object({ id: z.number().int(), ok: z.literal(true), value: z.unknown().optional() }),
  z.object({
    id: z.number().int(),
    ok: z.literal(false),
    error: z.object({
      code: z.string(),
      message: z.string(),
      where: z.string().optional(),
      hint: z.string().optional(),
    }),
  }),
]);

/** Waits for the greeting. Throws DeviceError when it does not come, is of another version, or says that nothing can run. */
export async function receiveDevice(ws: WebSocket): Promise<JoinedDevice> {
  const requests = new Requests((message) => {
    if (ws.readyState === ws.OPEN) ws.send(encodeMessage(message));
  });
  let missed = 0;
  ws.on("pong", () => {
    missed = 0;
  });
  const heartbeat = setInterval(() => {
    // A page that computes answers late, one whose tab was closed or put to sleep never.
    if (++missed > MISSED) ws.terminate();
    else ws.ping();
  }, HEARTBEAT_MS);
  heartbeat.unref();
  const gone = new Promise<DeviceError>((resolve) => {
    ws.once("close", () => {
      clearInterval(heartbeat);
      const reason = new DeviceError("device-lost", "the device has gone", {
        hint: "its page was closed, reloaded or put to sleep; open it again",
      });
      requests.end(reason);
      resolve(reason);
    });
  });
  const hello = await greeting(ws, gone);
  ws.on("message", (data: Buffer) => {
    missed = 0;
    try {
      requests.receive(answerSchema.parse(decodeMessage(data)) as Extract<FromWorker, { id: number }>);
    } catch {
      ws.close(1002, "malformed message"); // what was asked ends as with any lost device
    }
  });
  return {
    hello,
    gone,
    link: {
      ask: (request, signal) => requests.ask(request, signal),
      async close() {
        requests.end(new DeviceError("runner-closed", "the device runner was closed"));
        ws.close(1000);
        await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
        ws.terminate();
      },
    },
  };
}

async function greeting(ws: WebSocket, gone: Promise<DeviceError>): Promise<Hello> {
  let timer: NodeJS.Timeout | undefined;
  const first = await Promise.race([
    new Promise<Buffer>((resolve) => ws.once("message", (data: Buffer) => resolve(data))),
    gone.then((reason) => Promise.reject(reason)),
    new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new DeviceError("device-silent", "the device joined and said nothing")),
        GREETING_MS,
      );
    }),
  ]).finally(() => clearTimeout(timer));
  const message = decodeMessage(first);
  const refusal = refusalSchema.safeParse(message);
  if (refusal.success) throw new DeviceError(refusal.data.error.code, refusal.data.error.message);
  const hello = helloSchema.safeParse(message);
  if (!hello.success) throw new DeviceError("message", "the device's greeting is not well formed");
  if (hello.data.protocol !== PROTOCOL_VERSION) {
    throw new DeviceError(
      "protocol-version",
      `the device speaks protocol ${hello.data.protocol}, this edgefit ${PROTOCOL_VERSION}`,
      { hint: "reload its page" },
    );
  }
  return hello.data;
}
