/**
 * Folds inference-time BatchNormalization into the Conv, ConvTranspose or Gemm in front of it, as ONNX Runtime does
 * when it loads a model: what is observed, measured and quantised afterwards is what really runs.
 */
import { namer, removeDead } from "../graph/edit.js";
import {
  attrFloat,
  attrInt,
  cloneGraph,
  type Graph,
  type OpNode,
  opsetOf,
  producersOf,
  usesOf,
} from "../graph/graph.js";
import { floats, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "./index.js";
import type { ChannelAffine } from "./rule.js";

/**
 * The graph with every foldable BatchNormalization gone. The producer keeps its name and takes over the output's name.
 * Left alone: batch norms in training form, with run-time parameters, or after a value that something else reads too.
 * W'_c = W_c * s_c, b'_c = (b_c - mean_c) * s_c + beta_c, with s = gamma / sqrt(var + epsilon), computed in float64.
 */
export function foldBatchNorm(g: Graph): Graph {
  const out = cloneGraph(g);
  const producers = producersOf(g);
  const uses = usesOf(g);
  const graphOutputs = new Set(g.outputs.map((v) => v.name));
  const unique = namer(g);
  const replaced = new Map<OpNode, OpNode | null>();
  for (const bn of g.nodes) {
    const scale = ruleFor(bn, opsetOf(g, bn.domain))?.affine?.(bn, (name) => g.initializers.get(name));
    if (!scale) continue;
    const producer = producers.get(bn.inputs[0]);
    if (!producer || replaced.has(producer) || uses.get(bn.inputs[0])?.length !== 1 || graphOutputs.has(bn.inputs[0]))
      continue;
    const weight = g.initializers.get(producer.inputs[1] ?? "");
    const bias = producer.inputs[2] ? g.initializers.get(producer.inputs[2]) : undefined;
    if (weight?.elemType !== "float32" || (producer.inputs[2] && !bias)) continue;
    const folded = fold(producer, weight, bias, scale);
    if (!folded) continue;
    const keep = (name: string, base: string): string => (name && uses.get(name)?.length === 1 ? name : unique(base));
    const weightName = keep(producer.inputs[1], `${producer.inputs[1]}_folded`);
    const biasName = keep(producer.inputs[2] ?? "", `${producer.name}.bias`);
    out.initializers.set(weightName, folded.weight);
    out.initializers.set(biasName, folded.bias);
    replaced.set(producer, {
      ...producer,
      inputs: [producer.inputs[0], weightName, biasName],
      outputs: [bn.outputs[0]],
    });
    replaced.set(bn, null);
  }
  out.nodes = g.nodes.flatMap((n) => {
    const r = replaced.get(n);
    return r === null ? [] : [r ?? n];
  });
  return removeDead(out);
}

/** Where the output channel of a weight element sits: index = floor(i / inner) % channels (+ group offset for ConvTranspose). */
function fold(
  n: OpNode,
  weight: Tensor,
  bias: Tensor | undefined,
  a: ChannelAffine,
): { weight: Tensor; bias: Tensor } | undefined {
  const channelAt = channelIndex(n, weight.dims, a.scale.length);
  if (!channelAt) return undefined;
  const w = Float32Array.from(toNumbers(weight), (v, i) => v * a.scale[channelAt(i)]);
  const b = bias ? toNumbers(bias) : new Float64Array(a.scale.length);
  if (b.length !== a.scale.length) return undefined;
  const shifted = Float32Array.from(b, (v, c) => v * a.scale[c] + a.shift[c]);
  return { weight: floats(w, weight.dims), bias: floats(shifted) };
}

function channelIndex(n: OpNode, dims: readonly number[], channels: number): ((i: number) => number) | undefined {
  if (n.domain !== "") return undefined;
  const inner = dims.slice(1).reduce((x, y) => x * y, 1);
  switch (n.opType) {
    case "Conv":
      return dims[0] === channels ? (i) => Math.floor(i / inner) : undefined;
    case "ConvTranspose": {
      // [inputs, outputs / group, ...]: inputs of group k make the outputs of group k.
      const groups = attrInt(n, "group", 1);
      const [inputs, perGroup] = dims;
      if (perGroup * groups !== channels) return undefined;
      const area = inner / perGroup;
      return (i) => {
        const input = Math.floor(i / inner);
        return Math.floor(input / (inputs / groups)) * perGroup + (Math.floor(i / area) % perGroup);
      };
    }
    case "Gemm": {
      if (attrInt(n, "transA", 0) !== 0 || attrFloat(n, "alpha", 1) !== 1 || attrFloat(n, "beta", 1) !== 1)
        return undefined;
      const transposed = attrInt(n, "transB", 0) !== 0;
      if (dims[transposed ? 0 : 1] !== channels) return undefined;
      return transposed ? (i) => Math.floor(i / dims[1]) : (i) => i % dims[1];
    }
    default:
      return undefined;
  }
}
