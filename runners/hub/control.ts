/** How other processes of this user reach a hub: a list of its devices, and a socket by which one device is held and asked. */
import type { FastifyInstance } from "fastify";
import type { WebSocket } from "ws";
import { z } from "zod";
import { DeviceError, toErrorData } from "../errors.js";
import { parseRequest } from "../protocol.js";
import { decodeMessage, encodeMessage } from "../wire.js";
import type { Registry } from "./registry.js";

/** Path of the list, and of the sockets. */
export const CONTROL = { devices: "/control/devices", attach: "/control/attach" } as const;

const wantedSchema = z.object({
  name: z.string().max(100).optional(),
  kin: z.string().max(2000).optional(),
  purpose: z.string().max(200).optional(),
});

const noteText = z.string().max(300);
const fromClient = z.union([
  z.object({ id: z.number().int(), request: z.unknown() }),
  z.object({ abort: z.number().int() }),
  z.object({ note: z.object({ title: noteText, stage: noteText, done: z.number(), total: z.number() }) }),
]);

/** Adds the list to a server. `allowed` tells whether a request carries the control token. */
export function serveList(
  app: FastifyInstance,
  registry: Registry,
  allowed: (authorization?: string) => boolean,
): void {
  app.get(CONTROL.devices, async (request, reply) => {
    if (!allowed(request.headers.authorization)) return reply.code(401).send();
    return registry.list();
  });
}

/** Serves one client's socket: `{waiting}` until the device is held, `{attached}`, then answers; `{lost}` when the device has gone. */
export async function serveClient(ws: WebSocket, query: URLSearchParams, registry: Registry): Promise<void> {
  const send = (message: unknown) => ws.readyState === ws.OPEN && ws.send(encodeMessage(message));
  const left = new AbortController();
  ws.on("close", () => left.abort(new DeviceError("runner-closed", "the host has left")));
  const alive = setInterval(() => ws.ping(), 10_000);
  alive.unref();
  try {
    const wanted = wantedSchema.parse(Object.fromEntries(query));
    refuseUnknown(wanted.name, registry);
    const lease = await registry.lease(wanted, { signal: left.signal, onWait: (waiting) => send({ waiting }) });
    try {
      const over = new Promise<void>((resolve) =>
        left.signal.addEventListener("abort", () => resolve(), { once: true }),
      );
      const running = new Map<number, AbortController>();
      ws.on("message", (data: Buffer) => {
        try {
          const message = fromClient.parse(decodeMessage(data));
          if ("note" in message) return lease.tell(message.note);
          if ("abort" in message)
            return running.get(message.abort)?.abort(new DeviceError("aborted", "the work was stopped"));
          void answer(message.id, message.request);
        } catch {
          ws.close(1002, "malformed message");
        }
      });
      const answer = async (id: number, request: unknown) => {
        const controller = new AbortController();
        running.set(id, controller);
        try {
          send({ id, ok: true, value: await lease.link.ask(parseRequest(request), controller.signal) });
        } catch (error) {
          send({ id, ok: false, error: toErrorData(error, "device-failed") });
        } finally {
          running.delete(id);
        }
      };
      if (left.signal.aborted) return;
      send({ attached: { name: lease.name, hello: lease.hello } });
      const reason = await Promise.race([lease.gone, over]);
      if (reason) send({ lost: toErrorData(reason, "device-lost") });
    } finally {
      await lease.link.close();
    }
  } catch (error) {
    send({ refused: toErrorData(error, "hub-request") });
  } finally {
    clearInterval(alive);
    ws.close(1000);
  }
}

/** A name that nobody has is more likely a slip than somebody to wait for. */
function refuseUnknown(name: string | undefined, registry: Registry): void {
  const names = registry.list().map((d) => d.name);
  if (name === undefined || names.includes(name)) return;
  throw new DeviceError("device-unknown", `no device "${name}" has joined the hub`, {
    hint: names.length ? `joined: ${names.join(", ")}` : "none has joined yet: scan the code that edgefit hub shows",
  });
}
