/**
 * The only place that runs ONNX on the host. Calibration, training, repair and checks go through it; measuring a device
 * does not (that is the runners' work).
 */
import { availableParallelism } from "node:os";
import type * as Ort from "onnxruntime-node";
import { ModelError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { type ElemType, sizeOf, type Tensor, type TensorData } from "../graph/tensor.js";
import { writeModel } from "../onnx/index.js";

export interface SessionOptions {
  /** Threads within an operator. Default: as many as the process may use. */
  threads?: number;
  /** How far ONNX Runtime rewrites the graph. Default `all`. */
  level?: "disabled" | "basic" | "extended" | "layout" | "all";
  /**
   * Plans one block of memory for a whole run after the first one, whose own memory stays taken: up to twice as much in all. Default
   * true; a training step is as fast without.
   */
  memoryPattern?: boolean;
  /** Lets ONNX Runtime write its warnings to stderr. Default false. */
  verbose?: boolean;
  /** What error messages call the model: usually its file name. */
  where?: string;
}

/** An input or output as the runtime sees it: symbolic dims are strings, unnamed ones "". */
export interface SessionValue {
  name: string;
  elemType: ElemType;
  dims: readonly (number | string)[];
}

/** A loaded model. */
export interface Session {
  readonly inputs: readonly SessionValue[];
  readonly outputs: readonly SessionValue[];
  /**
   * Runs the model once. `outputs` limits what is computed and returned; default all. Throws ModelError `feed` for a
   * missing, unknown or ill-typed input, and `runtime` with ONNX Runtime's own sentence.
   */
  run(feeds: Record<string, Tensor>, outputs?: readonly string[]): Promise<Record<string, Tensor>>;
  /** Frees the model; safe to call twice. */
  dispose(): Promise<void>;
}

/** The runtime's numbers for log severities. Errors are off as well: they come back as exceptions. */
const severity = { warning: 2, fatal: 4 } as const;

/** Types that the Node binding can pass, by ONNX Runtime's names, which are ours. bfloat16 is not among them. */
const passable: ReadonlySet<string> = new Set<ElemType>([
  "float32",
  "float64",
  "float16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
  "string",
]);

/**
 * Loads a model on the CPU provider. Throws ModelError `runtime`, with ONNX Runtime's own sentence, when it refuses the
 * model.
 */
export async function openSession(model: Graph | Uint8Array, o: SessionOptions = {}): Promise<Session> {
  const ort = await import("onnxruntime-node");
  // Read once, when the runtime starts; sessions and runs carry their own level besides.
  ort.env.logLevel ??= "fatal";
  const logSeverityLevel = o.verbose ? severity.warning : severity.fatal;
  const bytes = model instanceof Uint8Array ? model : writeModel(model);
  let session: Ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(bytes, {
      executionProviders: ["cpu"],
      intraOpNumThreads: o.threads ?? availableParallelism(),
      interOpNumThreads: 1,
      graphOptimizationLevel: o.level ?? "all",
      enableMemPattern: o.memoryPattern ?? true,
      logSeverityLevel,
    });
  } catch (cause) {
    throw runtimeError("does not load the model", cause, o.where);
  }
  return wrap(ort, session, { logSeverityLevel }, o.where);
}

/** Opens a session, gives it to `use`, and frees it whatever happens. */
export async function withSession<T>(
  model: Graph | Uint8Array,
  o: SessionOptions,
  use: (s: Session) => Promise<T>,
): Promise<T> {
  const session = await openSession(model, o);
  try {
    return await use(session);
  } finally {
    await session.dispose();
  }
}

function wrap(
  ort: typeof Ort,
  session: Ort.InferenceSession,
  runOptions: Ort.InferenceSession.RunOptions,
  where: string | undefined,
): Session {
  const inputs = session.inputMetadata.map(describeValue);
  const outputs = session.outputMetadata.map(describeValue);
  let open = true;
  return {
    inputs,
    outputs,
    async run(feeds, wanted) {
      if (!open) throw new Error("this session was disposed of already: this is a bug in edgefit, please report it");
      const converted = feedsFor(ort, inputs, feeds, where);
      refuseUnpassable(outputs, wanted, where);
      let results: Ort.InferenceSession.OnnxValueMapType;
      try {
        results = await (wanted ? session.run(converted, [...wanted], runOptions) : session.run(converted, runOptions));
      } catch (cause) {
        throw runtimeError("cannot run the model", cause, where);
      }
      return Object.fromEntries(Object.entries(results).map(([name, t]) => [name, fromOrt(t as Ort.Tensor)]));
    },
    async dispose() {
      if (!open) return;
      open = false;
      await session.release();
    },
  };
}

