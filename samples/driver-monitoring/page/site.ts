/** Everything that the page is made of, as files: for a server on this machine as for a folder that any web server can hand out. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { bundleForBrowser } from "../../../runners/bundleForBrowser.js";
import type { StackChoice } from "../pipeline/kinds.js";
import { PAGE } from "./html.js";
import type { PageConfig } from "./messages.js";

/** Paths relative to the page, with their contents. */
export type Site = ReadonlyMap<string, Uint8Array>;

const RUNTIME_FILES = ["ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"];

/** Media types by the end of a file's name. */
export const mediaTypes: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  mjs: "text/javascript; charset=utf-8",
  json: "application/json",
  wasm: "application/wasm",
  onnx: "application/octet-stream",
};

/** Media type of a file of the site. */
export const typeOf = (path: string): string => mediaTypes[path.split(".").at(-1) ?? ""] ?? "application/octet-stream";

const bundle = (names: readonly string[], define: Record<string, string> = {}) =>
  bundleForBrowser({ near: import.meta.url, folder: ".", names, define });

/** Collects the page, its scripts, the models (`at` names their files) and the runtime. */
export async function buildSite(stack: StackChoice): Promise<Site> {
  const text = new TextEncoder();
  const files = new Map<string, Uint8Array>();
  const config: PageConfig = {
    stack: {
      locator: { kind: stack.locator.kind, at: "models/locator.onnx" },
      reader: {
        kind: stack.reader.kind,
        at: "models/reader.onnx",
        ...(stack.reader.eyes === undefined ? {} : { eyes: "models/eyes.onnx" }),
      },
    },
    runtime: "ort/",
  };
  files.set("index.html", text.encode(PAGE));
  files.set("config.json", text.encode(JSON.stringify(config)));
  for (const [name, bytes] of await bundle(["page", "worker"])) files.set(name, bytes);
  files.set("models/locator.onnx", await readFile(stack.locator.at));
  files.set("models/reader.onnx", await readFile(stack.reader.at));
  if (stack.reader.eyes !== undefined) files.set("models/eyes.onnx", await readFile(stack.reader.eyes));
  const runtime = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"));
  for (const name of RUNTIME_FILES) files.set(`ort/${name}`, await readFile(join(runtime, name)));
  const hash = createHash("sha256");
  for (const [name, bytes] of files) hash.update(name).update(bytes);
  const kept = ["./", ...[...files.keys()].filter((name) => name !== "index.html")];
  const define = {
    CACHE_NAME: JSON.stringify(`driver-monitoring-${hash.digest("hex").slice(0, 16)}`),
    FILES: JSON.stringify(kept),
  };
  for (const [name, bytes] of await bundle(["offline"], define)) files.set(name, bytes);
  return files;
}
