/**
 * Keeps float what is meant to be float. ONNX Runtime (1.21 and later, WeightBiasQuantization) rounds the weights of any
 * Conv, ConvTranspose or Gemm that stands between a Dequantize and a Quantize to 8 bits, per tensor, on its own, and
 * fuses an Add there into QLinearAdd. It looks through Relu and Clip only, so another activation stops it.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { attr, type Graph, type OpNode, opsetOf, producersOf } from "../graph/graph.js";
import { ruleFor } from "../ops/index.js";

/**
 * What the Quantize of a float value has to read. Where the runtime would take the producer for an integer node, that is
 * the value behind LeakyRelu: with slope 1, which changes nothing, or in place of a Relu with slope 0, which is
 * the same function. Both melt into a float Conv as its activation. `source` is the float graph, `out` the one being written.
 */
export function shieldFloat(
  source: Graph,
  out: Graph,
  builder: GraphBuilder,
  value: string,
  isInteger: (v: string) => boolean,
): Ref {
  const producers = producersOf(source);
  const clampOf = (n: OpNode | undefined) =>
    n && ruleFor(n, opsetOf(source, n.domain))?.quantize?.clamp?.(n, (v) => source.initializers.get(v));
  const last = producers.get(value);
  let first = last;
  while (first && clampOf(first)) first = producers.get(first.inputs[0]);
  if (!last || !first || !looksQuantizable(source, first, isInteger)) return value;
  const interval = clampOf(last);
  if (interval?.[0] === 0 && interval[1] === Number.POSITIVE_INFINITY) {
    const index = out.nodes.findIndex((n) => n.name === last.name);
    out.nodes[index] = {
      ...out.nodes[index],
      opType: "LeakyRelu",
      domain: "",
      inputs: out.nodes[index].inputs.slice(0, 1),
      attributes: { alpha: attr.float(0) },
    };
    return value;
  }
  return builder.emit(
    "LeakyRelu",
    [value],
    { alpha: attr.float(1) },
    { out: `${value}_float`, name: `${value}/KeepFloat` },
  );
}

/** Multiplies an integer value by a constant of its own, or has an integer kernel and reads nothing but integer values. */
function looksQuantizable(g: Graph, n: OpNode, isInteger: (v: string) => boolean): boolean {
  const rule = ruleFor(n, opsetOf(g, n.domain))?.quantize;
  if (rule?.passThrough) return false;
  const multiplies = rule
    ? rule.weight !== undefined
    : n.inputs.some((v) => (g.initializers.get(v)?.dims.length ?? 0) >= 2);
  return multiplies ? n.inputs.some(isInteger) : rule !== undefined && n.inputs.every((v) => v === "" || isInteger(v));
}
