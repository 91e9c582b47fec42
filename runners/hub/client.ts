/** The other end of `control.ts`: a hub in another process, as a source of devices. */
import { WebSocket } from "ws";
import { DeviceError, type ErrorData, fromErrorData } from "../errors.js";
import type { Answers, FromWorker } from "../protocol.js";
import { Requests } from "../requests.js";
import { type Hello, helloSchema } from "../web/hello.js";
import { decodeMessage, encodeMessage } from "../wire.js";
import { CONTROL } from "./control.js";
import { LIMITS } from "./limits.js";
import type { Source } from "./open.js";
import type { DeviceState, Lease, Wanted } from "./registry.js";

/** Where a hub is, and the secret by which it is commanded. */
export interface HubAddress {
  /** `http://127.0.0.1:8717` */
  url: string;
  controlToken: string;
}

const ANSWER_MS = 5_000;

const headers = ({ controlToken }: HubAddress) => ({ authorization: `Bearer ${controlToken}` });

const unreachable = (url: string, cause: unknown): DeviceError =>
  new DeviceError("hub-unreachable", "the hub does not answer", {
    where: url,
    hint: "start it with edgefit hub, and leave it running in a terminal of its own",
    cause,
  });

const refused = (url: string): DeviceError =>
  new DeviceError("hub-token", "the hub refuses the control token", {
    where: url,
    hint: "it was started anew: take the address that it shows now",
  });

/** The devices that have joined. Throws DeviceError `hub-unreachable` and `hub-token`. */
export async function listHubDevices(hub: HubAddress): Promise<DeviceState[]> {
  let response: Response;
  try {
    response = await fetch(new URL(CONTROL.devices, hub.url), {
      headers: headers(hub),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
  } catch (cause) {
    throw unreachable(hub.url, cause);
  }
  if (response.status === 401) throw refused(hub.url);
  if (!response.ok) throw unreachable(hub.url, new Error(`status ${response.status}`));
  return (await response.json()) as DeviceState[];
}

/** Holds devices of that hub. */
export const hubSource = (hub: HubAddress): Source => ({
  lease: (wanted, o) => leaseFrom(hub, wanted, o),
});

type FromHub =
  | { waiting: string }
  | { attached: { name: string; hello: Hello } }
  | { refused: ErrorData }
  | { lost: ErrorData }
  | Extract<FromWorker, { id: number }>;

async function leaseFrom(
  hub: HubAddress,
  wanted: Wanted,
  o: { signal?: AbortSignal; onWait?(why: string): void },
): Promise<Lease> {
  o.signal?.throwIfAborted();
  const url = new URL(CONTROL.attach, hub.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  for (const [key, value] of Object.entries(wanted)) if (value !== undefined) url.searchParams.set(key, value);
  const ws = new WebSocket(url, {
    headers: headers(hub),
    maxPayload: LIMITS.messageBytes,
    handshakeTimeout: ANSWER_MS,
    perMessageDeflate: false,
  });
  const requests = new Requests((message) => ws.readyState === ws.OPEN && ws.send(encodeMessage(message)));
  let reason: DeviceError | undefined;
  const gone = new Promise<DeviceError>((resolve) => {
    ws.once("close", () => {
      reason ??= new DeviceError("hub-lost", "the hub has gone", {
        where: hub.url,
        hint: "start it again and repeat the command",
      });
      requests.end(reason);
      resolve(reason);
    });
  });
  const abort = () => ws.terminate();
  o.signal?.addEventListener("abort", abort, { once: true });
  try {
    const attached = await new Promise<{ name: string; hello: Hello }>((resolve, reject) => {
      ws.on("unexpected-response", (_, response) => {
        reject(
          response.statusCode === 401 ? refused(hub.url) : unreachable(hub.url, new Error(`${response.statusCode}`)),
        );
        ws.terminate();
      });
      ws.on("error", (cause) => reject(unreachable(hub.url, cause)));
      ws.on("message", (data: Buffer) => {
        const message = decodeMessage(data) as FromHub;
        if ("waiting" in message) o.onWait?.(message.waiting);
        else if ("attached" in message) {
          resolve({ ...message.attached, hello: helloSchema.parse(message.attached.hello) });
        } else if ("refused" in message) reject(fromErrorData(message.refused));
        else if ("lost" in message) {
          reason = fromErrorData(message.lost);
          requests.end(reason);
        } else requests.receive(message);
      });
      gone.then(reject);
    });
    return {
      name: attached.name,
      hello: attached.hello,
      gone,
      tell: (note) => ws.readyState === ws.OPEN && ws.send(encodeMessage({ note })),
      link: {
        ask: <T extends keyof Answers>(request: Parameters<typeof requests.ask<T>>[0], signal?: AbortSignal) =>
          requests.ask<T>(request, signal),
        async close() {
          requests.end(new DeviceError("runner-closed", "the device runner was closed"));
          ws.close(1000);
          await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
          ws.terminate();
        },
      },
    };
  } catch (error) {
    ws.terminate();
    o.signal?.throwIfAborted();
    throw error;
  } finally {
    o.signal?.removeEventListener("abort", abort);
  }
}
