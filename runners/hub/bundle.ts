/** The scripts of the page that devices open. */
import { bundleForBrowser } from "../bundleForBrowser.js";

let bundled: Promise<Map<string, string>> | undefined;

/** `page.js` and `worker.js` to their text; made once per process. */
export function pageScripts(): Promise<Map<string, string>> {
  bundled ??= bundle();
  return bundled;
}

async function bundle(): Promise<Map<string, string>> {
  const files = await bundleForBrowser({
    near: import.meta.url,
    folder: "../web",
    names: ["page", "worker"],
    // The hub's own files.
    external: ["/ort/*"],
  });
  const text = new TextDecoder();
  return new Map([...files].map(([name, bytes]) => [name, text.decode(bytes)]));
}
