/** What a hub hands out: the page, its scripts, and the files of onnxruntime-web. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { FastifyInstance } from "fastify";
import { PAGE, STALE } from "../web/html.js";
import { pageScripts } from "./bundle.js";

const HEADERS = {
  // Threads and a fine clock (cross-origin isolation; HTML standard, section 7.1.3).
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  // The address holds the token.
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

/**
 * Adds the routes. The page needs the token, its scripts and the runtime are public.
 * @param secureUrl origin under which the page is isolated, with `{host}` for the host; null where there is none
 */
export async function serveFiles(
  app: FastifyInstance,
  isToken: (given: string) => boolean,
  secureUrl: () => string | null,
): Promise<void> {
  app.addHook("onSend", async (request, reply) => {
    reply.headers(HEADERS);
    // The runtime's megabytes may be kept by a phone; everything else may change from one start to the next.
    reply.header("Cache-Control", request.url.startsWith("/ort/") ? "max-age=86400" : "no-store");
  });
  app.get<{ Querystring: { token?: string } }>("/", async ({ query }, reply) => {
    reply.type("text/html; charset=utf-8");
    if (typeof query.token !== "string" || !isToken(query.token)) return reply.code(401).send(STALE);
    return reply.send(PAGE.replace("{{secure}}", secureUrl() ?? ""));
  });
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
}
