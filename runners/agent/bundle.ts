/**
 * The agent as one folder for a board: two scripts bundled from the sources beside this file or from their compiled form, the
 * files of ONNX Runtime that the board needs, and a program to start it. Of the board it needs Node and nothing else.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { build } from "esbuild";
import { createTar } from "nanotar";
import { DeviceError } from "../errors.js";
import { startScript } from "./startScript.js";
import { runtimeFiles, type Target, targetNamed } from "./targets.js";

export interface BundleOptions {
  /** A key of `TARGETS`. */
  target: string;
  /** A new or empty folder, or a file that ends in `.tgz`. */
  out: string;
  /** The agent's command line, source or compiled. */
  entry: string;
  /** Of edgefit. */
  version: string;
  /** Of Node, at least, as `20.19.0`. */
  nodeVersion: string;
}

export interface Bundle {
  /** Absolute. */
  path: string;
  target: string;
  boards: string;
  /** Needed on the board, at least. */
  nodeVersion: string;
  /** Unpacked. */
  sizeBytes: number;
  /** Of the `.tgz`; null for a folder. */
  packedBytes: number | null;
  files: readonly string[];
}

interface Member {
  name: string;
  bytes: Uint8Array;
  executable?: boolean;
}

/** Bundles may not be larger, unpacked: they travel to boards over slow links. */
export const MAX_BUNDLE_BYTES = 60e6;

/**
 * Writes the bundle, whole or not at all. Throws DeviceError `bundle-exists` for a folder that holds something or a file that is
 * there, `target-unknown`, and `bundle-files` where a package that goes with it is not installed or lacks the target's files.
 */
export async function bundleAgent(o: BundleOptions): Promise<Bundle> {
  const target = targetNamed(o.target);
  const path = resolve(o.out);
  const packed = /\.(tgz|tar\.gz)$/.test(path);
  if (existsSync(path) && (packed || readdirSync(path).length > 0)) {
    throw new DeviceError("bundle-exists", packed ? "the file is there already" : "the folder is not empty", {
      where: o.out,
      hint: "choose another --out, or remove it first",
    });
  }
  const members = [...(await scripts(o)), ...runtimeMembers(target), ...own(o, target)];
  const sizeBytes = members.reduce((sum, m) => sum + m.bytes.length, 0);
  if (sizeBytes > MAX_BUNDLE_BYTES) {
    throw new DeviceError(
      "bundle-size",
      `the bundle would be ${(sizeBytes / 1e6).toFixed(1)} MB, more than ${MAX_BUNDLE_BYTES / 1e6}`,
    );
  }
  mkdirSync(dirname(path), { recursive: true });
  const packedBytes = packed ? await writePacked(path, members) : await writeFolder(path, members);
  return {
    path,
    target: o.target,
    boards: target.boards,
    nodeVersion: o.nodeVersion,
    sizeBytes,
    packedBytes,
    files: members.map((m) => m.name),
  };
}

/** `agent.js`, `worker.js` and what they share; the runtime that they load stays in node_modules. */
async function scripts({ entry }: BundleOptions): Promise<Member[]> {
  const here = fileURLToPath(import.meta.url);
  const { outputFiles } = await build({
    entryPoints: {
      agent: entry,
      worker: join(here, `../../node/worker.${here.endsWith(".ts") ? "ts" : "js"}`),
    },
    bundle: true,
    // Or the import of a build of the runtime that is not there would move to the top of the script.
    splitting: true,
    write: false,
    outdir: "/",
    format: "esm",
    platform: "node",
    target: "node20",
    // Names stay, so that a stack trace from a board can be read.
    minifyWhitespace: true,
    minifySyntax: true,
    // Packages in CommonJS that ask for Node's own modules.
    banner: {
      js: 'import{createRequire as bundleRequire}from"node:module";const require=bundleRequire(import.meta.url);',
    },
    external: ["onnxruntime-node", "onnxruntime-web", "bufferutil", "utf-8-validate", "osx-temperature-sensor"],
    logLevel: "silent",
  });
  return outputFiles.map((f) => ({ name: basename(f.path), bytes: f.contents }));
}

