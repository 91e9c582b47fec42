/** Someone else's models in a folder: which of the files finds faces, and which reads them. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../../../toolkit/graph/errors.js";
import type { Value } from "../../../toolkit/graph/graph.js";
import { readModelFile } from "../../../toolkit/onnx/index.js";
import type { Net, OpenNet } from "../pipeline/net.js";
import { isOpenSeeFace, openSeeFaceReader } from "../pipeline/openSeeFace.js";
import type { FaceLocator, FaceReader, Signature } from "../pipeline/stack.js";
import { isUltraface, ultrafaceLocator } from "../pipeline/ultraface.js";
import { isYunet, yunetLocator } from "../pipeline/yunet.js";

export interface Stack {
  locator: FaceLocator;
  reader: FaceReader;
}

interface Kind<T> {
  name: string;
  is(s: Signature): boolean;
  make(net: Net): T;
}

/** Known kinds; of several files the kind that comes first is taken, then the name. */
const locators: readonly Kind<FaceLocator>[] = [
  { name: "YuNet", is: isYunet, make: (net) => yunetLocator(net) },
  { name: "UltraFace", is: isUltraface, make: (net) => ultrafaceLocator(net) },
];
const readers: readonly Kind<FaceReader>[] = [{ name: "OpenSeeFace", is: isOpenSeeFace, make: openSeeFaceReader }];

/** Model files of a folder and the folders in it, by name. */
async function modelFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((n) => n.toLowerCase().endsWith(".onnx"))
    .sort()
    .map((n) => join(folder, n));
}

async function signatureOf(file: string): Promise<Signature> {
  const graph = await readModelFile(file);
  const values = (list: readonly Value[]) => list.map((v) => ({ name: v.name, dims: v.type?.dims ?? [] }));
  return { inputs: values(graph.inputs), outputs: values(graph.outputs) };
}

/**
 * Opens a face detector and a landmark net from a folder and those in it. Throws UsageError when the folder is missing or lacks
 * one of them.
 *
 * @param detector name of the face detector; default: whichever is there, YuNet before UltraFace
 */
export async function openStackFolder(folder: string, open: OpenNet, detector?: string): Promise<Stack> {
  const where = `--models ${folder}`;
  const known = await stat(folder).catch(() => undefined);
  if (!known?.isDirectory()) throw new UsageError("models-folder", "there is no such folder", { where });
  const files = await modelFiles(folder);
  const signatures = await Promise.all(files.map(signatureOf));
  const find = <T>(kinds: readonly Kind<T>[]): { file: string; make: (net: Net) => T } | undefined => {
    for (const { is, make } of kinds) {
      const at = signatures.findIndex(is);
      if (at >= 0) return { file: files[at], make };
    }
    return undefined;
  };
  const wanted = locators.filter((k) => detector === undefined || k.name === detector);
  const locator = find(wanted);
  const reader = find(readers);
  if (!locator || !reader) {
    const missing = [
      !locator && `face detector (${wanted.map((k) => k.name).join(" or ")})`,
      !reader && "landmark net (OpenSeeFace)",
    ];
    throw new UsageError(
      "models-missing",
      `among ${files.length} ONNX files there is no ${missing.filter(Boolean).join(" and no ")}`,
      { where },
    );
  }
  const locatorNet = await open(await readFile(locator.file));
  return { locator: locator.make(locatorNet), reader: reader.make(await open(await readFile(reader.file))) };
}
