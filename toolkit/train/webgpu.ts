/**
 * Training graphs for ONNX Runtime's WebGPU provider. It binds ten buffers to a shader, and its grouped Conv is wrong where a group has one
 * input and several outputs (onnxruntime-web 1.30; `docs/training-notes.md`).
 */
import type { GraphBuilder } from "../graph/builder.js";
import { type Attribute, attr, attrInt, type OpNode } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";

/** Tensors that one Split or Concat gives or takes at most. */
export const WEBGPU_FAN = 8;

/** The kernel of one group, where all groups have the same. */
function commonKernel(w: Tensor, groups: number): Tensor | undefined {
  const data = w.data as Float32Array;
  const length = data.length / groups;
  for (let i = length; i < data.length; i++) if (data[i] !== data[i - length]) return undefined;
  return { ...w, dims: w.dims.with(0, w.dims[0] / groups), data: data.slice(0, length) };
}

/** Writes windows that are unrolled channel by channel (one-hot kernels, the same for every channel) with channels as images. */
export function unrollChannelsAsImages(g: GraphBuilder): void {
  const { graph } = g;
  const replaced = new Set<string>();
  for (const n of graph.nodes.splice(0)) {
    const w = graph.initializers.get(n.inputs[1] ?? "");
    const groups = attrInt(n, "group", 1);
    const several = n.opType === "Conv" && w?.dims.length === 4 && w.dims[1] === 1 && groups > 1 && w.dims[0] > groups;
    const kernel = several && n.inputs.length === 2 ? commonKernel(w, groups) : undefined;
    if (!kernel) {
      graph.nodes.push(n);
      continue;
    }
    replaced.add(n.inputs[1]);
    const images = g.reshape(n.inputs[0], [-1, 1, 0, 0]);
    const attributes: Record<string, Attribute> = { ...n.attributes, group: attr.int(1) };
    const windows = g.emit("Conv", [images, g.initializer("one_hot", kernel)], attributes);
    const back: OpNode = {
      name: g.unique(`${n.name}/Reshape`),
      opType: "Reshape",
      domain: "",
      inputs: [windows, g.ints([-1, kernel.dims[0] * groups, 0, 0])],
      outputs: n.outputs,
      attributes: {},
    };
    graph.nodes.push(back);
  }
  const read = new Set(graph.nodes.flatMap((n) => n.inputs));
  for (const name of replaced) if (!read.has(name)) graph.initializers.delete(name);
}