/** Files of ONNX Runtime, below node_modules. */
function runtimeMembers(target: Target): Member[] {
  return runtimeFiles(target).flatMap(({ package: name, files }) => {
    const folder = packageFolder(name);
    const found = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .map((f) => f.replaceAll("\\", "/"))
      .filter((f) => files.test(f))
      .sort();
    const needed = name === "onnxruntime-node" ? /\.node$/ : /\.js$|\.wasm$/;
    if (!found.some((f) => needed.test(f))) {
      throw new DeviceError("bundle-files", `the installed package ${name} has no files for this target`, {
        where: "--target",
        hint: "install edgefit anew, without leaving packages out",
      });
    }
    return found.map((f) => ({ name: `node_modules/${name}/${f}`, bytes: readFileSync(join(folder, f)) }));
  });
}

/** Folder of an installed package; `exports` may hide its package.json. */
function packageFolder(name: string): string {
  let folder: string;
  try {
    folder = dirname(createRequire(import.meta.url).resolve(name));
  } catch (cause) {
    throw new DeviceError("bundle-files", `the package ${name} is not installed`, { cause });
  }
  const isRoot = (f: string) =>
    existsSync(join(f, "package.json")) && JSON.parse(readFileSync(join(f, "package.json"), "utf8")).name === name;
  while (!isRoot(folder)) {
    if (folder === dirname(folder)) throw new DeviceError("bundle-files", `the package ${name} has no package.json`);
    folder = dirname(folder);
  }
  return folder;
}

/** What the bundle has besides. */
function own(o: BundleOptions, target: Target): Member[] {
  const text = (name: string, content: string, executable = false): Member => ({
    name,
    bytes: Buffer.from(content),
    executable,
  });
  const manifest = {
    name: "edgefit-agent",
    version: o.version,
    private: true,
    type: "module",
    license: "Apache-2.0",
    engines: { node: `>=${o.nodeVersion}` },
  };
  return [
    text("agent", startScript(o.nodeVersion), true),
    text("package.json", `${JSON.stringify(manifest, null, 2)}\n`),
    text(
      "README.txt",
      `edgefit agent ${o.version} for ${target.boards}.\n\nNeeds Node ${o.nodeVersion} or newer on the board. Start it with\n\n    ./agent --hub http://ADDRESS:PORT --token TOKEN\n\nand the address and token that edgefit hub shows; ./agent --help lists the rest.\nONNX Runtime, in node_modules, is under the MIT licence, edgefit under Apache-2.0.\n`,
    ),
  ];
}

/** Written beside the place and moved there, so that an interrupted run leaves nothing that looks whole. */
async function writeFolder(path: string, members: readonly Member[]): Promise<null> {
  const draft = mkdtempSync(join(dirname(path), ".edgefit-agent-"));
  try {
    for (const m of members) {
      const file = join(draft, m.name);
      mkdirSync(dirname(file), { recursive: true });
      await writeFile(file, m.bytes);
      if (m.executable) chmodSync(file, 0o755);
    }
    chmodSync(draft, 0o755);
    if (existsSync(path)) rmSync(path, { recursive: true }); // empty, as was checked
    renameSync(draft, path);
    return null;
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    throw error;
  }
}

async function writePacked(path: string, members: readonly Member[]): Promise<number> {
  const tar = createTar(
    members.map((m) => ({
      name: `edgefit-agent/${m.name}`,
      data: m.bytes,
      attrs: { mode: m.executable ? "755" : "644" },
    })),
  );
  const bytes = await promisify(gzip)(tar);
  const draft = `${path}.part`;
  try {
    await writeFile(draft, bytes);
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
  return bytes.length;
}
