/**
 * Weights of matrix products in 8 bits, activations in float: no calibration, and files a quarter the size. For nets whose
 * time goes into reading weights. Written as com.microsoft MatMulNBits, which keeps the weights small in memory too (ONNX
 * Runtime, docs/ContribOperators.md).
 */
import { GraphBuilder } from "../graph/builder.js";
import { removeDead } from "../graph/edit.js";
import { attr, attrFloat, attrInt, cloneGraph, type Graph, type OpNode, opsetOf } from "../graph/graph.js";
import { floats, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import { prepareForQuantization } from "./prepare.js";

export interface WeightOnlyOptions {
  keepFloat?: ReadonlySet<string>;
  /** Weights of one output that share a scale: a power of two, at least 16. Default 32. */
  blockSize?: number;
}

export interface WeightOnlyResult {
  graph: Graph;
  prepared: Graph;
  /** Names of the products whose weights are stored in 8 bits. */
  nodes: readonly string[];
}

/** The graph with every product of an activation and a constant matrix on 8-bit weights; convolutions stay as they are. */
export function quantizeWeightsOnly(g: Graph, o: WeightOnlyOptions = {}): WeightOnlyResult {
  const prepared = prepareForQuantization(g);
  const out = cloneGraph(prepared);
  const builder = new GraphBuilder(out);
  out.nodes = [];
  const nodes: string[] = [];
  for (const n of prepared.nodes) {
    const matrix = o.keepFloat?.has(n.name) ? undefined : matrixOf(prepared, n);
    if (!matrix) {
      out.nodes.push(n);
      continue;
    }
    nodes.push(n.name);
    const { values, scales, blockSize } = packBlocks(matrix, o.blockSize ?? 32);
    const bias = n.inputs[2] ?? "";
    const product = bias ? builder.unique(`${n.outputs[0]}_product`) : n.outputs[0];
    out.nodes.push({
      name: n.name,
      opType: "MatMulNBits",
      domain: "com.microsoft",
      inputs: [
        n.inputs[0],
        builder.initializer(`${n.inputs[1]}_q`, values),
        builder.initializer(`${n.inputs[1]}_scale`, scales),
      ],
      outputs: [product],
      attributes: {
        K: attr.int(matrix.inputs),
        N: attr.int(matrix.outputs),
        bits: attr.int(8),
        block_size: attr.int(blockSize),
      },
    });
    if (bias) {
      out.nodes.push({
        name: builder.unique(`${n.name}/Add`),
        opType: "Add",
        domain: "",
        inputs: [product, bias],
        outputs: n.outputs,
        attributes: {},
      });
    }
  }
  if (nodes.length > 0) out.opsets.set("com.microsoft", out.opsets.get("com.microsoft") ?? 1);
  return { graph: removeDead(out), prepared, nodes };
}

interface Matrix {
  inputs: number;
  outputs: number;
  at(input: number, output: number): number;
}

/** The constant matrix of a MatMul, or of a Gemm that is a plain product with a bias; undefined for anything else. */
function matrixOf(g: Graph, n: OpNode): Matrix | undefined {
  const rule = ruleFor(n, opsetOf(g, n.domain))?.quantize;
  // Only products over the last axis can give float results on integers: a convolution's rule cannot.
  if (!rule?.weight || !rule.floatOutput || rule.when?.(n) === false) return undefined;
  if (attrInt(n, "transA", 0) !== 0 || attrFloat(n, "alpha", 1) !== 1 || attrFloat(n, "beta", 1) !== 1)
    return undefined;
  const weight = g.initializers.get(n.inputs[rule.weight.input]);
  if (weight?.elemType !== "float32" || weight.dims.length !== 2) return undefined;
  const w = toNumbers(weight);
  const outputsFirst = rule.weight.axis(n) === 0;
  const [rows, columns] = weight.dims;
  return outputsFirst
    ? { inputs: columns, outputs: rows, at: (i, o) => w[o * columns + i] }
    : { inputs: rows, outputs: columns, at: (i, o) => w[i * columns + o] };
}

/** Bytes [outputs, blocks, block size] with 128 for zero, and one scale per block. */
function packBlocks(m: Matrix, blockSize: number): { values: Tensor; scales: Tensor; blockSize: number } {
  const blocks = Math.ceil(m.inputs / blockSize);
  const values = new Uint8Array(m.outputs * blocks * blockSize).fill(128);
  const scales = new Float32Array(m.outputs * blocks);
  for (let o = 0; o < m.outputs; o++) {
    for (let b = 0; b < blocks; b++) {
      const end = Math.min(m.inputs, (b + 1) * blockSize);
      let largest = 0;
      for (let i = b * blockSize; i < end; i++) largest = Math.max(largest, Math.abs(m.at(i, o)));
      const scale = Math.fround(largest / 127) || 1;
      scales[o * blocks + b] = scale;
      for (let i = b * blockSize; i < end; i++) {
        const code = Math.max(-127, Math.min(127, Math.round(m.at(i, o) / scale)));
        values[(o * blocks + b) * blockSize + i - b * blockSize] = code + 128;
      }
    }
  }
  return {
    values: { elemType: "uint8", dims: [m.outputs, blocks, blockSize], data: values },
    scales: floats(scales, [m.outputs * blocks]),
    blockSize,
  };
}
