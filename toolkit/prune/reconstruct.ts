/**
 * Repairs a cut net without labels or training: front to back, every linear node's weights are solved again so that,
 * on the cut net's own inputs, it gives what the original gave (asymmetric least squares, He et al. 2017; docs/architecture.md,
 * "Repair"). Where the node feeds a sum whose other side is already known, the target is the original's sum less that
 * side, so that errors of a skip connection are taken up by the branch.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { cloneGraph, type Graph, type Use, usesOf } from "../graph/graph.js";
import type { Progress } from "../graph/progress.js";
import { floats, type Tensor, toNumbers } from "../graph/tensor.js";
import { sumBehind } from "./affine.js";
import {
  accumulate,
  emptyCross,
  emptyMoments,
  type LinearNode,
  linearNodes,
  momentProbe,
  sampledPositions,
  thinning,
} from "./gram.js";
import { solve } from "./leastSquares.js";
import { ForwardWalk, observe, type RunSettings } from "./walk.js";

export interface RepairOptions extends RunSettings {
  /** Positions sampled per image and map. Default 64. */
  positions?: number;
  /** Ridge towards the cut weights, relative to the inputs' mean energy. Default 1e-3. */
  ridge?: number;
  onProgress?: Progress;
}

/** Positions of the original that remain on an axis of a parameter; undefined where nothing was cut. */
export type KeptOf = (name: string, axis: number) => Int32Array | undefined;

/** What a linear node should give: `value` of the original, minus `other` of the cut net, undone by `affine`. */
interface Target {
  value: string;
  other?: string;
  /** The sum is of affine(y): y = (t - shift) / scale. Empty arrays where nothing stands between. */
  scale?: Float64Array;
  shift?: Float64Array;
}

/**
 * Solves the weights of every linear node that a cut has reached.
 *
 * @param original the uncut net, shapes inferred
 * @param cut the same nodes with narrower parameters
 * @param keptOf which positions of the original's parameters the cut net has
 * @param batches calibration images, preprocessed, one tensor per batch
 */
export async function reconstruct(
  original: Graph,
  cut: Graph,
  keptOf: KeptOf,
  batches: readonly Tensor[],
  o: RepairOptions = {},
): Promise<Graph> {
  const before = new Map(linearNodes(original).map((n) => [n.node.name, n]));
  const isReached = reachedByCut(original, cut);
  const reached = linearNodes(cut).filter((n) => isReached(n) && samePositions(before.get(n.node.name), n));
  const uses = usesOf(cut);
  const position = positionsOf(cut);
  const targets = new Map(reached.map((n) => [n.node.name, targetOf(cut, n, uses, position)]));
  const rows = await originalRows(original, before, reached, targets, keptOf, batches, o);
  const walk = new ForwardWalk(cut, batches, o);
  let repaired = cut;
  for (const [i, n] of reached.entries()) {
    o.onProgress?.({ stage: "repairing weights", done: i, total: reached.length });
    const moments = emptyMoments(n.columns);
    const cross = emptyCross(n.outputs, n.columns);
    const thin = thinning(n, o.positions ?? 64);
    const target = targets.get(n.node.name)!;
    await walk.advance(
      n.index,
      (g) => ({ ...momentProbe(g, n, thin, { value: shiftedTarget(g, n, target, thin), isMatrix: true }) }),
      (seen, batch) => {
        moments.count += sampledPositions(n, thin) * batches[batch].dims[0];
        accumulate(moments.products, seen.products);
        accumulate(moments.sums, seen.sums);
        accumulate(cross.products, seen.crossProducts);
        accumulate(cross.sums, seen.crossSums);
      },
      { [TARGET]: rows.get(n.node.name)! },
    );
    const w = repaired.initializers.get(n.weight)!;
    const prior = n.rule.toMatrix(n.node, w);
    const all = Int32Array.from({ length: n.columns }, (_, c) => c);
    const solution = solve(moments, cross, all, prior, o.ridge ?? 1e-3, n.bias !== undefined);
    repaired = withWeights(repaired, n, n.rule.fromMatrix(n.node, solution.weights, w.dims), solution.bias);
    walk.continueWith(repaired);
    rows.delete(n.node.name);
  }
  o.onProgress?.({ stage: "repairing weights", done: reached.length, total: reached.length });
  return repaired;
}

const TARGET = "edgefit_target";

/** Whether what a node reads differs from the original: something before it went, lost channels or will be solved again. */
function reachedByCut(original: Graph, cut: Graph): (n: LinearNode) => boolean {
  const changed = new Set<string>();
  const before = new Map(original.nodes.map((n) => [n.name, n]));
  for (const node of cut.nodes) {
    const differs = node.inputs.some((name, i) => {
      const [then, now] = [original.initializers.get(name), cut.initializers.get(name)];
      if (then && now && then.dims.join() !== now.dims.join()) return true;
      // A value of the name that it had before, unless a branch between was left out.
      return changed.has(name) || (!now && before.get(node.name)?.inputs[i] !== name);
    });
    if (differs) {
      for (const out of node.outputs) changed.add(out);
      for (const [i, name] of node.inputs.entries()) {
        if (!cut.initializers.has(name) && before.get(node.name)?.inputs[i] !== name) changed.add(name);
      }
    }
  }
  return (n) => changed.has(n.node.inputs[n.rule.data]);
}

