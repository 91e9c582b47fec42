/**
 * The net that a cut stands for, at full size: removed channels are multiplied by zero where a node sums over them. An
 * oracle for `sliceGraph` that shares nothing with it but the groups.
 */
import { GraphBuilder } from "../graph/builder.js";
import { cloneGraph, type Graph, typeOf } from "../graph/graph.js";
import { floats, fromNumbers } from "../graph/tensor.js";
import { type ChannelGroups, checkKeep, type Keep, keptPositions } from "./groups.js";

/** Same nodes and parameters as `g`, with a 0/1 mask before every input that is summed over a cut axis. */
export function maskGraph(g: Graph, groups: ChannelGroups, keep: Keep): Graph {
  checkKeep(groups, keep);
  const out = cloneGraph(g);
  const builder = new GraphBuilder(out);
  const sites = new Map<string, Map<number, number>>();
  for (const group of groups.groups) {
    for (const c of group.consumers) {
      const own = sites.get(c.node) ?? new Map<number, number>();
      sites.set(c.node, own.set(c.input, c.inputAxis));
    }
  }
  out.nodes = [];
  for (const n of g.nodes) {
    const inputs = [...n.inputs];
    for (const [i, axis] of sites.get(n.name) ?? []) {
      const kept = keptPositions(groups, keep, inputs[i], axis);
      const type = typeOf(g, inputs[i]);
      if (!kept || !type?.dims) continue;
      const length = type.dims[axis] as number;
      const ones = new Set(kept);
      const dims = type.dims.map((_, k) => (k === axis ? length : 1));
      const mask = floats(
        Float32Array.from({ length }, (_, p) => (ones.has(p) ? 1 : 0)),
        dims,
      );
      const name = builder.initializer(
        `${n.name}_mask${i}`,
        fromNumbers(type.elemType, mask.data as Float32Array, dims),
      );
      inputs[i] = builder.mul(inputs[i], name, { out: `${n.name}_masked${i}` });
    }
    out.nodes.push({ ...n, inputs });
  }
  return out;
}
