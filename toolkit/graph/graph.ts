/**
 * The floor of the house: a model as plain values. Knows nothing of protobuf, operators' meaning, devices or files.
 * Values are named by strings (ONNX is in static single assignment form); "" marks an absent optional input or output.
 */
import type { ElemType, Tensor } from "./tensor.js";

/** A dimension: a number, the name of a symbolic dimension (ONNX `dim_param`), or null when unknown. */
export type Dim = number | string | null;

/** Element type and shape of a value; `dims` undefined means that not even the rank is known. */
export interface ValueType {
  elemType: ElemType;
  dims?: readonly Dim[];
}

/** A named graph input or output. */
export interface Value {
  name: string;
  type: ValueType;
  /** Whatever the file format carried beside it; opaque to everyone but `onnx/`. */
  extras?: unknown;
}

/**
 * An attribute, tagged by its ONNX type. `opaque` carries kinds that no pass looks into (type protos, lists of graphs). Two of
 * them say a little: `dense` is what a sparse tensor stands for, and `reference` names the attribute of the local function
 * that this one takes its value from.
 */
export type Attribute =
  | { type: "float"; value: number }
  | { type: "int"; value: number }
  | { type: "string"; value: string }
  | { type: "tensor"; value: Tensor }
  | { type: "graph"; value: Graph }
  | { type: "floats"; value: readonly number[] }
  | { type: "ints"; value: readonly number[] }
  | { type: "strings"; value: readonly string[] }
  | { type: "opaque"; value: unknown; dense?: Tensor; reference?: string };

/** One operator call. `domain` "" is the default ONNX domain. */
export interface OpNode {
  name: string;
  opType: string;
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, Attribute>>;
  /** Which of several local functions of that name is called; absent for most. */
  overload?: string;
  extras?: unknown;
}

/** A function that a model brings along: an operator whose meaning is a graph (ONNX FunctionProto). `tidy` inlines the calls. */
export interface LocalFunction {
  domain: string;
  name: string;
  overload?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** Attributes that a call may give; those with a default have it here, the others undefined. */
  attributes: ReadonlyMap<string, Attribute | undefined>;
  /** In topological order. */
  nodes: readonly OpNode[];
  opsets: ReadonlyMap<string, number>;
  extras?: unknown;
}

/** What the file says about the model as a whole. */
export interface ModelInfo {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  /** `metadata_props`. */
  metadata: Map<string, string>;
  extras?: unknown;
}

/**
 * A model. Invariants, checked by `graph/check.ts` after every pass: nodes are in topological order, every value has
 * one producer (input, initializer or node), every read is of a value that exists, names of nodes are unique.
 *
 * Passes never change the graph that they are given: they work on `cloneGraph(g)` and return it.
 */
export interface Graph {
  name: string;
  nodes: OpNode[];
  /** May name initializers too, as files of IR version < 4 do; `tidy` removes those. */
  inputs: Value[];
  outputs: Value[];
  initializers: Map<string, Tensor>;
  /** Types of intermediate values: `value_info` of the file, or what shape inference found. */
  valueTypes: Map<string, ValueType>;
  /** Operator-set version per domain; the default domain is "". */
  opsets: Map<string, number>;
  functions?: readonly LocalFunction[];
  model: ModelInfo;
  extras?: unknown;
}

/** Copy of the containers; nodes, tensors and types are shared, as all of them are treated as immutable. */
export function cloneGraph(g: Graph): Graph {
  return {
    ...g,
    nodes: [...g.nodes],
    inputs: [...g.inputs],
    outputs: [...g.outputs],
    initializers: new Map(g.initializers),
    valueTypes: new Map(g.valueTypes),
    opsets: new Map(g.opsets),
    model: { ...g.model, metadata: new Map(g.model.metadata) },
  };
}

/** Version of the default operator set. */
export const opsetOf = (g: Graph, domain = ""): number => g.opsets.get(domain) ?? 1;

