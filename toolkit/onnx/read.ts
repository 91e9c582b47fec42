/**
 * ONNX bytes to Graph. What edgefit does not model (doc strings, functions, training information, annotations, fields of
 * newer versions) travels along in `extras` and is written back unchanged. Refuses whatever is no sound model with one
 * sentence; never trusts a length or dimension of the file before memory is allocated.
 */
import { checkGraph } from "../graph/check.js";
import { EdgefitError, ModelError } from "../graph/errors.js";
import type { Attribute, Graph, LocalFunction, OpNode, ValueType } from "../graph/graph.js";
import { sortTopologically } from "../graph/order.js";
import type { Tensor } from "../graph/tensor.js";
import {
  type AttributeProto,
  AttributeType,
  decodeModel,
  decodeTensor,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  revise,
  type TensorProto,
  type ValueInfoProto,
} from "./proto.js";
import { tensorFromSparse } from "./sparse.js";
import { type ExternalReader, tensorFromProto } from "./tensorData.js";
import { typeFromProto, valueFromProto } from "./valueInfo.js";

/** What a Graph carries for the writer. */
export interface GraphExtras {
  /** The message without nodes, constants and values. */
  proto: GraphProto;
  /** `value_info` as the file had it, by name. */
  valueInfo: Map<string, ValueInfoProto>;
}

/** What an OpNode carries for the writer. */
export interface NodeExtras {
  /** The message without inputs, outputs and attributes. */
  proto: NodeProto;
  /** Attributes as they were read, with their messages: one that is still the same object is written as it was. */
  attributes: Map<string, { read: Attribute; proto: AttributeProto }>;
}

/** What ModelInfo carries for the writer: the message without its graph. */
export interface ModelExtras {
  proto: ModelProto;
}

export interface ReadOptions {
  /** What error messages call the model: usually its file name. */
  where?: string;
  /** Serves tensors that are stored outside of the file. Without it such models are refused. */
  external?: ExternalReader;
}

/** Highest versions that are taken for real: the format's own counters stand at 13 and 26. */
const MAX_IR_VERSION = 99;
const MAX_OPSET = 999;

/**
 * Reads a model. Nodes come out in topological order. Throws ModelError (`not-onnx`, `truncated`, `tensor-data`,
 * `external-data`, or a broken invariant of the graph) with `where` set to the caller's name for the model.
 */
export function readModel(bytes: Uint8Array, o: ReadOptions = {}): Graph {
  try {
    const plain = new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
    return graphOfModel(decodeModel(plain), o.external);
  } catch (cause) {
    if (!(cause instanceof EdgefitError) || o.where === undefined) throw cause;
    const message = cause.where === undefined ? cause.message : `${cause.where}: ${cause.message}`;
    throw new ModelError(cause.code, message, { where: o.where, hint: cause.hint, cause });
  }
}

/** A TensorProto in bytes of its own, as the test data of ONNX come. Throws ModelError `not-onnx` or `tensor-data`. */
export function readTensor(bytes: Uint8Array): { name: string; tensor: Tensor } {
  const p = decodeTensor(new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength));
  return { name: p.name, tensor: tensorFromProto(p, `tensor "${p.name}"`) };
}

function graphOfModel(p: ModelProto, external?: ExternalReader): Graph {
  const irVersion = Number(p.irVersion);
  if (irVersion < 1 || irVersion > MAX_IR_VERSION)
    throw new ModelError("not-onnx", `the file does not give a valid ONNX version (ir_version is ${p.irVersion})`);
  if (!p.graph) throw new ModelError("not-onnx", "the model holds no graph");
  if (p.graph.node.length === 0 && p.graph.output.length === 0)
    throw new ModelError("not-onnx", "the model's graph is empty: no nodes and no outputs");
  if (p.graph.output.length === 0) throw new ModelError("not-onnx", "the model's graph has no outputs");
  const opsets = opsetsOf(p.opsetImport);
  // Files older than the import list use the first operator set.
  if (opsets.size === 0 && irVersion < 3) opsets.set("", 1);
  if (opsets.size === 0)
    throw new ModelError("opset", "the model does not say which operator set it uses (opset_import is missing)", {
      hint: "the file may be truncated",
    });
  const graph = graphFromProto(p.graph, opsets, external);
  graph.model = {
    irVersion,
    producerName: p.producerName,
    producerVersion: p.producerVersion,
    metadata: new Map(p.metadataProps.map((e) => [e.key, e.value])),
    extras: { proto: withoutGraph(p) } satisfies ModelExtras,
  };
  if (p.functions.length > 0) graph.functions = p.functions.map((f) => functionFromProto(f, opsets, external));
  checkGraph(graph, { names: "any" });
  return graph;
}

