/** Hands the page out on this machine: the browser gives the camera to localhost without a certificate. */
import type { AddressInfo } from "node:net";
import fastify from "fastify";
import { DeviceError } from "../../../runners/index.js";
import { type Site, typeOf } from "./site.js";

export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Starts the server on 127.0.0.1. Throws DeviceError `page-listen` when the port is taken. */
export async function servePage(site: Site, port = 0): Promise<PageServer> {
  const app = fastify({ logger: false, forceCloseConnections: true });
  app.addHook("onSend", async (_, reply) => {
    reply.headers({
      "Cache-Control": "no-cache",
      "X-Content-Type-Options": "nosniff",
      "Referrer-Policy": "no-referrer",
    });
  });
  for (const [path, bytes] of site) {
    const send = (url: string) => app.get(url, (_, reply) => reply.type(typeOf(path)).send(Buffer.from(bytes)));
    send(`/${path}`);
    if (path === "index.html") send("/");
  }
  try {
    await app.listen({ host: "127.0.0.1", port });
  } catch (cause) {
    throw new DeviceError("page-listen", `the page cannot be served there: ${(cause as Error).message}`, {
      where: `127.0.0.1:${port}`,
      hint: "choose another port",
      cause,
    });
  }
  const { port: found } = app.server.address() as AddressInfo;
  return { url: `http://localhost:${found}/`, close: () => app.close() };
}
