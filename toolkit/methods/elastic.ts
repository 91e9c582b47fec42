/**
 * A net whose depth and kernels may shrink as well as its widths: branches of residual sums that may be left out, and kernels of which
 * only the centre is kept (as Once-for-All shares them, Cai et al. 2020, here without its transformation matrices). In a supernet both are
 * parameters set to 0: the scale and shift behind a branch, the rim of a kernel.
 */
import {
  type Attribute,
  attr,
  attrInt,
  attrInts,
  attrString,
  cloneGraph,
  type Graph,
  type OpNode,
  opsetOf,
  producersOf,
} from "../graph/graph.js";
import { floats, toFloat32 } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import { inferShapes } from "../ops/infer.js";
import { type Branch, findBranches } from "../prune/branches.js";
import type { ChannelGroups } from "../prune/groups.js";
import type { Layout } from "../train/index.js";

/** A square, odd kernel of which smaller centres can be taken. */
export interface ElasticKernel {
  node: string;
  weight: string;
  /** Sizes, ascending, ending with the full one. */
  sizes: readonly number[];
}

/** Smallest kernel that is offered. */
const SMALLEST = 3;

/** Convolutions with kernels above 3x3 whose padding can shrink with them. */
export function elasticKernels(g: Graph): ElasticKernel[] {
  return g.nodes.flatMap((n) => {
    const dims = g.initializers.get(n.inputs[1] ?? "")?.dims;
    if (n.opType !== "Conv" || n.domain !== "" || dims?.length !== 4) return [];
    const [, , height, width] = dims;
    const pads = attrInts(n, "pads") ?? [0, 0, 0, 0];
    const dilated = attrInts(n, "dilations")?.some((d) => d !== 1);
    const automatic = attrString(n, "auto_pad", "NOTSET") !== "NOTSET";
    const rim = (height - SMALLEST) / 2;
    if (height !== width || height <= SMALLEST || height % 2 === 0 || dilated || automatic) return [];
    if (pads.some((p) => p < rim)) return [];
    const sizes = Array.from({ length: rim + 1 }, (_, i) => SMALLEST + 2 * i);
    return [{ node: n.name, weight: n.inputs[1], sizes }];
  });
}

/** The net with smaller kernels: their centres, and less padding. */
export function cropKernels(g: Graph, sizes: ReadonlyMap<string, number>): Graph {
  const out = cloneGraph(g);
  out.nodes = g.nodes.map((n) => {
    const size = sizes.get(n.name);
    const t = g.initializers.get(n.inputs[1] ?? "");
    if (size === undefined || !t || t.dims[2] === size) return n;
    const rim = (t.dims[2] - size) / 2;
    const attributes: Record<string, Attribute> = {
      ...n.attributes,
      pads: attr.ints((attrInts(n, "pads") ?? [0, 0, 0, 0]).map((p) => p - rim)),
    };
    if (n.attributes.kernel_shape) attributes.kernel_shape = attr.ints([size, size]);
    const [m, c, full] = t.dims;
    const values = toFloat32(t);
    const centre = new Float32Array(m * c * size * size);
    for (let k = 0; k < m * c; k++)
      for (let y = 0; y < size; y++) {
        const from = (k * full + y + rim) * full + rim;
        centre.set(values.subarray(from, from + size), (k * size + y) * size);
      }
    out.initializers.set(n.inputs[1], floats(centre, [m, c, size, size]));
    return { ...n, attributes };
  });
  return inferShapes(out);
}

/** Places of the parameters that are 0 where a kernel has only its centre. */
export function rimOf(kernel: ElasticKernel, size: number, g: Graph, layout: Layout): number[] {
  const [m, c, full] = g.initializers.get(kernel.weight)!.dims;
  const offset = layout.entries.find((e) => e.name === kernel.weight)!.offset;
  const rim = (full - size) / 2;
  const inside = (i: number): boolean => i >= rim && i < full - rim;
  const out: number[] = [];
  for (let k = 0; k < m * c; k++)
    for (let y = 0; y < full; y++)
      for (let x = 0; x < full; x++) if (!inside(y) || !inside(x)) out.push(offset + (k * full + y) * full + x);
  return out;
}

export interface ElasticBranch extends Branch {
  /** Constants that make the branch 0 when they are 0: all that its last node multiplies and adds. */
  last: readonly string[];
}

/** Branches whose last node is a layer with weights or a normalisation. */
export function elasticBranches(g: Graph, groups: ChannelGroups): ElasticBranch[] {
  const producers = producersOf(g);
  const nodes = new Map(g.nodes.map((n) => [n.name, n]));
  return findBranches(g, groups).flatMap((branch) => {
    const made = producers.get(nodes.get(branch.sum)!.inputs[branch.side]);
    const last = made && lastConstants(g, made);
    return last ? [{ ...branch, last }] : [];
  });
}

function lastConstants(g: Graph, n: OpNode): string[] | undefined {
  const rule = ruleFor(n, opsetOf(g, n.domain));
  if (rule?.runningStatistics) return [n.inputs[rule.runningStatistics.scale], n.inputs[2]];
  if (n.opType === "Conv" && attrInt(n, "group", 1) >= 1) return n.inputs.slice(1).filter((v) => v !== "");
  return undefined;
}

/** Places of the parameters that are 0 where a branch is left out. */
export function branchPlaces(branch: ElasticBranch, layout: Layout): number[] {
  return layout.entries
    .filter((e) => branch.last.includes(e.name))
    .flatMap((e) => Array.from({ length: e.length }, (_, i) => e.offset + i));
}
