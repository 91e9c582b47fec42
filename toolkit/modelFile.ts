/** A model file of whichever format edgefit reads: ONNX, or TensorFlow Lite by its identifier. */
import { open } from "node:fs/promises";
import { basename } from "node:path";
import type { Graph } from "./graph/graph.js";
import { modelBytes, readModelFile, readSelfContained, writeModel } from "./onnx/index.js";
import { importTflite, isTflite, type TfliteOptions } from "./tflite/index.js";

/** How a TFLite model is read. */
export interface ReadingOptions {
  /** The float model behind a quantised TFLite one, instead of its integers. Default false. */
  floats?: boolean;
}

/** What the stories ask of a TFLite model: images come as float32, as many per call as its operators allow. */
const forImages = (o: ReadingOptions): TfliteOptions => ({
  floatIo: true,
  batch: "possible",
  dequantize: o.floats === true,
});

/** Reads a model as a graph; TFLite models with float32 inputs and outputs. Throws ModelError with `where`. */
export async function readAnyModel(path: string, o: ReadingOptions = {}): Promise<Graph> {
  return (await holdsTflite(path)) ? readTfliteFile(path, forImages(o)) : readModelFile(path);
}

/** The model as bytes that a runtime can load: an ONNX file's own (its external data inside), a TFLite model's conversion. */
export async function runnableBytes(path: string, o: ReadingOptions = {}): Promise<Uint8Array> {
  return (await holdsTflite(path)) ? writeModel(await readTfliteFile(path, forImages(o))) : readSelfContained(path);
}

/** Reads a TFLite model with the given options. Throws ModelError, `not-tflite` for files of other formats. */
export async function readTfliteFile(path: string, o: TfliteOptions): Promise<Graph> {
  return importTflite(await modelBytes(path), { ...o, where: basename(path) });
}

/** By the first bytes, not by the name; a file that cannot be opened is for the reader to complain about. */
async function holdsTflite(path: string): Promise<boolean> {
  if (path.toLowerCase().endsWith(".tflite")) return true;
  const file = await open(path).catch(() => undefined);
  if (!file) return false;
  try {
    const head = new Uint8Array(8);
    const { bytesRead } = await file.read(head, 0, 8, 0).catch(() => ({ bytesRead: 0 }));
    return isTflite(head.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}
