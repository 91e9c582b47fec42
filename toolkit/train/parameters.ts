/** Which constants of a net are trained, and where each lies in the flat vector that the optimiser sees. */
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph, opsetOf } from "../graph/graph.js";
import { floats, sizeOf, type Tensor, toFloat32 } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";

/** One tensor inside a flat vector. */
export interface Entry {
  name: string;
  dims: readonly number[];
  offset: number;
  length: number;
  /** Whether weight decay applies. */
  decay: boolean;
}

/** Tensors laid end to end. */
export interface Layout {
  entries: readonly Entry[];
  length: number;
}

/** Lays tensors end to end in the given order. */
export function layoutOf(tensors: readonly { name: string; dims: readonly number[]; decay?: boolean }[]): Layout {
  let offset = 0;
  const entries = tensors.map(({ name, dims, decay = false }) => {
    const length = sizeOf(dims);
    const entry = { name, dims, offset, length, decay };
    offset += length;
    return entry;
  });
  return { entries, length: offset };
}

const longAxes = (dims: readonly number[]): number => dims.filter((d) => d !== 1).length;

/**
 * The trainable constants of `base`, as the training graph `g` made from it reads them: float32 initializers that every reader reads as a parameter (`parameters` of its
 * rule). Running statistics, shapes, scalars in arithmetic and whatever `freeze` names are left alone. `noDecay` names those that weight
 * decay leaves alone besides biases and normalisation.
 */
export function findParameters(
  base: Graph,
  g: Graph,
  freeze: (name: string) => boolean = () => false,
  noDecay: (name: string) => boolean = () => false,
): Layout {
  const decay = new Map<string, boolean>();
  const refused = new Set<string>();
  for (const n of g.nodes) {
    const rule = ruleFor(n, opsetOf(g, n.domain));
    n.inputs.forEach((name, i) => {
      const t = name ? base.initializers.get(name) : undefined;
      if (!t) return;
      const slot = rule?.gradient ? rule.parameters?.find((p) => p.input === i) : undefined;
      const fits = slot && t.elemType === "float32" && !(slot.vectorOnly && longAxes(t.dims) !== 1);
      if (fits) decay.set(name, (decay.get(name) ?? false) || slot.decay);
      else refused.add(name);
    });
  }
  const names = [...decay.keys()].filter((name) => !refused.has(name) && !freeze(name));
  return layoutOf(
    names.map((name) => ({ name, dims: base.initializers.get(name)!.dims, decay: decay.get(name) && !noDecay(name) })),
  );
}

/** Values of the laid-out tensors of a graph, end to end. */
export function gather(g: Graph, layout: Layout): Float32Array {
  const out = new Float32Array(layout.length);
  for (const e of layout.entries) {
    const t = g.initializers.get(e.name);
    if (!t) throw new ModelError("parameter-missing", `the graph has no constant "${e.name}"`, { where: e.name });
    out.set(toFloat32(t), e.offset);
  }
  return out;
}

/** The part of a flat vector that belongs to an entry, as a tensor of its own. */
export const entryTensor = (e: Entry, flat: Float32Array): Tensor =>
  floats(flat.slice(e.offset, e.offset + e.length), e.dims);

/** The graph with the laid-out constants replaced. */
export function scatter(g: Graph, layout: Layout, flat: Float32Array): Graph {
  const out = cloneGraph(g);
  for (const e of layout.entries) out.initializers.set(e.name, entryTensor(e, flat));
  return out;
}
