/** The model that a story is about, read and understood, together with the images that speak for it. */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import {
  type Dataset,
  loadDataset,
  loadPreprocessing,
  type Preprocessing,
  randomBatch,
  type Split,
} from "./data/index.js";
import { EdgefitError, ModelError } from "./graph/errors.js";
import { feedsOf, type Graph, opsetOf } from "./graph/graph.js";
import type { Tensor } from "./graph/tensor.js";
import { tidy } from "./graph/tidy.js";
import { type ReadingOptions, readAnyModel, runnableBytes } from "./modelFile.js";
import { foldConstants } from "./ops/fold.js";
import { inferShapes } from "./ops/infer.js";
import { RAISED_OPSET, raiseOpset } from "./ops/raiseOpset.js";
import { hasHalfFloats, widenHalfFloats } from "./ops/widen.js";
import type { PreprocessOptions } from "./options.js";
import { evaluateGraph } from "./runtime/evaluate.js";
import { DEQUANTIZED } from "./tflite/index.js";

export interface Subject {
  /** File name without its folder. */
  file: string;
  /** The file as it is (external data inside, TFLite converted), to be measured as the original. */
  bytes: Uint8Array;
  sha256: string;
  /** Tidy, operator set 13 or newer, shapes inferred. */
  graph: Graph;
  /** Name of the image input and its dims for one call of one image (or of the model's fixed batch). */
  input: { name: string; dims: readonly number[] };
  /** Images per call: the model's own batch where it is fixed, else a comfortable number. */
  batchSize: number;
  /** Undefined when no data was given. */
  data?: Dataset;
  preprocessing?: { values: Preprocessing; source: string; guessed: boolean };
}

export interface SubjectOptions {
  model: string;
  data?: string | Dataset;
  preprocess?: PreprocessOptions;
  dims?: Record<string, number>;
  /** Keep the integers of a quantised TFLite model. Default: the float model behind it, which can be cut and quantised anew. */
  integers?: boolean;
}

/** Images per call where the model leaves the batch open. */
const OPEN_BATCH = 100;

/**
 * Reads the model, infers its shapes and opens its data.
 * Throws ModelError for files that are no model or that have several inputs, DataError for data that does not fit.
 */
export async function openSubject(o: SubjectOptions): Promise<Subject> {
  const reading = { floats: !o.integers };
  const graph = await readGraph(o.model, o.dims, reading);
  const bytes = new Uint8Array(await runnableBytes(o.model, reading));
  const file = basename(o.model);
  const { name, dims, fixedBatch } = imageInput(graph, file);
  const subject: Subject = {
    file,
    bytes,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    graph,
    input: { name, dims },
    batchSize: fixedBatch ?? OPEN_BATCH,
  };
  if (o.data === undefined) return subject;
  const input = graph.inputs.find((v) => v.name === name)!;
  const {
    preprocessing: values,
    source,
    guessed,
  } = await loadPreprocessing({
    modelPath: o.model,
    ...o.preprocess,
    input: input.type,
  });
  const data = typeof o.data === "string" ? await loadDataset(o.data, values) : o.data;
  return { ...subject, data, preprocessing: { values, source, guessed: guessed && typeof o.data === "string" } };
}

/** A model file as a tidy graph with inferred shapes. Operator sets older than 13 are raised to 13, half floats become float32. */
export async function readGraph(
  path: string,
  dims: Record<string, number> = {},
  reading: ReadingOptions = { floats: true },
): Promise<Graph> {
  const read = await readAnyModel(path, reading);
  try {
    const inferred = inferShapes(tidy(read), { dims });
    const folded = await foldConstants(inferred, evaluateGraph);
    const known = folded === inferred ? inferred : inferShapes(folded);
    const raised = opsetOf(known) < RAISED_OPSET ? inferShapes(raiseOpset(known)) : known;
    return hasHalfFloats(raised) ? inferShapes(widenHalfFloats(raised)) : raised;
  } catch (e) {
    if (e instanceof ModelError)
      throw new ModelError(e.code, e.message, {
        where: e.where ? `${basename(path)}: ${e.where}` : basename(path),
        hint: e.hint,
        cause: e,
      });
    throw e;
  }
}

function imageInput(g: Graph, file: string): { name: string; dims: number[]; fixedBatch?: number } {
  const feeds = feedsOf(g);
  if (feeds.length !== 1) {
    throw new ModelError(
      "several-inputs",
      `the model has ${feeds.length} inputs (${feeds.map((v) => v.name).join(", ")})`,
      {
        where: file,
        hint: "this version feeds images to models with exactly one input",
      },
    );
  }
  const { name, type } = feeds[0];
  const [batch, ...rest] = type.dims ?? [];
  const open = rest.find((d) => typeof d !== "number");
  if (batch === undefined || open !== undefined) {
    throw new ModelError(
      "dynamic-dim",
      `input "${name}" has no fixed ${open === undefined ? "rank" : `size along "${open ?? "?"}"`}`,
      {
        where: file,
        hint: `give the dimension a value: --dim ${typeof open === "string" ? open : "NAME"}=VALUE`,
      },
    );
  }
  const image = rest as number[];
  return typeof batch === "number"
    ? { name, dims: [batch, ...image], fixedBatch: batch }
    : { name, dims: [1, ...image] };
}

/** Whether the model takes exactly `batchSize` images per call; the others take any number up to it. */
export const hasFixedBatch = (s: Subject): boolean => s.input.dims[0] === s.batchSize;

/** What a reader must know of the images before believing any accuracy. */
export function remarksOn(s: Subject): string[] {
  const skipped = (s.data?.skipped ?? []).map(({ item, reason }) => `skipped ${item}: ${reason}`);
  if (s.graph.model.metadata.has(DEQUANTIZED))
    skipped.unshift(
      `${s.file} is quantised: the original here is the float model behind it; \`edgefit validate\` compares with its integers`,
    );
  if (!s.preprocessing?.guessed) return skipped;
  return [
    "nothing says how the model wants its images: they are fed as 0..1; if it was trained with a mean and std, give --mean and --std, or a preprocessor_config.json, or every accuracy here is wrong",
    ...skipped,
  ];
}

/** The given items as input tensors, `subject.batchSize` images each; what does not fill a fixed batch is left out. */
export async function imageBatches(
  s: Subject,
  split: Split,
  indices: readonly number[],
): Promise<{ tensors: Tensor[]; labels: Int32Array[] }> {
  const tensors: Tensor[] = [];
  const labels: Int32Array[] = [];
  const fixed = hasFixedBatch(s);
  for (let i = 0; i < indices.length; i += s.batchSize) {
    const part = indices.slice(i, i + s.batchSize);
    if (fixed && part.length < s.batchSize) break;
    const batch = await split.batch(part);
    tensors.push({ elemType: "float32", dims: batch.dims, data: batch.data });
    if (batch.labels) labels.push(batch.labels);
  }
  if (tensors.length === 0)
    throw new EdgefitError("too-few-images", `${indices.length} images do not fill a batch of ${s.batchSize}`);
  return { tensors, labels };
}

/** Noise in place of images where no data was given. */
export function noiseBatches(s: Subject, images: number, seed: number): Tensor[] {
  const calls = Math.ceil(images / s.batchSize);
  return Array.from({ length: calls }, (_, i) => {
    const batch = randomBatch([s.batchSize, ...s.input.dims.slice(1)], seed + i);
    return { elemType: "float32", dims: batch.dims, data: batch.data };
  });
}
