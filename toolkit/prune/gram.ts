/**
 * Second moments of what linear operators read: A = X X^T over all sampled positions, the sums of X, and cross moments
 * with a target. Everything least squares and second-order importance need; the activations themselves are not kept.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, type Graph, type OpNode, opsetOf, typeOf, type Use, usesOf } from "../graph/graph.js";
import { sizeOf, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import type { LinearRule } from "../ops/rule.js";

/** A node of the form y = W x + b with constant W, with what the passes need to know of it. */
export interface LinearNode {
  node: OpNode;
  rule: LinearRule;
  /** Position in `graph.nodes`. */
  index: number;
  weight: string;
  weightDims: readonly number[];
  /** Columns of the matrix view: input channels x taps. */
  columns: number;
  /** Columns per input channel. */
  taps: number;
  outputs: number;
  dataDims: readonly number[];
  outputDims: readonly number[];
  /**
   * Where the bias is, present or not: an input of the node, or the vector that the one reader of a product adds to it.
   * Undefined where there is no place for one.
   */
  bias?: { index: number; input: number };
  /** The value with the bias in it. */
  output: string;
}

/** Moments over `count` positions; matrices are row-major. */
export interface Moments {
  columns: number;
  count: number;
  /** [columns, columns] sums of products. */
  products: Float64Array;
  /** [columns] sums. */
  sums: Float64Array;
}

/** Moments of inputs against a target of `outputs` rows. */
export interface CrossMoments {
  outputs: number;
  /** [outputs, columns]. */
  products: Float64Array;
  /** [outputs]. */
  sums: Float64Array;
}

function staticDims(g: Graph, name: string, node: OpNode): readonly number[] {
  const dims = typeOf(g, name)?.dims;
  if (!dims) throw new ModelError("unknown-shape", `the shape of "${name}" is not known`, { where: at(node) });
  return dims.map((d) => (typeof d === "number" ? d : 1));
}

/** All nodes of linear form, in execution order. The graph must carry inferred shapes. */
export function linearNodes(g: Graph): LinearNode[] {
  const out: LinearNode[] = [];
  const uses = usesOf(g);
  const position = new Map(g.nodes.map((n, i) => [n, i]));
  g.nodes.forEach((node, index) => {
    const rule = ruleFor(node, opsetOf(g, node.domain))?.linear;
    if (!rule) return;
    const weight = node.inputs[rule.weight];
    const w = weight ? g.initializers.get(weight) : undefined;
    if (!w || g.initializers.has(node.inputs[rule.data]) || !rule.applies(node, w.dims)) return;
    const outputs = w.dims[rule.outputAxis(node)];
    const columns = sizeOf(w.dims) / outputs;
    out.push({
      node,
      rule,
      index,
      weight,
      weightDims: w.dims,
      columns,
      taps: columns / w.dims[rule.inputAxis(node)],
      outputs,
      dataDims: staticDims(g, node.inputs[rule.data], node),
      outputDims: staticDims(g, node.outputs[0], node),
      ...(rule.bias >= 0
        ? { bias: { index, input: rule.bias }, output: node.outputs[0] }
        : addedBias(g, node.outputs[0], outputs, uses, position)),
    });
  });
  return out;
}

/** The vector that the one reader of a product adds to it, on the last axis. */
function addedBias(
  g: Graph,
  product: string,
  outputs: number,
  uses: ReadonlyMap<string, Use[]>,
  position: ReadonlyMap<OpNode, number>,
): Pick<LinearNode, "bias" | "output"> {
  const readers = uses.get(product) ?? [];
  const [reader] = readers;
  const isSum = reader && ruleFor(reader.node, opsetOf(g, reader.node.domain))?.sums && reader.node.inputs.length === 2;
  if (!isSum || readers.length !== 1 || g.outputs.some((v) => v.name === product)) return { output: product };
  const input = 1 - reader.index;
  const t = g.initializers.get(reader.node.inputs[input]);
  if (t?.elemType !== "float32" || t.data.length !== outputs || t.dims[t.dims.length - 1] !== outputs)
    return { output: product };
  return { bias: { index: position.get(reader.node)!, input }, output: reader.node.outputs[0] };
}

/** Sampling step in each spatial direction that leaves at most about `positions` positions per image. */
export function thinning(n: LinearNode, positions: number): number {
  const map = n.rule.positions(n.outputDims);
  const total = sizeOf(map);
  if (total <= positions || map.length === 0) return 1;
  const step = Math.round((total / positions) ** (1 / map.length));
  return Math.max(1, Math.min(step, ...map));
}

/** Emits the moments of a node's input, and with `target` (a value of the node's output shape, or a matrix) the cross moments. */
export function momentProbe(
  g: GraphBuilder,
  n: LinearNode,
  thin: number,
  target?: { value: Ref; isMatrix: boolean },
): { products: Ref; sums: Ref; crossProducts?: Ref; crossSums?: Ref } {
  const x = n.rule.unfold(n.node, g, n.node.inputs[n.rule.data], n.dataDims, n.weightDims, thin);
  const timesTransposed = (a: Ref, b: Ref): Ref => g.emit("Gemm", [a, b], { transB: { type: "int", value: 1 } });
  const probe = { products: timesTransposed(x, x), sums: g.reduceSum(x, [1], false) };
  if (!target) return probe;
  const t = target.isMatrix ? target.value : n.rule.outputs(n.node, g, target.value, n.outputDims, thin);
  return {
    ...probe,
    crossProducts: timesTransposed(t, x),
    crossSums: g.reduceSum(t, [1], false),
  };
}

/** Positions that `thin` leaves of one image. */
export function sampledPositions(n: LinearNode, thin: number): number {
  return sizeOf(n.rule.positions(n.outputDims).map((d) => Math.ceil((d - (thin >> 1)) / thin)));
}

export const emptyMoments = (columns: number): Moments => ({
  columns,
  count: 0,
  products: new Float64Array(columns * columns),
  sums: new Float64Array(columns),
});

export const emptyCross = (outputs: number, columns: number): CrossMoments => ({
  outputs,
  products: new Float64Array(outputs * columns),
  sums: new Float64Array(outputs),
});

/** Adds a batch's matrix to a running sum, in double precision. */
export function accumulate(into: Float64Array, t: Tensor): void {
  const values = t.data instanceof Float32Array ? t.data : toNumbers(t);
  for (let i = 0; i < into.length; i++) into[i] += values[i];
}
