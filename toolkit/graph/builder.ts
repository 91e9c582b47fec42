/**
 * Builds graphs in code: nets for the samples and tests, generated training graphs, quantised rewrites.
 * Emits nodes and names them; knows no operator's shape. Give it `typeOf` where the caller needs shapes of what it emits.
 */
import { type Attribute, attr, type Dim, type Graph, type OpNode, opsetOf, type ValueType } from "./graph.js";
import { type ElemType, floats, ints, scalar, type Tensor } from "./tensor.js";

/** A value's name. */
export type Ref = string;

/** ONNX opset and IR version that generated graphs use: understood by every ONNX Runtime since 1.15. */
export const GENERATED_OPSET = 17;
export const GENERATED_IR = 8;

export interface EmitOptions {
  /** Name of the (first) output; made unique if taken. Default: the operator's name and a counter. */
  out?: string;
  name?: string;
  domain?: string;
  /** Number of outputs, for `emitMany`. */
  outputs?: number;
}

/** An empty graph with the given opset. */
export function emptyGraph(name: string, opset = GENERATED_OPSET, irVersion = GENERATED_IR): Graph {
  return {
    name,
    nodes: [],
    inputs: [],
    outputs: [],
    initializers: new Map(),
    valueTypes: new Map(),
    opsets: new Map([["", opset]]),
    model: { irVersion, producerName: "edgefit", producerVersion: "", metadata: new Map() },
  };
}

/** Appends to `graph`, in place: the one mutable object of the floor, owned by whoever builds. */
export class GraphBuilder {
  readonly graph: Graph;
  private readonly values = new Set<string>();
  private readonly nodes = new Set<string>();
  private readonly constants = new Map<string, Ref>();
  private counter = 0;

  /** Starts from an empty graph, or goes on building a clone that the caller owns. */
  constructor(graph: Graph = emptyGraph("graph")) {
    this.graph = graph;
    for (const v of graph.inputs) this.values.add(v.name);
    for (const n of graph.initializers.keys()) this.values.add(n);
    for (const n of graph.nodes) {
      this.nodes.add(n.name);
      for (const o of n.outputs) this.values.add(o);
    }
  }

  /** A name that no value of the graph has: `base`, else `base_1`, `base_2`, … */
  unique(base: string): string {
    return this.free(base, this.values);
  }

  private free(base: string, taken: Set<string>): string {
    let name = base;
    while (taken.has(name)) name = `${base}_${++this.counter}`;
    taken.add(name);
    return name;
  }

  /** Declares a graph input. */
  input(name: string, dims: readonly Dim[], elemType: ElemType = "float32"): Ref {
    const ref = this.unique(name);
    this.graph.inputs.push({ name: ref, type: { elemType, dims } });
    return ref;
  }

  /** Declares a graph output; `type` without dims leaves the shape to inference. */
  output(ref: Ref, type: ValueType = { elemType: "float32" }): Ref {
    this.graph.outputs.push({ name: ref, type });
    return ref;
  }

  /** Adds a named initializer. */
  initializer(name: string, tensor: Tensor): Ref {
    const ref = this.unique(name);
    this.graph.initializers.set(ref, tensor);
    return ref;
  }

  /** float32 constant, shared between equal small ones. */
  const(value: number | ArrayLike<number>, dims?: readonly number[]): Ref {
    const t = typeof value === "number" ? scalar(value) : floats(value, dims);
    return this.shared("const", t);
  }

  /** int64 constant vector (or a scalar for a number), shared between equal ones. */
  ints(values: number | readonly number[]): Ref {
    return this.shared("ints", typeof values === "number" ? ints([values], []) : ints(values));
  }

  private shared(base: string, t: Tensor): Ref {
    if (t.data.length > 64) return this.initializer(base, t);
    const key = `${t.elemType}:${t.dims.join()}:${Array.from(t.data as ArrayLike<unknown>, String).join()}`;
    const known = this.constants.get(key);
    if (known) return known;
    const ref = this.initializer(base, t);
    this.constants.set(key, ref);
    return ref;
  }

  /** Emits a node with one output and returns it. */
  emit(opType: string, inputs: readonly Ref[], attributes: Record<string, Attribute> = {}, o: EmitOptions = {}): Ref {
    return this.emitMany(opType, inputs, attributes, { ...o, outputs: 1 })[0];
  }