function describeValue(m: Ort.InferenceSession.ValueMetadata): SessionValue {
  return m.isTensor
    ? { name: m.name, elemType: passable.has(m.type) ? (m.type as ElemType) : "other", dims: m.shape }
    : { name: m.name, elemType: "other", dims: [] };
}

/** The Node binding brings the process down over an output of a type that it does not know (4-bit, 8-bit float, bfloat16). */
function refuseUnpassable(
  outputs: readonly SessionValue[],
  wanted: readonly string[] | undefined,
  where: string | undefined,
): void {
  const odd = outputs.find((v) => v.elemType === "other" && (wanted?.includes(v.name) ?? true));
  if (!odd) return;
  throw new ModelError(
    "runtime",
    `ONNX Runtime for Node cannot hand over output "${odd.name}": its type is not one of ${[...passable].join(", ")}`,
    { where },
  );
}

function feedsFor(
  ort: typeof Ort,
  inputs: readonly SessionValue[],
  feeds: Record<string, Tensor>,
  where?: string,
): Record<string, Ort.Tensor> {
  const listed = inputs.map((v) => `"${v.name}"`).join(", ");
  for (const name of Object.keys(feeds)) {
    if (!inputs.some((v) => v.name === name))
      throw new ModelError("feed", `the model has no input "${name}"; its inputs are ${listed || "none"}`, { where });
  }
  const out: [string, Ort.Tensor][] = [];
  for (const v of inputs) {
    const t = Object.hasOwn(feeds, v.name) ? feeds[v.name] : undefined;
    if (!t) throw new ModelError("feed", `no value was given for the model's input "${v.name}"`, { where });
    if (t.elemType !== v.elemType)
      throw new ModelError("feed", `input "${v.name}" wants ${v.elemType} and was given ${t.elemType}`, { where });
    const fits = t.dims.length === v.dims.length && v.dims.every((d, i) => typeof d === "string" || d === t.dims[i]);
    if (!fits)
      throw new ModelError(
        "feed",
        `input "${v.name}" wants dims [${v.dims.map((d) => d || "?").join(", ")}] and was given [${t.dims.join(", ")}]`,
        { where },
      );
    if (t.data.length !== sizeOf(t.dims))
      throw new ModelError("feed", `input "${v.name}" has dims [${t.dims.join(", ")}] but ${t.data.length} elements`, {
        where,
      });
    out.push([v.name, new ort.Tensor(v.elemType as Ort.Tensor.Type, t.data as Ort.Tensor.DataType, [...t.dims])]);
  }
  return Object.fromEntries(out);
}

function fromOrt(t: Ort.Tensor): Tensor {
  const data = t.data as TensorData;
  // Newer engines give half floats as Float16Array; the floor keeps their bits.
  const bits = t.type === "float16" && !(data instanceof Uint16Array) && !Array.isArray(data);
  return {
    elemType: t.type as ElemType,
    dims: t.dims,
    data: bits ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data,
  };
}

function runtimeError(what: string, cause: unknown, where: string | undefined): ModelError {
  const sentence = plainSentence(cause instanceof Error ? cause.message : String(cause));
  return new ModelError("runtime", `ONNX Runtime ${what}: ${sentence}`, { where, cause });
}

/** `path/file.cc:12 function `, or with the function's whole signature, in front of the runtime's own words. */
const sourceLocation =
  /\S*\.(?:cc|h):\d+ (?:(?:[\w:<>&*, ]+? )?onnxruntime::[\w:<>~]+\((?:[^()]|\([^()]*\))*\)(?: const)?(?: \[with [^\]]*\])?|[\w:~]+) (?:[^.]* was false\. (?=\S))?/g;

/** ONNX Runtime's message without its source files, function signatures, failed conditions and status codes. */
export function plainSentence(message: string): string {
  return message
    .replace(sourceLocation, "")
    .replace(/^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : /, "")
    .replace(/^Load model from (?:\S+|buffer) failed:\s*/i, "")
    .replace(/Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: /, '$1 "$2": ')
    .replace(/\s+/g, " ")
    .trim();
}
