/**
 * The server that devices join: it hands out the page, and holds one socket per device. Pages served here are isolated
 * (threads, fine clock) wherever the browser counts the address as secure.
 */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import fastify, { type FastifyInstance } from "fastify";
import { type WebSocket, WebSocketServer } from "ws";
import { DeviceError } from "../errors.js";
import { sameSecret } from "../secret.js";
import { CLOSED } from "../web/hello.js";
import { CONTROL, serveClient, serveList } from "./control.js";
import { type JoinedDevice, receiveDevice } from "./joined.js";
import { LIMITS, type Limits, rateLimit } from "./limits.js";
import { serveFiles } from "./pages.js";
import { Registry } from "./registry.js";

export interface HubOptions {
  /** Address to listen on. Default 127.0.0.1: this machine only. */
  host?: string;
  /** Default: any free port. */
  port?: number;
  /** What devices must show. Default: a new random one. */
  token?: string;
  /** What hosts in other processes must show. Absent: none is let in. */
  controlToken?: string;
  /** A second listener, for browsers that ask for a secure address. */
  https?: { key: string; cert: string; port?: number };
  limits?: Partial<Limits>;
  onJoin?(device: JoinedDevice): void;
  /** Adds routes to each listener before it listens. */
  extend?(app: FastifyInstance): Promise<void>;
}

export interface Hub {
  readonly port: number;
  /** null without https. */
  readonly httpsPort: number | null;
  readonly token: string;
  readonly devices: Registry;
  /** Address of the page for a host name or address, token included; https where there is one and `secure` is not false. */
  pageUrl(host: string, query?: Record<string, string>, secure?: boolean): string;
  close(): Promise<void>;
}

const fieldOf = (query: URLSearchParams, name: string): string => query.get(name) ?? "";

/** Starts the server. Throws DeviceError `hub-listen` when the address cannot be had. */
export async function openHub(o: HubOptions = {}): Promise<Hub> {
  const token = o.token ?? randomBytes(18).toString("base64url");
  const limits = { ...LIMITS, ...o.limits };
  const host = o.host ?? "127.0.0.1";
  const devices = new Registry();
  const isToken = (given: string) => sameSecret(given, token);
  const isControl = (authorization = "") =>
    o.controlToken !== undefined && sameSecret(authorization, `Bearer ${o.controlToken}`);

  const sockets = new WebSocketServer({ noServer: true, maxPayload: limits.messageBytes });
  const open = new Set<WebSocket>();
  /** Sockets that have not greeted yet, oldest first. */
  const silent = new Set<WebSocket>();
  const mayFail = rateLimit(20);

  const join = (ws: WebSocket): void => {
    silent.add(ws);
    for (const oldest of silent) {
      if (silent.size <= limits.silentSockets) break;
      silent.delete(oldest);
      oldest.terminate();
    }
    receiveDevice(ws, limits).then(
      (device) => {
        silent.delete(ws);
        if (devices.list().length >= limits.devices)
          return ws.close(CLOSED.full, "the hub has as many devices as it takes");
        devices.add(device);
        o.onJoin?.(device);
      },
      (error: Error) => {
        silent.delete(ws);
        ws.close(CLOSED.malformed, error.message.slice(0, 120));
        setTimeout(() => ws.terminate(), 1000).unref();
      },
    );
  };

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const refuse = (status: string) => socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
    socket.on("error", () => socket.destroy());
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://hub");
    const accept = (serve: (ws: WebSocket) => void) =>
      sockets.handleUpgrade(request, socket, head, (ws) => {
        open.add(ws);
        ws.on("close", () => open.delete(ws));
        ws.on("error", () => ws.terminate());
        serve(ws);
      });
    if (pathname === "/join") {
      if (isToken(fieldOf(searchParams, "token"))) accept(join);
      else refuse(mayFail() ? "401 Unauthorized" : "429 Too Many Requests");
    } else if (pathname === CONTROL.attach) {
      if (isControl(request.headers.authorization)) accept((ws) => void serveClient(ws, searchParams, devices));
      else refuse(mayFail() ? "401 Unauthorized" : "429 Too Many Requests");
    } else refuse("404 Not Found");
  };

  const listen = async (port: number | undefined, https?: { key: string; cert: string }): Promise<FastifyInstance> => {
    const app = fastify({ logger: false, forceCloseConnections: true, ...(https ? { https } : {}) }) as FastifyInstance;
    const secureUrl = () => (httpsApp ? `https://{host}:${portOf(httpsApp)}` : null);
    await serveFiles(app, isToken, secureUrl);
    serveList(app, devices, isControl);
    await o.extend?.(app);
    const server = app.server as Server;
    server.maxConnections = 512;
    server.on("upgrade", (request, socket, head) => upgrade(request, socket, head));
    server.on("connection", (socket: Socket) => socket.setNoDelay(true));
    try {
      await app.listen({ host, port: port ?? 0 });
    } catch (cause) {
      await app.close();
      const inUse = (cause as NodeJS.ErrnoException).code === "EADDRINUSE";
      throw new DeviceError(
        "hub-listen",
        `the hub cannot listen there: ${inUse ? "the port is in use" : (cause as Error).message}`,
        {
          where: `${host}:${port ?? 0}`,
          hint: inUse ? "choose another with --port, or --port 0 for any free one" : "choose another address or port",
          cause,
        },
      );
    }
    return app;
  };

  let httpsApp: FastifyInstance | undefined;
  const app = await listen(o.port);
  const close = async () => {
    for (const ws of open) ws.close(CLOSED.over, "the hub was closed");
    // Browsers take a moment to answer; what hangs is not waited for.
    for (let i = 0; open.size > 0 && i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 25));
    for (const ws of open) ws.terminate();
    sockets.close();
    await Promise.all([app.close(), httpsApp?.close()]);
  };
  if (o.https) {
    try {
      httpsApp = await listen(o.https.port, { key: o.https.key, cert: o.https.cert });
    } catch (error) {
      await close();
      throw error;
    }
  }
  const port = portOf(app);
  const httpsPort = httpsApp ? portOf(httpsApp) : null;
  return {
    port,
    httpsPort,
    token,
    devices,
    pageUrl(name, query = {}, secure = true) {
      const origin = secure && httpsPort !== null ? `https://${name}:${httpsPort}` : `http://${name}:${port}`;
      return `${origin}/?${new URLSearchParams({ token, ...query })}`;
    },
    close,
  };
}

const portOf = (app: FastifyInstance): number => (app.server.address() as AddressInfo).port;
