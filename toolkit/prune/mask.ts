/**
 * The net that a cut stands for, at full size: removed channels are multiplied by zero where a node sums over them, and
 * statistics over channels are taken over those that are left. An oracle for `sliceGraph` that shares nothing with it but
 * the groups, and the way to try a cut without making it.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { at, cloneGraph, type Graph, type OpNode, opsetOf, typeOf } from "../graph/graph.js";
import { fromNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import { type ChannelGroups, checkKeep, type Keep, keptPositions } from "./groups.js";

/** What `maskGraph` puts in; default both. */
export interface MaskOptions {
  /** Masks before a node that sums: all of them, or those of the nodes that this accepts. */
  sums?: (node: string) => boolean;
}

/**
 * Same parameters as `g`; a 0/1 mask before every input that is summed over a cut axis, and in place of nodes that take a
 * statistic over a cut axis the same at full size over the kept channels.
 */
export function maskGraph(g: Graph, groups: ChannelGroups, keep: Keep, o: MaskOptions = {}): Graph {
  checkKeep(groups, keep);
  const out = cloneGraph(g);
  const builder = new GraphBuilder(out);
  const [sums, statistics] = [new Sites(), new Sites()];
  for (const group of groups.groups) {
    if (!keep.has(group.id)) continue;
    for (const c of group.consumers) if (o.sums?.(c.node) ?? true) sums.add(c.node, c.input, c.inputAxis);
    for (const r of group.renormalised ?? []) statistics.add(r.node, r.input, r.inputAxis);
  }
  out.nodes = [];
  for (const n of g.nodes) {
    const inputs = [...n.inputs];
    for (const [i, axes] of sums.of(n.name)) {
      const mask = maskOf(builder, g, groups, keep, n, i, axes);
      if (mask) inputs[i] = builder.mul(inputs[i], mask.ref, { out: `${n.name}_masked${i}` });
    }
    const [first] = statistics.of(n.name);
    const mask = first && maskOf(builder, g, groups, keep, n, first[0], first[1]);
    if (mask) emitOverKept(builder, g, { ...n, inputs }, mask);
    else out.nodes.push({ ...n, inputs });
  }
  return out;
}

/** node -> input -> axes. */
class Sites {
  private readonly list = new Map<string, Map<number, number[]>>();

  add(node: string, input: number, axis: number): void {
    const own = this.list.get(node) ?? new Map<number, number[]>();
    this.list.set(node, own);
    const axes = own.get(input) ?? [];
    if (!axes.includes(axis)) own.set(input, [...axes, axis]);
  }

  of = (node: string): [number, number[]][] => [...(this.list.get(node) ?? [])];
}

interface Mask {
  ref: Ref;
  /** Kept positions per axis; undefined where all are. */
  kept: readonly (Int32Array | undefined)[];
}

/** The mask of an input over some of its axes; undefined when nothing is cut on them. */
function maskOf(
  b: GraphBuilder,
  g: Graph,
  groups: ChannelGroups,
  keep: Keep,
  n: OpNode,
  input: number,
  axes: readonly number[],
): Mask | undefined {
  const name = n.inputs[input];
  const type = typeOf(g, name);
  if (!type?.dims) return undefined;
  const kept = type.dims.map((_, axis) => (axes.includes(axis) ? keptPositions(groups, keep, name, axis) : undefined));
  if (kept.every((k) => k === undefined)) return undefined;
  let ref: Ref | undefined;
  for (const [axis, positions] of kept.entries()) {
    if (!positions) continue;
    const values = new Float64Array(type.dims[axis] as number);
    for (const p of positions) values[p] = 1;
    const dims = type.dims.map((_, k) => (k === axis ? values.length : 1));
    const one = b.initializer(`${n.name}_mask${input}`, fromNumbers(type.elemType, values, dims));
    ref = ref ? b.mul(ref, one) : one;
  }
  return { ref: ref!, kept };
}

/** Emits what stands for a node that takes a statistic; its outputs keep their names. */
function emitOverKept(b: GraphBuilder, g: Graph, n: OpNode, mask: Mask): void {
  const opset = opsetOf(g, n.domain);
  const emit = ruleFor(n, opset)?.overKept;
  if (!emit) throw new Error(`${at(n)} cannot be masked: this is a bug in edgefit, please report it`);
  const elemType = typeOf(g, n.inputs[0])?.elemType ?? "float32";
  const dims = (name: string): number[] => (typeOf(g, name)?.dims ?? []).map((d) => (typeof d === "number" ? d : 1));
  const refs = emit(n, {
    g: b,
    opset,
    dims,
    constant: (name) => g.initializers.get(name),
    positions: (axis) => mask.kept[axis],
    kept: (axis) => mask.kept[axis]?.length ?? dims(n.inputs[0])[axis],
    mask: mask.ref,
    number: (v) => b.initializer(`${n.name}_number`, fromNumbers(elemType, [v], [])),
  });
  n.outputs.forEach((y, i) => {
    if (y)
      b.graph.nodes.push({
        name: b.unique(`${n.name}_kept${i}`),
        opType: "Identity",
        domain: "",
        inputs: [refs[i]],
        outputs: [y],
        attributes: {},
      });
  });
}
