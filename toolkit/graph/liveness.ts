/** How much memory a net's activations need at once, from shapes alone. */
import { type Graph, typeOf } from "./graph.js";
import { elemBytes } from "./tensor.js";

/**
 * Largest sum of bytes of values that are alive together when nodes run in order: inputs from the start, every value
 * until its last reader has run, outputs to the end. Parameters are not counted; symbolic dimensions count as 1. A
 * runtime that works in place needs less, one that caches buffers more.
 */
export function peakActivationBytes(g: Graph): number {
  const lastRead = new Map<string, number>();
  g.nodes.forEach((node, i) => {
    for (const name of node.inputs) if (name && !g.initializers.has(name)) lastRead.set(name, i);
  });
  for (const v of g.outputs) lastRead.set(v.name, g.nodes.length);
  const bytes = (name: string): number => {
    const type = typeOf(g, name);
    if (!type?.dims) return 0;
    return type.dims.reduce<number>((n, d) => n * (typeof d === "number" ? d : 1), elemBytes(type.elemType));
  };
  const alive = new Map<string, number>();
  let now = 0;
  let peak = 0;
  const add = (name: string): void => {
    if (!name || alive.has(name) || g.initializers.has(name)) return;
    alive.set(name, bytes(name));
    now += alive.get(name)!;
    peak = Math.max(peak, now);
  };
  for (const v of g.inputs) add(v.name);
  g.nodes.forEach((node, i) => {
    for (const out of node.outputs) add(out);
    for (const name of [...node.inputs, ...node.outputs]) {
      const size = alive.get(name);
      if (size !== undefined && (lastRead.get(name) ?? -1) <= i) {
        alive.delete(name);
        now -= size;
      }
    }
  });
  return peak;
}
