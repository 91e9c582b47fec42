/**
 * Graph to ONNX bytes: nodes in topological order, weights as raw data inside the file, values annotated, and what the
 * reader set aside put back where it was.
 */
import { ModelError } from "../graph/errors.js";
import type { Attribute, Graph, OpNode, Value } from "../graph/graph.js";
import { sortTopologically } from "../graph/order.js";
import { byteLengthOf } from "../graph/stored.js";
import { type Tensor, toInt64 } from "../graph/tensor.js";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeType,
  encodeModel,
  type FunctionProto,
  type GraphProto,
  GraphProtoSchema,
  MAX_PROTO_BYTES,
  type ModelProto,
  ModelProtoSchema,
  make,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  revise,
  StringStringEntryProtoSchema,
  tooLarge,
} from "./proto.js";
import type { GraphExtras, ModelExtras, NodeExtras } from "./read.js";
import { sparseOf } from "./sparse.js";
import { type Placement, tensorToProto } from "./tensorData.js";
import { valueToProto } from "./valueInfo.js";

/** First IR version in which constants need not be listed among the graph's inputs. */
const IR_FREE_INITIALIZERS = 4;

/**
 * Writes a model. The IR version is raised to 4 where a constant is not among the inputs, as older versions demand.
 * Throws ModelError `too-large` beyond 2 GiB, and `elem-type` for constants that no file gave and none can hold.
 */
export function writeModel(g: Graph): Uint8Array {
  return writeModelPlacing(g, () => undefined);
}

/** Says where the data of an initializer lies beside the model; undefined for those that belong into it. */
export type Place = (name: string, t: Tensor) => Placement | undefined;

/** `writeModel` for a model of which some initializers are in a file of their own. */
export function writeModelPlacing(g: Graph, place: Place): Uint8Array {
  let weightBytes = 0;
  for (const [name, t] of g.initializers) if (!place(name, t)) weightBytes += byteLengthOf(t);
  if (weightBytes > MAX_PROTO_BYTES) throw tooLarge(weightBytes);
  return encodeModel(modelToProto(g, place));
}

function modelToProto(g: Graph, place: Place): ModelProto {
  const kept = (g.model.extras as ModelExtras | undefined)?.proto ?? make(ModelProtoSchema, {});
  const inputNames = new Set(g.inputs.map((v) => v.name));
  const free = [...g.initializers.keys()].some((name) => !inputNames.has(name));
  const irVersion = free ? Math.max(g.model.irVersion, IR_FREE_INITIALIZERS) : g.model.irVersion;
  const model = revise(kept, {
    irVersion: BigInt(irVersion),
    producerName: g.model.producerName,
    producerVersion: g.model.producerVersion,
  });
  model.graph = graphToProto(g, place);
  model.opsetImport = [...g.opsets].map(([domain, version]) => {
    const old = kept.opsetImport.find((e) => e.domain === domain || (domain === "" && e.domain === "ai.onnx"));
    return old
      ? revise(old, { version: BigInt(version) })
      : make(OperatorSetIdProtoSchema, { domain, version: BigInt(version) });
  });
  model.functions = (g.functions ?? []).map((f) => f.extras as FunctionProto);
  model.metadataProps = [...g.model.metadata].map(([key, value]) => {
    const old = kept.metadataProps.find((e) => e.key === key);
    return old ? revise(old, { value }) : make(StringStringEntryProtoSchema, { key, value });
  });
  return model;
}

function graphToProto(g: Graph, place: Place): GraphProto {
  const extras = g.extras as GraphExtras | undefined;
  const graph = revise(extras?.proto ?? make(GraphProtoSchema, {}), { name: g.name, sparseInitializer: [] });
  const nodes = sortTopologically(g);
  graph.node = nodes.map(nodeToProto);
  graph.input = g.inputs.map(valueToProto);
  graph.output = g.outputs.map(valueToProto);
  graph.initializer = [];
  for (const [name, t] of g.initializers) {
    const sparse = sparseOf(t);
    if (!sparse) graph.initializer.push(tensorToProto(t, name, place(name, t)));
    else
      graph.sparseInitializer.push(
        sparse.values ? revise(sparse, { values: revise(sparse.values, { name }) }) : sparse,
      );
  }
  graph.valueInfo = annotations(g, nodes, extras).map(valueToProto);
  const exists = new Set([
    ...g.inputs.map((v) => v.name),
    ...g.initializers.keys(),
    ...nodes.flatMap((n) => n.outputs),
  ]);
  graph.quantizationAnnotation = graph.quantizationAnnotation.filter((a) => exists.has(a.tensorName));
  return graph;
}

