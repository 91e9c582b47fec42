/** The page's scripts, bundled from the sources beside this file or from their compiled form. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

let bundled: Promise<Map<string, string>> | undefined;

/** `page.js` and `worker.js` to their text; made once per process. */
export function pageScripts(): Promise<Map<string, string>> {
  bundled ??= bundle();
  return bundled;
}

async function bundle(): Promise<Map<string, string>> {
  const here = fileURLToPath(import.meta.url);
  const extension = here.endsWith(".ts") ? "ts" : "js";
  const { outputFiles } = await build({
    entryPoints: ["page", "worker"].map((name) => join(here, `../../web/${name}.${extension}`)),
    bundle: true,
    write: false,
    outdir: "/",
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    // The hub's own files: found at run time, by URL.
    external: ["/ort/*"],
    logLevel: "silent",
  });
  return new Map(outputFiles.map((f) => [f.path.split(/[/\\]/).at(-1)!, f.text]));
}
