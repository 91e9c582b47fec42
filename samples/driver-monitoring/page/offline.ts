/// <reference lib="dom" />
/** The page's service worker: keeps everything that the page was made of, so that it opens without a network. */

/** Written in by the bundler; changes with any of the files. */
declare const CACHE_NAME: string;
declare const FILES: readonly string[];

/** Of the service worker's interface what is used here; the library of its types excludes that of pages. */
interface Scope {
  addEventListener(
    type: "install" | "activate",
    handler: (event: { waitUntil(work: Promise<unknown>): void }) => void,
  ): void;
  addEventListener(
    type: "fetch",
    handler: (event: { request: Request; respondWith(answer: Promise<Response>): void }) => void,
  ): void;
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
}
const self = globalThis as unknown as Scope;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE_NAME)
      .then((cache) => cache.addAll([...FILES]))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  const clean = async (): Promise<void> => {
    for (const name of await caches.keys()) if (name !== CACHE_NAME) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET") return;
  event.respondWith(caches.match(event.request).then((kept) => kept ?? fetch(event.request)));
});