/** `value_info`: every typed inner value, and whatever else the file had annotated and the graph still knows. */
function annotations(g: Graph, nodes: readonly OpNode[], extras: GraphExtras | undefined): Value[] {
  const boundary = new Set([...g.inputs, ...g.outputs].map((v) => v.name));
  const out: Value[] = [];
  const add = (name: string, type = g.valueTypes.get(name)): void => {
    const before = extras?.valueInfo.get(name);
    if (type && (before || type.elemType !== "other")) out.push({ name, type, extras: before });
  };
  for (const name of g.valueTypes.keys()) if (extras?.valueInfo.has(name)) add(name);
  for (const [name, t] of g.initializers)
    if (extras?.valueInfo.has(name)) add(name, { elemType: t.elemType, dims: t.dims });
  for (const node of nodes) {
    for (const name of node.outputs) if (name && !boundary.has(name) && !extras?.valueInfo.has(name)) add(name);
  }
  return out;
}

function nodeToProto(n: OpNode): NodeProto {
  const extras = n.extras as NodeExtras | undefined;
  const kept = extras?.proto ?? make(NodeProtoSchema, {});
  const domain = n.domain === "" && kept.domain === "ai.onnx" ? kept.domain : n.domain;
  const node = revise(kept, { name: n.name, opType: n.opType, domain });
  node.input = [...n.inputs];
  node.output = [...n.outputs];
  node.attribute = Object.entries(n.attributes).map(([name, a]) =>
    attributeToProto(name, a, extras?.attributes.get(name)),
  );
  return node;
}

function attributeToProto(
  name: string,
  a: Attribute,
  before?: { read: Attribute; proto: AttributeProto },
): AttributeProto {
  if (a.type === "opaque") {
    const p = a.value as AttributeProto;
    if (p?.$typeName !== "onnx.AttributeProto")
      throw new ModelError("unwritable", `attribute "${name}" has a kind that cannot be written`);
    return revise(p, { name });
  }
  const same = before?.read === a;
  if (before && same && a.type !== "tensor" && a.type !== "graph") return before.proto;
  const fresh = make(AttributeProtoSchema, { name, ...contentOf(a) });
  if (!before) return fresh;
  if (same) return revise(before.proto, a.type === "tensor" ? { t: fresh.t } : { g: fresh.g });
  return Object.hasOwn(before.proto, "docString") ? revise(fresh, { docString: before.proto.docString }) : fresh;
}

type Content = Partial<Omit<AttributeProto, "$typeName" | "$unknown">>;

function contentOf(a: Exclude<Attribute, { type: "opaque" }>): Content {
  const bytes = (s: string) => new TextEncoder().encode(s);
  switch (a.type) {
    case "float":
      return { type: AttributeType.FLOAT, f: Math.fround(a.value) };
    case "int":
      return { type: AttributeType.INT, i: toInt64(a.value) };
    case "string":
      return { type: AttributeType.STRING, s: bytes(a.value) };
    case "tensor":
      return { type: AttributeType.TENSOR, t: tensorToProto(a.value) };
    case "graph":
      return { type: AttributeType.GRAPH, g: graphToProto(a.value, () => undefined) };
    case "floats":
      return { type: AttributeType.FLOATS, floats: a.value.map(Math.fround) };
    case "ints":
      return { type: AttributeType.INTS, ints: a.value.map(toInt64) };
    case "strings":
      return { type: AttributeType.STRINGS, strings: a.value.map(bytes) };
  }
}