function opsetsOf(imports: ModelProto["opsetImport"]): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of imports) {
    const key = plainDomain(domain);
    const value = Number(version);
    if (value < 1 || value > MAX_OPSET)
      throw new ModelError(
        "opset",
        `the model asks for operator set ${version} of domain "${domain || "ai.onnx"}", which does not exist`,
      );
    if ((opsets.get(key) ?? value) !== value)
      throw new ModelError(
        "opset",
        `the model asks for operator sets ${opsets.get(key)} and ${value} of domain "${domain || "ai.onnx"}" at once`,
      );
    opsets.set(key, value);
  }
  return opsets;
}

function withoutGraph(p: ModelProto): ModelProto {
  const bare = revise(p, { functions: [] });
  delete bare.graph;
  return bare;
}

/** "ai.onnx" is the other spelling of the default domain. */
const plainDomain = (domain: string): string => (domain === "ai.onnx" ? "" : domain);

function graphFromProto(p: GraphProto, opsets: Map<string, number>, external?: ExternalReader): Graph {
  const initializers = new Map<string, Tensor>();
  const addInitializer = (name: string, read: (what: string) => Tensor): void => {
    if (!name) throw new ModelError("malformed", "the model holds a constant without a name");
    if (initializers.has(name))
      throw new ModelError("duplicate-value", `the model holds two constants named "${name}"`);
    initializers.set(name, read(`constant "${name}"`));
  };
  for (const t of p.initializer) addInitializer(t.name, (what) => tensorFromProto(withoutName(t), what, external));
  for (const t of p.sparseInitializer) addInitializer(t.values?.name ?? "", (what) => tensorFromSparse(t, what));
  const graph: Graph = {
    name: p.name,
    nodes: p.node.map((n, i) => nodeFromProto(n, i, opsets, external)),
    inputs: p.input.map(valueFromProto),
    outputs: p.output.map(valueFromProto),
    initializers,
    valueTypes: new Map(
      p.valueInfo
        .filter((v) => v.name && !initializers.has(v.name))
        .map((v): [string, ValueType] => [v.name, typeFromProto(v.type)]),
    ),
    opsets,
    model: { irVersion: 0, producerName: "", producerVersion: "", metadata: new Map() },
    extras: {
      proto: revise(p, { node: [], initializer: [], sparseInitializer: [], input: [], output: [], valueInfo: [] }),
      valueInfo: new Map(p.valueInfo.map((v) => [v.name, v])),
    } satisfies GraphExtras,
  };
  graph.nodes = sortTopologically(graph);
  return graph;
}

function functionFromProto(p: FunctionProto, model: Map<string, number>, external?: ExternalReader): LocalFunction {
  const what = `local function "${p.name}"`;
  if (!p.name) throw new ModelError("malformed", "the model holds a local function without a name");
  const opsets = opsetsOf(p.opsetImport);
  const all = new Map([...model, ...opsets]);
  const attributes = new Map<string, Attribute | undefined>(p.attribute.map((name) => [name, undefined]));
  for (const a of p.attributeProto)
    attributes.set(a.name, attributeFromProto(a, `attribute "${a.name}" of ${what}`, all, external));
  const nodes = p.node.map((n, i) => nodeFromProto(n, i, all, external));
  return {
    domain: plainDomain(p.domain),
    name: p.name,
    ...(p.overload ? { overload: p.overload } : {}),
    inputs: p.input,
    outputs: p.output,
    attributes,
    nodes: sortTopologically({ nodes }),
    opsets,
    extras: p,
  };
}

/** The graph keeps names of constants; the tensor need not. */
function withoutName(p: TensorProto): TensorProto {
  const bare = revise(p, {});
  delete (bare as Partial<TensorProto>).name;
  return bare;
}

