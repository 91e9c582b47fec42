/** Bytes by their hash: in a folder, in memory, over HTTP with a token. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fastify, { type FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BlobStore, cachedBlobs, folderBlobs, hashOf, httpBlobs, serveBlobs } from "../../runners/fleet/index.js";

const TOKEN = "a-token-of-a-hub";
const bytes = Uint8Array.of(1, 2, 3, 250);
let folder: string;
let app: FastifyInstance;
let url: string;
let store: BlobStore;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "edgefit-blobs-"));
  store = folderBlobs(folder);
  app = fastify();
  await serveBlobs(app, store, TOKEN);
  url = await app.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await app.close();
  rmSync(folder, { recursive: true });
});

describe.each([
  ["a folder", () => store],
  ["a server", () => httpBlobs(url, TOKEN)],
  ["a folder with a memory", () => cachedBlobs(store)],
])("%s", (_, open) => {
  test("gives back what was put, under the hash that anyone computes", async () => {
    expect(await open().put(bytes)).toBe(hashOf(bytes));
    expect(Uint8Array.from(await open().get(hashOf(bytes)))).toEqual(bytes);
    const part = new Uint8Array(10).fill(7).subarray(3, 6);
    expect(Uint8Array.from(await open().get(await open().put(part)))).toEqual(Uint8Array.of(7, 7, 7));
  });

  test("says so when it has nothing", async () => {
    await expect(open().get("0".repeat(64))).rejects.toMatchObject({ code: "blob-missing" });
  });

  test.each(["../../etc/passwd", "", "ABC", `${"0".repeat(63)}/`])("takes no %j for a hash", async (hash) => {
    await expect(open().get(hash)).rejects.toThrow(/SHA-256/);
  });
});

test("what is put twice is one file, and nothing half-written lies beside it", async () => {
  const own = mkdtempSync(join(tmpdir(), "edgefit-blobs-"));
  try {
    await Promise.all([folderBlobs(own).put(bytes), folderBlobs(own).put(bytes)]);
    expect(readdirSync(own)).toEqual([hashOf(bytes)]);
  } finally {
    rmSync(own, { recursive: true });
  }
});

test("a memory asks its store once per blob, and forgets the oldest first", async () => {
  const asked: string[] = [];
  const counting: BlobStore = {
    put: store.put,
    get: (hash) => {
      asked.push(hash);
      return store.get(hash);
    },
  };
  const [a, b] = [await store.put(new Uint8Array(60)), await store.put(new Uint8Array(61))];
  const cached = cachedBlobs(counting, 100);
  for (const hash of [a, a, b, b, a]) await cached.get(hash);
  expect(asked).toEqual([a, b, a]);
});

describe("the server", () => {
  const path = `/blobs/${hashOf(bytes)}`;
  const put = (headers: Record<string, string>, payload: Buffer, at = path) =>
    app.inject({
      method: "PUT",
      url: at,
      headers: { "content-type": "application/octet-stream", ...headers },
      payload,
    });
  const right = { authorization: `Bearer ${TOKEN}` };

  test.each([{}, { authorization: "Bearer wrong" }, { authorization: `Bearer ${TOKEN}x` }])(
    "reads and writes nothing for %j",
    async (headers) => {
      expect((await app.inject({ url: path, headers })).statusCode).toBe(401);
      expect((await put(headers as Record<string, string>, Buffer.from(bytes))).statusCode).toBe(401);
      await expect(httpBlobs(url, "another-token").get(hashOf(bytes))).rejects.toMatchObject({ code: "blobs-refused" });
    },
  );

  test("keeps nothing under a hash that is not its own, and no path", async () => {
    expect((await put(right, Buffer.from("else"))).statusCode).toBe(422);
    expect((await put(right, Buffer.from("else"), "/blobs/..%2f..%2fetc%2fpasswd")).statusCode).toBe(422);
    expect((await app.inject({ url: "/blobs/..%2f..%2fetc%2fpasswd", headers: right })).statusCode).toBe(404);
    const text = await app.inject({
      method: "PUT",
      url: path,
      headers: { ...right, "content-type": "text/plain" },
      payload: "x",
    });
    expect(text.statusCode).toBe(415);
  });
});
