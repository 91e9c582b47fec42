/**
 * Nets in half precision as float32 ones: what is ranked, solved, trained and quantised is computed in float32 anyway, and
 * every half float is one of its numbers. Inputs and outputs keep their types.
 */
import { namer } from "../graph/edit.js";
import {
  type Attribute,
  attr,
  cloneGraph,
  type Graph,
  type OpNode,
  type Value,
  type ValueType,
} from "../graph/graph.js";
import { type ElemType, type Tensor, toFloat32 } from "../graph/tensor.js";

/** ONNX codes of float32, float16 and bfloat16, as attributes give them. */
const FLOAT32 = 1;
const codes: Readonly<Record<string, number>> = { float16: 10, bfloat16: 16 };
const typeAttributes = ["to", "dtype", "output_dtype"];

const isHalf = (t: ElemType): boolean => t === "float16" || t === "bfloat16";
const wideType = (t: ValueType): ValueType => (isHalf(t.elemType) ? { ...t, elemType: "float32" } : t);
const wideTensor = (t: Tensor): Tensor =>
  isHalf(t.elemType) ? { elemType: "float32", dims: t.dims, data: toFloat32(t) } : t;

/** Whether some constant or value of the graph is a half float. */
export function hasHalfFloats(g: Graph): boolean {
  const types = [
    ...g.initializers.values(),
    ...g.valueTypes.values(),
    ...g.inputs.map((v) => v.type),
    ...g.outputs.map((v) => v.type),
  ];
  return types.some((t) => isHalf(t.elemType));
}

/**
 * The graph with float16 and bfloat16 constants, values and casts as float32, and Cast nodes at inputs and outputs of half
 * precision. Names of nodes and outputs stay. The graph itself where there is nothing to widen. Sizes double, and results
 * differ from the original's by what it rounded.
 */
export function widenHalfFloats(g: Graph): Graph {
  if (!hasHalfFloats(g)) return g;
  const unique = namer(g);
  const names = new Map<string, string>();
  const before: OpNode[] = [];
  const after: OpNode[] = [];
  const cast = (from: string, to: string, code: number): OpNode => ({
    name: unique(`${to}/Cast`),
    opType: "Cast",
    domain: "",
    inputs: [from],
    outputs: [to],
    attributes: { to: attr.int(code) },
  });
  const inner = (v: Value): string => {
    const name = unique(`${v.name}_float32`);
    names.set(v.name, name);
    return name;
  };
  for (const v of g.inputs) if (isHalf(v.type.elemType)) before.push(cast(v.name, inner(v), FLOAT32));
  const inputs = new Set(names.keys());
  for (const v of g.outputs) {
    if (!isHalf(v.type.elemType) || inputs.has(v.name)) continue;
    after.push(cast(names.get(v.name) ?? inner(v), v.name, codes[v.type.elemType]));
  }
  const out = widened(g, names);
  out.nodes = [...before, ...out.nodes, ...after];
  // The boundary speaks of the original's types.
  out.inputs = g.inputs;
  out.outputs = g.outputs;
  return out;
}

function widened(g: Graph, names: ReadonlyMap<string, string>): Graph {
  const rename = (name: string): string => names.get(name) ?? name;
  return {
    ...cloneGraph(g),
    nodes: g.nodes.map((n) => ({
      ...n,
      inputs: n.inputs.map(rename),
      outputs: n.outputs.map(rename),
      attributes: Object.fromEntries(
        Object.entries(n.attributes).map(([name, a]) => [name, wideAttribute(name, a, names)]),
      ),
    })),
    inputs: g.inputs.map((v) => ({ ...v, type: wideType(v.type) })),
    outputs: g.outputs.map((v) => ({ ...v, name: rename(v.name), type: wideType(v.type) })),
    initializers: new Map([...g.initializers].map(([name, t]) => [rename(name), wideTensor(t)])),
    valueTypes: new Map([...g.valueTypes].map(([name, t]) => [rename(name), wideType(t)])),
  };
}

function wideAttribute(name: string, a: Attribute, names: ReadonlyMap<string, string>): Attribute {
  if (a.type === "tensor") return { type: "tensor", value: wideTensor(a.value) };
  if (a.type === "graph") return { type: "graph", value: widened(a.value, names) };
  if (a.type === "int" && typeAttributes.includes(name) && Object.values(codes).includes(a.value))
    return attr.int(FLOAT32);
  return a;
}