/** A cut along the positions of a node (channels as rows of a matrix) leaves it nothing to be compared with row by row. */
const samePositions = (then: LinearNode | undefined, now: LinearNode): boolean =>
  then?.rule.positions(then.outputDims).join() === now.rule.positions(now.outputDims).join();

function targetOf(cut: Graph, n: LinearNode, uses: Map<string, Use[]>, position: Map<string, number>): Target {
  const behind = sumBehind(cut, n, uses);
  // The other side must have been computed before this node runs.
  if (!behind || !((position.get(behind.other) ?? Number.POSITIVE_INFINITY) < n.index)) return { value: n.output };
  return { value: behind.sum, other: behind.other, ...behind.affine };
}

/** value -> index of the node that makes it. */
function positionsOf(g: Graph): Map<string, number> {
  return new Map(g.nodes.flatMap((node, i) => node.outputs.map((out) => [out, i] as const)));
}

/** Emits the target of the cut net's node as a matrix, from the original's rows fed as TARGET. */
function shiftedTarget(g: GraphBuilder, n: LinearNode, t: Target, thin: number): Ref {
  let rows: Ref = TARGET;
  if (t.other) rows = g.sub(rows, n.rule.outputs(n.node, g, t.other, n.outputDims, thin));
  if (t.scale && t.shift) {
    const largest = t.scale.reduce((m, s) => Math.max(m, Math.abs(s)), 0);
    // A channel that the affine step all but switches off cannot be steered through it: leave its target at zero.
    const inverse = t.scale.map((s) => (Math.abs(s) > 1e-4 * largest ? 1 / s : 0));
    rows = g.mul(
      g.sub(rows, g.const(Float32Array.from(t.shift), [n.outputs, 1])),
      g.const(Float32Array.from(inverse), [n.outputs, 1]),
    );
  }
  return rows;
}

/** The original's target rows, thinned, kept channels only; one matrix per node and batch. */
async function originalRows(
  original: Graph,
  before: Map<string, LinearNode>,
  reached: readonly LinearNode[],
  targets: Map<string, Target>,
  keptOf: KeptOf,
  batches: readonly Tensor[],
  o: RepairOptions,
): Promise<Map<string, Tensor[]>> {
  const rows = new Map<string, Tensor[]>(reached.map((n) => [n.node.name, []]));
  const probe = (g: GraphBuilder): Record<string, Ref> => {
    const refs: Record<string, Ref> = {};
    for (const n of reached) {
      const full = before.get(n.node.name)!;
      const thin = thinning(full, o.positions ?? 64);
      const matrix = full.rule.outputs(full.node, g, targets.get(n.node.name)!.value, full.outputDims, thin);
      const kept = keptOf(full.weight, full.rule.outputAxis(full.node));
      refs[n.node.name] = kept
        ? g.emit("Gather", [matrix, g.ints([...kept])], { axis: { type: "int", value: 0 } })
        : matrix;
    }
    return refs;
  };
  await observe(
    original,
    batches,
    probe,
    (seen) => {
      for (const [name, list] of rows) list.push(seen[name]);
    },
    o,
  );
  return rows;
}

/** The graph with a node's weight replaced and `bias` in place of (or as) its bias. Initializers of other nodes are left alone. */
export function withWeights(g: Graph, n: LinearNode, weight: Tensor, bias: Float64Array | undefined): Graph {
  const out = cloneGraph(g);
  const b = new GraphBuilder(out);
  replaceInput(out, b, n.index, n.rule.weight, weight);
  if (n.bias && bias) {
    const old = g.initializers.get(out.nodes[n.bias.index].inputs[n.bias.input] ?? "");
    replaceInput(out, b, n.bias.index, n.bias.input, floats(Float32Array.from(bias), old?.dims));
  }
  return out;
}

/** Gives an input of a node a constant: under the old name where the node is its only reader, else under a new one. */
function replaceInput(g: Graph, b: GraphBuilder, index: number, input: number, value: Tensor): void {
  const node = g.nodes[index];
  const inputs = [...node.inputs];
  const name = inputs[input] ?? "";
  const isOwn = name !== "" && !g.nodes.some((other) => other !== node && other.inputs.includes(name));
  if (isOwn) g.initializers.set(name, value);
  else inputs[input] = b.initializer(name || `${node.name}.bias`, value);
  g.nodes[index] = { ...node, inputs };
}

/** A node's bias as numbers, if it has a constant one. */
export function biasOf(g: Graph, n: LinearNode): Float64Array | undefined {
  const name = n.bias && g.nodes[n.bias.index].inputs[n.bias.input];
  const t = name ? g.initializers.get(name) : undefined;
  return t && toNumbers(t);
}