  /** Emits a node with `o.outputs` outputs. Trailing "" inputs (absent optional ones) are dropped. */
  emitMany(
    opType: string,
    inputs: readonly Ref[],
    attributes: Record<string, Attribute> = {},
    o: EmitOptions = {},
  ): Ref[] {
    const count = o.outputs ?? 1;
    const base = o.out ?? `${opType}_${++this.counter}`;
    const outputs = Array.from({ length: count }, (_, i) => this.unique(i === 0 ? base : `${base}_out${i}`));
    let used = inputs.length;
    while (used > 0 && inputs[used - 1] === "") used--;
    const node: OpNode = {
      name: this.free(o.name ?? base, this.nodes),
      opType,
      domain: o.domain ?? "",
      inputs: inputs.slice(0, used),
      outputs,
      attributes,
    };
    this.graph.nodes.push(node);
    return outputs;
  }

  add = (a: Ref, b: Ref, o?: EmitOptions): Ref => this.emit("Add", [a, b], {}, o);
  sub = (a: Ref, b: Ref, o?: EmitOptions): Ref => this.emit("Sub", [a, b], {}, o);
  mul = (a: Ref, b: Ref, o?: EmitOptions): Ref => this.emit("Mul", [a, b], {}, o);
  div = (a: Ref, b: Ref, o?: EmitOptions): Ref => this.emit("Div", [a, b], {}, o);
  neg = (a: Ref, o?: EmitOptions): Ref => this.emit("Neg", [a], {}, o);
  sqrt = (a: Ref, o?: EmitOptions): Ref => this.emit("Sqrt", [a], {}, o);
  exp = (a: Ref, o?: EmitOptions): Ref => this.emit("Exp", [a], {}, o);
  relu = (a: Ref, o?: EmitOptions): Ref => this.emit("Relu", [a], {}, o);
  matmul = (a: Ref, b: Ref, o?: EmitOptions): Ref => this.emit("MatMul", [a, b], {}, o);
  identity = (a: Ref, o?: EmitOptions): Ref => this.emit("Identity", [a], {}, o);

  /** Clip with scalar bounds (opset >= 11: bounds are inputs). */
  clip(a: Ref, min: number, max: number, o?: EmitOptions): Ref {
    return this.emit("Clip", [a, this.const(min), this.const(max)], {}, o);
  }

  reshape(a: Ref, dims: readonly number[], o?: EmitOptions): Ref {
    return this.emit("Reshape", [a, this.ints(dims)], {}, o);
  }

  transpose(a: Ref, perm: readonly number[], o?: EmitOptions): Ref {
    return this.emit("Transpose", [a], { perm: attr.ints(perm) }, o);
  }

  concat(parts: readonly Ref[], axis: number, o?: EmitOptions): Ref {
    return this.emit("Concat", parts, { axis: attr.int(axis) }, o);
  }

  /** ReduceSum; its axes are an input from opset 13 on. */
  reduceSum(a: Ref, axes: readonly number[], keepdims = true, o?: EmitOptions): Ref {
    return this.reduce("ReduceSum", 13, a, axes, keepdims, o);
  }

  /** ReduceMean; its axes are an input from opset 18 on. */
  reduceMean(a: Ref, axes: readonly number[], keepdims = true, o?: EmitOptions): Ref {
    return this.reduce("ReduceMean", 18, a, axes, keepdims, o);
  }

  private reduce(
    op: string,
    axesAreInputSince: number,
    a: Ref,
    axes: readonly number[],
    keepdims: boolean,
    o?: EmitOptions,
  ): Ref {
    const flag = { keepdims: attr.int(keepdims ? 1 : 0) };
    return opsetOf(this.graph) >= axesAreInputSince
      ? this.emit(op, [a, this.ints(axes)], flag, o)
      : this.emit(op, [a], { axes: attr.ints(axes), ...flag }, o);
  }

  /** Conv with explicit symmetric or asymmetric pads [top, left, bottom, right]. */
  conv(
    x: Ref,
    w: Ref,
    b: Ref | "",
    p: { strides?: readonly number[]; pads?: readonly number[]; dilations?: readonly number[]; group?: number } = {},
    o?: EmitOptions,
  ): Ref {
    const attributes: Record<string, Attribute> = {};
    if (p.strides) attributes.strides = attr.ints(p.strides);
    if (p.pads) attributes.pads = attr.ints(p.pads);
    if (p.dilations) attributes.dilations = attr.ints(p.dilations);
    if (p.group !== undefined && p.group !== 1) attributes.group = attr.int(p.group);
    return this.emit("Conv", [x, w, b], attributes, o);
  }
}
