/** Which model files make up a pipeline: the sample's own, or someone else's in a folder. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../../../toolkit/graph/errors.js";
import type { Value } from "../../../toolkit/graph/graph.js";
import { readModelFile } from "../../../toolkit/onnx/index.js";
import { eyeStateModelPath, samplePath } from "../assets.js";
import { type LocatorKind, locatorKinds, type ReaderKind, readerKinds, type StackChoice } from "../pipeline/kinds.js";
import type { Net, OpenNet } from "../pipeline/net.js";
import type { FaceLocator, FaceReader, Signature } from "../pipeline/stack.js";

export interface Stack {
  locator: FaceLocator;
  reader: FaceReader;
}

/** The models that come with the sample. */
export const ownStack = (): StackChoice => ({
  locator: { kind: "own", at: samplePath("face-locator.onnx") },
  reader: { kind: "own", at: samplePath("face-reader.onnx"), eyes: eyeStateModelPath() },
});

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
 * Finds a face detector and a net that reads faces in a folder and those in it. Throws UsageError when the folder is missing or lacks
 * one of them.
 *
 * @param detector the face detector's kind; default: whichever is there
 */
export async function findStack(folder: string, detector?: LocatorKind): Promise<StackChoice> {
  const where = `--models ${folder}`;
  const known = await stat(folder).catch(() => undefined);
  if (!known?.isDirectory()) throw new UsageError("models-folder", "there is no such folder", { where });
  const files = await modelFiles(folder);
  const signatures = await Promise.all(files.map(signatureOf));
  const find = <K extends string>(kinds: Record<K, { is(s: Signature): boolean }>, wanted?: K) => {
    for (const kind of Object.keys(kinds) as K[]) {
      const at = signatures.findIndex((s) => kinds[kind].is(s));
      if (at >= 0 && (wanted === undefined || kind === wanted)) return { kind, at: files[at] };
    }
    return undefined;
  };
  const locator = find<LocatorKind>(locatorKinds, detector);
  const reader = find<ReaderKind>(readerKinds);
  if (!locator || !reader) {
    const missing = [!locator && "face detector (YuNet or UltraFace)", !reader && "landmark net (OpenSeeFace)"];
    throw new UsageError(
      "models-missing",
      `among ${files.length} ONNX files there is no ${missing.filter(Boolean).join(" and no ")}`,
      { where },
    );
  }
  return { locator, reader };
}

/** Loads the models of a pipeline. */
export async function openStack({ locator, reader }: StackChoice, open: OpenNet): Promise<Stack> {
  const load = async (file: string): Promise<Net> => open(await readFile(file));
  return {
    locator: locatorKinds[locator.kind].make(await load(locator.at)),
    reader: readerKinds[reader.kind].make(await load(reader.at), reader.eyes ? await load(reader.eyes) : undefined),
  };
}
