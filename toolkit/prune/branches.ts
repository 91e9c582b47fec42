/**
 * Branches of residual sums that a net can do without: in `y = x + f(x)` the whole of `f` may go, and y becomes x. Removing
 * some of a residual net's branches changes its outputs little (Veit, Wilber & Belongie 2016, "Residual Networks Behave Like
 * Ensembles of Relatively Shallow Networks"), and a removed branch saves all of its time where a narrow one saves a part.
 */
import { redirect, removeDead, uniqueName } from "../graph/edit.js";
import { cloneGraph, type Graph, type OpNode, opsetOf, producersOf, typeOf, type Use, usesOf } from "../graph/graph.js";
import { floats, type Tensor } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import type { OpRule } from "../ops/rule.js";
import type { ChannelGroups } from "./groups.js";
import { observe, type RunSettings } from "./walk.js";

/** One side of a sum that may be left out. */
export interface Branch {
  /** Name of the node that adds. */
  sum: string;
  /** Which of its inputs the branch ends in. */
  side: number;
  /** Group of channels that live in the branch alone: width 0 of it stands for the branch being left out. */
  group: string;
  /** Names of the nodes that go: the branch, the sum, and an activation behind it that would do nothing more. */
  nodes: ReadonlySet<string>;
  /** Reads of `from` become reads of `to`. */
  from: string;
  to: string;
}

/**
 * Branches that can be left out one by one: all that is computed in them is read in them, what they read the other side of the
 * sum has seen too, both sides have the same dims, and at least one prunable group lies in them entirely.
 *
 * @param g shapes inferred
 */
export function findBranches(g: Graph, groups: ChannelGroups): Branch[] {
  const producers = producersOf(g);
  const uses = usesOf(g);
  const results = new Set(g.outputs.map((v) => v.name));
  const position = new Map(g.nodes.map((n, i) => [n, i]));
  const ruleOf = (n: OpNode): OpRule | undefined => ruleFor(n, opsetOf(g, n.domain));
  const dims = (value: string): string | undefined => typeOf(g, value)?.dims?.join();
  const isData = (value: string): boolean => value !== "" && !g.initializers.has(value);

  /** Nodes that exist for `value` alone, and what they read from outside. */
  const regionBehind = (sum: OpNode, side: number): { inside: Set<OpNode>; entries: Set<string> } => {
    const inside = new Set<OpNode>();
    const entries = new Set<string>();
    const pending = [sum.inputs[side]];
    const belongs = (u: Use): boolean => inside.has(u.node) || (u.node === sum && u.index === side);
    // Latest node first: by then all its readers have been looked at.
    while (pending.length > 0) {
      pending.sort((a, b) => (position.get(producers.get(a)!) ?? -1) - (position.get(producers.get(b)!) ?? -1));
      const v = pending.pop()!;
      const made = producers.get(v);
      if (made && inside.has(made)) continue;
      const free = made?.outputs.every((o) => !results.has(o) && (uses.get(o) ?? []).every(belongs)) ?? false;
      if (!made || !free) entries.add(v);
      else {
        inside.add(made);
        pending.push(...made.inputs.filter(isData));
      }
    }
    return { inside, entries };
  };

  /** Values that `value` is computed from, itself included. */
  const ancestors = (value: string): Set<string> => {
    const seen = new Set<string>();
    const pending = [value];
    for (let v = pending.pop(); v !== undefined; v = pending.pop()) {
      if (seen.has(v)) continue;
      seen.add(v);
      pending.push(...(producers.get(v)?.inputs.filter(isData) ?? []));
    }
    return seen;
  };

  /** The first group all of whose members lie in these nodes. */
  const innerGroup = (inside: ReadonlySet<OpNode>): string | undefined => {
    const own = new Set([...inside].flatMap((n) => [...n.outputs, ...n.inputs.filter((v) => !isData(v))]));
    return groups.prunable.find((group) => group.members.every((m) => own.has(m.value)))?.id;
  };

  /** An activation that alone reads the sum and that the skipped side has been through already. */
  const idleActivation = (sum: OpNode, skip: string): OpNode | undefined => {
    const readers = uses.get(sum.outputs[0]) ?? [];
    const made = producers.get(skip);
    if (readers.length !== 1 || !made || results.has(sum.outputs[0])) return undefined;
    const clampOf = (n: OpNode) => ruleOf(n)?.quantize?.clamp?.(n, (name) => g.initializers.get(name));
    const [after, before] = [clampOf(readers[0].node), clampOf(made)];
    const idle = after && before && before[0] >= after[0] && before[1] <= after[1];
    return idle ? readers[0].node : undefined;
  };

  const out: Branch[] = [];
  for (const sum of g.nodes) {
    if (!ruleOf(sum)?.sums || sum.inputs.length !== 2 || !sum.inputs.every(isData)) continue;
    for (const [side, value] of sum.inputs.entries()) {
      const skip = sum.inputs[1 - side];
      const wanted = dims(sum.outputs[0]);
      if (wanted === undefined || dims(value) !== wanted || dims(skip) !== wanted || value === skip) continue;
      const { inside, entries } = regionBehind(sum, side);
      const group = innerGroup(inside);
      if (group === undefined || out.some((b) => b.group === group)) continue;
      const before = ancestors(skip);
      if ([...inside].some((n) => n.outputs.some((o) => before.has(o))) || ![...entries].every((e) => before.has(e)))
        continue;
      const idle = idleActivation(sum, skip);
      const last = idle ?? sum;
      if (results.has(last.outputs[0])) continue;
      const nodes = new Set([...inside, sum, ...(idle ? [idle] : [])].map((n) => n.name));
      out.push({ sum: sum.name, side, group, nodes, from: last.outputs[0], to: skip });
      break;
    }
  }
  return out;
}

