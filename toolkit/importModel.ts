/** A TensorFlow Lite model as an ONNX file, checked before it is written. */
import { ModelError } from "./graph/errors.js";
import { type Graph, typeOf } from "./graph/graph.js";
import { type Inspection, inspectModel } from "./inspect.js";
import { readTfliteFile } from "./modelFile.js";
import { inferShapes } from "./ops/infer.js";
import type { TfliteOptions } from "./tflite/index.js";
import { toolVersion } from "./version.js";

export interface ImportOptions extends Omit<TfliteOptions, "where"> {
  /** Path of the .tflite file. */
  model: string;
}

export interface Imported {
  /** With the shapes of all values. */
  graph: Graph;
  inspection: Inspection;
}

/**
 * Converts a TFLite model and infers its shapes, which must come out as the converter computed them. Throws ModelError with
 * `where` for files that are none, and for what has no counterpart in ONNX.
 */
export async function importModel({ model, ...options }: ImportOptions): Promise<Imported> {
  const read = await readTfliteFile(model, options);
  const graph = inferShapes(read, { unknown: (n) => n.outputs.map((o) => typeOf(read, o) ?? { elemType: "other" }) });
  graph.model = { ...graph.model, producerVersion: toolVersion() };
  for (const [i, { name, type }] of read.outputs.entries()) {
    const inferred = graph.outputs[i].type.dims;
    if (inferred && inferred.join() !== type.dims?.join())
      throw new ModelError("shape-mismatch", `output "${name}" has shape [${inferred}], expected [${type.dims}]`, {
        where: model,
        hint: "this is a bug in edgefit, please report it",
      });
  }
  return { graph, inspection: inspectModel(graph) };
}
