/** INT8 nets that are worse than they need be, for tests of what makes them better. */
import { cloneGraph, type Graph } from "../../toolkit/graph/graph.js";
import { floats, toFloat32, toNumbers } from "../../toolkit/graph/tensor.js";

/** Weights with steps sixteen times as wide: about three bits. */
export function coarse(qdq: Graph): Graph {
  const out = cloneGraph(qdq);
  for (const n of qdq.nodes) {
    const codes = n.opType === "DequantizeLinear" ? qdq.initializers.get(n.inputs[0]) : undefined;
    const scale = codes && qdq.initializers.get(n.inputs[1])!;
    if (!codes || !scale || codes.elemType === "uint8") continue;
    const wide = codes.elemType === "int8";
    out.initializers.set(
      n.inputs[1],
      floats(
        toFloat32(scale).map((s) => 16 * s),
        scale.dims,
      ),
    );
    const data = toNumbers(codes).map((q) => Math.round(q / 16));
    out.initializers.set(n.inputs[0], { ...codes, data: wide ? Int8Array.from(data) : Int32Array.from(data) });
  }
  return out;
}