/** The graph without these branches. Other nodes and all values that remain keep their names. */
export function dropBranches(g: Graph, branches: readonly Branch[]): Graph {
  if (branches.length === 0) return g;
  return removeDead(redirect(g, new Map(branches.map((b) => [b.from, b.to]))));
}

/** Mean over the images of what each branch adds, dims [1, ...]; by name of the sum. */
export async function branchMeans(
  g: Graph,
  branches: readonly Branch[],
  batches: readonly Tensor[],
  o: RunSettings = {},
): Promise<Map<string, Tensor>> {
  if (branches.length === 0) return new Map();
  const nodes = new Map(g.nodes.map((n) => [n.name, n]));
  const totals = new Map<string, Tensor>();
  await observe(
    g,
    batches,
    (b) => Object.fromEntries(branches.map((e) => [e.sum, b.reduceSum(nodes.get(e.sum)!.inputs[e.side], [0], true)])),
    (seen) => {
      for (const [sum, t] of Object.entries(seen)) {
        const total = totals.get(sum)?.data ?? new Float32Array(t.data.length);
        for (let i = 0; i < t.data.length; i++) (total as Float32Array)[i] += (t.data as Float32Array)[i];
        totals.set(sum, floats(total as Float32Array, t.dims));
      }
    },
    o,
  );
  const images = batches.reduce((n, t) => n + t.dims[0], 0);
  return new Map(
    [...totals].map(([sum, t]) => [
      sum,
      floats(
        (t.data as Float32Array).map((v) => v / images),
        t.dims,
      ),
    ]),
  );
}

/**
 * What leaving out a branch costs once later layers have made up for its mean: the same nodes, but the sum reads `mean` in
 * place of the branch.
 */
export function withMeanBranch(g: Graph, branch: Branch, mean: Tensor): Graph {
  const out = cloneGraph(g);
  const name = uniqueName(g, `${branch.sum}.mean`);
  out.initializers.set(name, mean);
  out.nodes = g.nodes.map((n) =>
    n.name === branch.sum ? { ...n, inputs: n.inputs.map((x, i) => (i === branch.side ? name : x)) } : n,
  );
  return out;
}

/** Candidate widths of groups, with 0 for those that stand for a branch. */
export const withBranches = (
  candidates: ReadonlyMap<string, readonly number[]>,
  branches: readonly Branch[],
): Map<string, readonly number[]> =>
  new Map([...candidates, ...branches.map((b) => [b.group, [0, ...(candidates.get(b.group) ?? [])]] as const)]);

/** Branches that these widths leave out: those whose group has width 0. */
export const droppedBranches = (branches: readonly Branch[], widths: ReadonlyMap<string, number>): Branch[] =>
  branches.filter((b) => widths.get(b.group) === 0);
