/**
 * The server that pages join: it hands out the page, and holds one socket per device. Pages served here are isolated
 * (threads, fine clock) wherever the browser counts the address as secure.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import fastify from "fastify";
import { type WebSocket, WebSocketServer } from "ws";
import { DeviceError } from "../errors.js";
import { PAGE } from "../web/html.js";
import { pageScripts } from "./bundle.js";
import { type JoinedDevice, receiveDevice } from "./joined.js";

export interface HubOptions {
  /** Address to listen on. Default 127.0.0.1: this machine only. */
  host?: string;
  /** Default: any free port. */
  port?: number;
  /** Default: a new random one. */
  token?: string;
  /** Largest message that a device may send, in bytes. Default 256 MiB. */
  maxMessageBytes?: number;
  /** Devices at once. Default 64. */
  maxDevices?: number;
  onJoin?(device: JoinedDevice): void;
}

export interface Hub {
  readonly port: number;
  readonly token: string;
  /** Address of the page for a host name or address, token included. */
  pageUrl(host: string, query?: Record<string, string>): string;
  close(): Promise<void>;
}

/** Lets a page use threads and a fine clock (cross-origin isolation; HTML standard, section 7.1.3). */
const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

/** Starts the server. Throws DeviceError `hub-listen` when the address cannot be had. */
export async function openHub(o: HubOptions = {}): Promise<Hub> {
  const token = o.token ?? randomBytes(18).toString("base64url");
  const app = fastify({ logger: false, forceCloseConnections: true });
  app.addHook("onSend", async (_, reply) => {
    reply.headers({ ...ISOLATION, "Cache-Control": "no-cache" });
  });
  app.get("/", (_, reply) => reply.type("text/html; charset=utf-8").send(PAGE));
  for (const [name, text] of await pageScripts())
    app.get(`/${name}`, (_, reply) => reply.type("text/javascript; charset=utf-8").send(text));
  const dist = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
  app.get<{ Params: { file: string } }>("/ort/:file", async ({ params: { file } }, reply) => {
    const type = /^ort[\w.-]*\.(wasm|mjs)$/.exec(file)?.[1];
    if (!type) return reply.code(404).send();
    const bytes = await readFile(join(dist, file)).catch(() => undefined);
    if (!bytes) return reply.code(404).send();
    return reply.type(type === "wasm" ? "application/wasm" : "text/javascript; charset=utf-8").send(bytes);
  });

  const open = new Set<WebSocket>();
  const sockets = new WebSocketServer({ noServer: true, maxPayload: o.maxMessageBytes ?? 256 * 2 ** 20 });
  app.server.on("upgrade", (request: IncomingMessage, socket, head) => {
    const url = new URL(request.url ?? "/", "http://hub");
    const refuse = (status: string) => socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
    if (url.pathname !== "/join") refuse("404 Not Found");
    else if (!sameToken(url.searchParams.get("token") ?? "", token)) refuse("401 Unauthorized");
    else if (open.size >= (o.maxDevices ?? 64)) refuse("503 Service Unavailable");
    else {
      sockets.handleUpgrade(request, socket, head, (ws) => {
        open.add(ws);
        ws.on("close", () => open.delete(ws));
        ws.on("error", () => ws.terminate());
        receiveDevice(ws).then(
          (device) => o.onJoin?.(device),
          () => ws.terminate(),
        );
      });
    }
  });
  try {
    await app.listen({ host: o.host ?? "127.0.0.1", port: o.port ?? 0 });
  } catch (cause) {
    throw new DeviceError("hub-listen", `the hub cannot listen there: ${(cause as Error).message}`, {
      where: `${o.host ?? "127.0.0.1"}:${o.port ?? 0}`,
      hint: "choose another port",
      cause,
    });
  }
  const { port } = app.server.address() as AddressInfo;
  return {
    port,
    token,
    pageUrl: (host, query = {}) => `http://${host}:${port}/?${new URLSearchParams({ token, ...query })}`,
    async close() {
      for (const ws of open) ws.terminate();
      sockets.close();
      await app.close();
    },
  };
}

function sameToken(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
