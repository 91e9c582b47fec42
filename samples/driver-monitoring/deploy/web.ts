/** The page as a folder that any web server can hand out, whole or not at all. */
import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../../../toolkit/graph/errors.js";
import { mediaTypes, type Site } from "../page/site.js";

export interface DeployedFolder {
  /** Absolute. */
  path: string;
  files: readonly string[];
  sizeBytes: number;
}

/** A server in one file, for machines with Node; `node serve.mjs [PORT]`. */
const SERVER = `// Serves this folder on this machine: node serve.mjs [PORT]
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { stdout } from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL(".", import.meta.url));
const types = ${JSON.stringify(mediaTypes)};
const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://local").pathname));
  const file = join(root, path.endsWith("/") ? path + "index.html" : path);
  if (!file.startsWith(root) || !existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
  const type = types[extname(file).slice(1)] ?? "application/octet-stream";
  response.writeHead(200, { "Content-Type": type, "Cache-Control": "no-cache" });
  createReadStream(file).pipe(response);
});
server.listen(Number(process.argv[2] ?? 8080), "127.0.0.1", () => {
  stdout.write("http://localhost:" + server.address().port + "/\\n");
});
`;

/**
 * Writes the page's files and a small server. Throws UsageError `output-folder` for a folder that holds something.
 *
 * @param out a new or empty folder
 */
export async function deployWeb(site: Site, out: string): Promise<DeployedFolder> {
  const path = resolve(out);
  if (existsSync(path) && readdirSync(path).length > 0)
    throw new UsageError("output-folder", "the folder is not empty", {
      where: `--out ${out}`,
      hint: "choose another --out, or remove it first",
    });
  const all = new Map([...site, ["serve.mjs", new TextEncoder().encode(SERVER)] as const]);
  await mkdir(dirname(path), { recursive: true });
  const temporary = await mkdtemp(join(dirname(path), `.${basename(path)}-`));
  try {
    for (const [name, bytes] of all) {
      await mkdir(dirname(join(temporary, name)), { recursive: true });
      await writeFile(join(temporary, name), bytes);
    }
    await rm(path, { recursive: true, force: true });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  const sizeBytes = [...all.values()].reduce((sum, b) => sum + b.length, 0);
  return { path, files: [...all.keys()], sizeBytes };
}
