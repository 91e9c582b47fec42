/**
 * Gives every node time of a profiled session to the kernel of the source graph that it stems from. Runtimes rename what
 * they fuse and lay out anew; what cannot be traced by name (layout reorders, casts) belongs to the kernel that reads it.
 */
import type { NodeProfile, NodeTime } from "../../runners/runner.js";
import type { DimsOf, Kernel } from "./kernel.js";

/** What one kernel took in one profiled net. */
export interface KernelTime {
  /** Mean microseconds per call; 0 for a kernel that the runtime folded away. */
  us: number;
  /** Nodes of the optimised graph that ran for it. */
  launches: number;
}

/** Suffixes that ONNX Runtime adds to a node's or output's name when it rewrites the node. */
const REWRITES = /(?:_nchwc|_token_\d+|_transpose|_quant|_fused)$/;

/**
 * Times per kernel, by kernel id; every kernel has an entry. `dims` are those of the profiled net.

 */
export function attribute(profile: NodeProfile, kernels: readonly Kernel[], dims: DimsOf): Map<string, KernelTime> {
  const byNode = new Map<string, Kernel>();
  const byValue = new Map<string, Kernel>();
  for (const k of kernels) {
    for (const n of k.nodes) byNode.set(n, k);
    for (const v of k.made) byValue.set(v, k);
  }
  const owners = profile.nodes.map((n) => ownerByName(n.name, byNode, byValue));
  const times = new Map<string, KernelTime>(kernels.map((k) => [k.id, { us: 0, launches: 0 }]));
  profile.nodes.forEach((node, i) => {
    const owner = owners[i] ?? readerOf(profile.nodes, owners, i, kernels, dims) ?? kernels.at(-1);
    if (!owner) return;
    const time = times.get(owner.id)!;
    time.us += trimmedMean(node.durationsUs);
    time.launches++;
  });
  return times;
}

function ownerByName(name: string, byNode: Map<string, Kernel>, byValue: Map<string, Kernel>): Kernel | undefined {
  for (let stripped = name; ; ) {
    const kernel = byNode.get(stripped) ?? byValue.get(stripped);
    if (kernel) return kernel;
    const shorter = stripped.replace(REWRITES, "");
    if (shorter === stripped) break;
    stripped = shorter;
  }
  // A rewrite that this list does not know: the longest source name that the name starts with, up to a separator.
  let best: { length: number; kernel: Kernel } | undefined;
  for (const names of [byNode, byValue]) {
    for (const [source, kernel] of names) {
      if (source.length > (best?.length ?? 0) && name.startsWith(source) && /^[_/:]/.test(name.slice(source.length))) {
        best = { length: source.length, kernel };
      }
    }
  }
  return best?.kernel;
}

/**
 * The kernel that reads what node `i` writes: of the first later node with a known owner that reads a tensor of that shape,
 * else of just the next one. Several kernels may read one reordered tensor in an order that varies between nets; the first
 * one of the source graph stands for all.
 */
function readerOf(
  nodes: readonly NodeTime[],
  owners: readonly (Kernel | undefined)[],
  i: number,
  kernels: readonly Kernel[],
  dims: DimsOf,
): Kernel | undefined {
  const written = nodes[i].outputDims.map(String);
  let next: Kernel | undefined;
  for (let j = i + 1; j < nodes.length; j++) {
    const owner = owners[j];
    if (!owner) continue;
    next ??= owner;
    if (!nodes[j].inputDims.some((d) => written.includes(String(d)))) continue;
    const values = owner.inputs.filter((v) => written.includes(String(dims(v))));
    return values.length === 1 ? (kernels.find((k) => k.inputs.includes(values[0])) ?? owner) : owner;
  }
  return next;
}

/**
 * Mean of the middle 80 %. The profiler's clock counts whole microseconds and truncates both ends of an interval, so a mean
 * over many calls is unbiased where a minimum or median would be off by up to 1 µs on nodes that take 3.
 */
export function trimmedMean(samples: ArrayLike<number>): number {
  const sorted = Float64Array.from(samples).sort();
  const cut = Math.floor(sorted.length / 10);
  let sum = 0;
  for (let i = cut; i < sorted.length - cut; i++) sum += sorted[i];
  return sorted.length === 0 ? 0 : sum / (sorted.length - 2 * cut);
}
