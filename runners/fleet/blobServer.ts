/** Blobs over HTTP: routes for a server that has a store, and a store that is such a server at another place. */
import type { FastifyInstance } from "fastify";
import { DeviceError } from "../errors.js";
import { sameSecret } from "../secret.js";
import { type BlobStore, checked, hashOf, hashSchema, missing } from "./blobs.js";

/** Largest blob that is accepted over HTTP, in bytes. */
const LARGEST = 2 ** 30;
/** A server that does not answer within this time has gone. */
const PATIENCE_MS = 60_000;
const TRIES = 5;

/** Adds `PUT /blobs/HASH` and `GET /blobs/HASH` to a server. Without the token nothing is read, written or told apart. */
export async function serveBlobs(app: FastifyInstance, store: BlobStore, token: string): Promise<void> {
  await app.register(async (scope) => {
    scope.addContentTypeParser("application/octet-stream", { parseAs: "buffer", bodyLimit: LARGEST }, (_, body, done) =>
      done(null, body),
    );
    scope.addHook("onRequest", async (request, reply) => {
      if (!sameSecret(request.headers.authorization ?? "", `Bearer ${token}`)) await reply.code(401).send();
    });
    scope.get<{ Params: { hash: string } }>("/blobs/:hash", async ({ params: { hash } }, reply) => {
      if (!hashSchema.safeParse(hash).success) return reply.code(404).send();
      const bytes = await store.get(hash).catch(() => undefined);
      if (!bytes) return reply.code(404).send();
      return reply.type("application/octet-stream").send(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    });
    scope.put<{ Params: { hash: string }; Body: unknown }>(
      "/blobs/:hash",
      async ({ params: { hash }, body }, reply) => {
        if (!(body instanceof Uint8Array)) return reply.code(415).send();
        if (hashOf(body) !== hash) return reply.code(422).send();
        await store.put(body);
        return reply.code(204).send();
      },
    );
  });
}

/** The store behind `serveBlobs` at `url`. A server that is being restarted is asked again for some seconds. */
export function httpBlobs(url: string, token: string): BlobStore {
  const ask = async (hash: string, init: RequestInit): Promise<Response> => {
    const address = `${url.replace(/\/$/, "")}/blobs/${hashSchema.parse(hash)}`;
    for (let attempt = 1; ; attempt++) {
      try {
        const response = await fetch(address, {
          ...init,
          headers: { ...init.headers, authorization: `Bearer ${token}` },
          signal: AbortSignal.timeout(PATIENCE_MS),
        });
        if (response.status < 500) return response;
        throw new Error(`the server answers ${response.status}`);
      } catch (cause) {
        if (attempt < TRIES) {
          await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** attempt));
          continue;
        }
        throw new DeviceError("blobs-unreachable", "the server that keeps models and data does not answer", {
          where: url,
          hint: "is the hub running, and reachable from this machine?",
          cause,
        });
      }
    }
  };
  return {
    async put(bytes) {
      const hash = hashOf(bytes);
      const body = new Uint8Array(bytes); // a view of a larger buffer would send all of it
      const { status } = await ask(hash, {
        method: "PUT",
        body,
        headers: { "content-type": "application/octet-stream" },
      });
      if (status !== 204) throw refused(status, url);
      return hash;
    },
    async get(hash) {
      const response = await ask(hash, {});
      if (response.status === 404) throw missing(hash, url);
      if (!response.ok) throw refused(response.status, url);
      return checked(hash, new Uint8Array(await response.arrayBuffer()), url);
    },
  };
}

const refused = (status: number, url: string): DeviceError =>
  new DeviceError("blobs-refused", `the server that keeps models and data refuses (${status})`, {
    where: url,
    ...(status === 401 ? { hint: "the token is not that of this hub" } : {}),
  });