function nodeFromProto(p: NodeProto, index: number, opsets: Map<string, number>, external?: ExternalReader): OpNode {
  const what = p.name || p.output.find((o) => o) || `number ${index}`;
  if (!p.opType) throw new ModelError("malformed", `node "${what}" does not say which operator it is`);
  const attributes = new Map<string, { read: Attribute; proto: AttributeProto }>();
  for (const a of p.attribute) {
    const place = `${p.opType} "${what}"`;
    if (!a.name) throw new ModelError("malformed", `${place} has an attribute without a name`);
    if (attributes.has(a.name)) throw new ModelError("malformed", `${place} has two attributes named "${a.name}"`);
    attributes.set(a.name, {
      read: attributeFromProto(a, `attribute "${a.name}" of ${place}`, opsets, external),
      proto: a,
    });
  }
  return {
    name: p.name,
    opType: p.opType,
    domain: plainDomain(p.domain),
    inputs: p.input,
    outputs: p.output,
    ...(p.overload ? { overload: p.overload } : {}),
    attributes: Object.fromEntries([...attributes].map(([name, a]) => [name, a.read])),
    extras: {
      proto: revise(p, { input: [], output: [], attribute: [] }),
      attributes: forWriter(attributes),
    } satisfies NodeExtras,
  };
}

/** Tensors and graphs are always written anew, so their messages need not stay in memory. */
function forWriter(attributes: Map<string, { read: Attribute; proto: AttributeProto }>): NodeExtras["attributes"] {
  const bare = (a: AttributeProto): AttributeProto => {
    const copy = revise(a, {});
    delete copy.t;
    delete copy.g;
    return copy;
  };
  return new Map(
    [...attributes].map(([name, a]) => [
      name,
      { read: a.read, proto: a.read.type === "opaque" ? a.proto : bare(a.proto) },
    ]),
  );
}

function attributeFromProto(
  p: AttributeProto,
  what: string,
  opsets: Map<string, number>,
  external?: ExternalReader,
): Attribute {
  switch (p.refAttrName ? AttributeType.UNDEFINED : kindOf(p)) {
    case AttributeType.FLOAT:
      return { type: "float", value: p.f };
    case AttributeType.INT:
      return { type: "int", value: Number(p.i) };
    case AttributeType.STRING: {
      const value = textOf(p.s);
      return value === undefined ? { type: "opaque", value: p } : { type: "string", value };
    }
    case AttributeType.TENSOR:
      if (!p.t) throw new ModelError("malformed", `${what} should hold a tensor and holds none`);
      return { type: "tensor", value: tensorFromProto(p.t, what, external) };
    case AttributeType.GRAPH:
      if (!p.g) throw new ModelError("malformed", `${what} should hold a graph and holds none`);
      return { type: "graph", value: graphFromProto(p.g, opsets, external) };
    case AttributeType.FLOATS:
      return { type: "floats", value: p.floats };
    case AttributeType.INTS:
      return { type: "ints", value: p.ints.map(Number) };
    case AttributeType.STRINGS: {
      const value = p.strings.map(textOf);
      return value.includes(undefined) ? { type: "opaque", value: p } : { type: "strings", value: value as string[] };
    }
    case AttributeType.SPARSE_TENSOR:
      return {
        type: "opaque",
        value: p,
        ...(p.sparseTensor?.values ? { dense: tensorFromSparse(p.sparseTensor, what) } : {}),
      };
    default:
      return { type: "opaque", value: p, ...(p.refAttrName ? { reference: p.refAttrName } : {}) };
  }
}

/** The declared type, or in files older than that field the one content that is present. */
function kindOf(p: AttributeProto): AttributeType {
  if (p.type !== AttributeType.UNDEFINED) return p.type;
  if (Object.hasOwn(p, "f")) return AttributeType.FLOAT;
  if (Object.hasOwn(p, "i")) return AttributeType.INT;
  if (Object.hasOwn(p, "s")) return AttributeType.STRING;
  if (p.t) return AttributeType.TENSOR;
  if (p.g) return AttributeType.GRAPH;
  if (p.floats.length) return AttributeType.FLOATS;
  if (p.ints.length) return AttributeType.INTS;
  if (p.strings.length) return AttributeType.STRINGS;
  return AttributeType.UNDEFINED;
}

/** UTF-8 text, or undefined for bytes that are none (some custom operators keep binary blobs in string attributes). */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
