/** Scripts for a page, bundled from their sources or from their compiled form, whichever lies there. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface BrowserBundle {
  /** URL of a file of the source, or of its compiled form: `import.meta.url`. */
  near: string;
  /** Folder of the scripts, from the folder of that file. */
  folder: string;
  /** Of the scripts, without their ends. */
  names: readonly string[];
  /** Names in the scripts and the JavaScript that stands for each. */
  define?: Record<string, string>;
  /** Found at run time, by URL. */
  external?: string[];
}

/** Contents by `NAME.js`. Throws as esbuild does. */
export async function bundleForBrowser(o: BrowserBundle): Promise<Map<string, Uint8Array>> {
  const here = fileURLToPath(o.near);
  const extension = here.endsWith(".ts") ? "ts" : "js";
  const { outputFiles } = await build({
    entryPoints: o.names.map((name) => join(here, "..", o.folder, `${name}.${extension}`)),
    bundle: true,
    write: false,
    outdir: "/",
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    define: o.define,
    external: o.external,
    logLevel: "silent",
  });
  return new Map(outputFiles.map((f) => [f.path.split(/[/\\]/).at(-1)!, f.contents]));
}