/** How a node is named to people: `Conv "layer1.0.conv1"`. */
export const at = (n: OpNode): string => `${n.domain ? `${n.domain}.` : ""}${n.opType} "${n.name || n.outputs[0]}"`;

/** Integer attribute, or the default of the specification. */
export function attrInt(n: OpNode, name: string, otherwise: number): number {
  const a = n.attributes[name];
  return a?.type === "int" ? a.value : otherwise;
}

/** Float attribute, or the default of the specification. */
export function attrFloat(n: OpNode, name: string, otherwise: number): number {
  const a = n.attributes[name];
  return a?.type === "float" || a?.type === "int" ? a.value : otherwise;
}

/** String attribute, or the default of the specification. */
export function attrString(n: OpNode, name: string, otherwise: string): string {
  const a = n.attributes[name];
  return a?.type === "string" ? a.value : otherwise;
}

/** Integer-list attribute; undefined when absent. */
export function attrInts(n: OpNode, name: string): readonly number[] | undefined {
  const a = n.attributes[name];
  return a?.type === "ints" ? a.value : undefined;
}

/** Shorthands for writing attributes. */
export const attr = {
  int: (value: number): Attribute => ({ type: "int", value }),
  float: (value: number): Attribute => ({ type: "float", value }),
  string: (value: string): Attribute => ({ type: "string", value }),
  ints: (value: readonly number[]): Attribute => ({ type: "ints", value }),
  floats: (value: readonly number[]): Attribute => ({ type: "floats", value }),
  tensor: (value: Tensor): Attribute => ({ type: "tensor", value }),
};

/** The node with some attributes replaced. */
export function withAttributes(n: OpNode, changes: Record<string, Attribute>): OpNode {
  return { ...n, attributes: { ...n.attributes, ...changes } };
}

/** One read of a value: `node.inputs[index]`. */
export interface Use {
  node: OpNode;
  index: number;
}

/** value name -> the node that makes it. */
export function producersOf(g: Graph): Map<string, OpNode> {
  const out = new Map<string, OpNode>();
  for (const node of g.nodes) for (const o of node.outputs) if (o) out.set(o, node);
  return out;
}

/** value name -> its reads by nodes (graph outputs are not counted). */
export function usesOf(g: Graph): Map<string, Use[]> {
  const out = new Map<string, Use[]>();
  for (const node of g.nodes) {
    node.inputs.forEach((name, index) => {
      if (!name) return;
      const list = out.get(name);
      if (list) list.push({ node, index });
      else out.set(name, [{ node, index }]);
    });
  }
  return out;
}

/** Type of any value: graph input, initializer, annotated intermediate or graph output. */
export function typeOf(g: Graph, name: string): ValueType | undefined {
  const t = g.initializers.get(name);
  if (t) return { elemType: t.elemType, dims: t.dims };
  return g.valueTypes.get(name) ?? valueNamed(g.inputs, name)?.type ?? valueNamed(g.outputs, name)?.type;
}

const indices = new WeakMap<readonly Value[], Map<string, number>>();

/** Lists up to this length are searched. */
const SHORT_LIST = 16;

/** An entry by name. Long lists are indexed once; lists may be edited, so what the index says is checked. */
function valueNamed(list: readonly Value[], name: string): Value | undefined {
  if (list.length <= SHORT_LIST) return list.find((v) => v.name === name);
  let index = indices.get(list);
  if (!index) indices.set(list, (index = new Map(list.map((v, i) => [v.name, i]))));
  const known = index.get(name);
  if (known !== undefined && list[known]?.name === name) return list[known];
  const place = list.findIndex((v) => v.name === name);
  if (place >= 0) index.set(name, place);
  return list[place];
}

/** Graph inputs that a caller must feed: those without an initializer of the same name. */
export const feedsOf = (g: Graph): Value[] => g.inputs.filter((v) => !g.initializers.has(v.name));
