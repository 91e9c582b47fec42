/**
 * What each width of each group costs in accuracy: the group alone is cut, its readers are solved again from second
 * moments, and the change of the model's outputs on held-back images is measured. Losses of different groups are then
 * taken to add up.
 */
import { cloneGraph, type Graph } from "../graph/graph.js";
import type { Progress } from "../graph/progress.js";
import { type Tensor, toNumbers } from "../graph/tensor.js";
import { affineAfter } from "./affine.js";
import { type Branch, branchMeans, withMeanBranch } from "./branches.js";
import { contributions, type Elimination, eliminate, type QuadraticError } from "./elimination.js";
import {
  accumulate,
  emptyMoments,
  type LinearNode,
  linearNodes,
  type Moments,
  momentProbe,
  sampledPositions,
  thinning,
} from "./gram.js";
import type { ChannelGroups, Group } from "./groups.js";
import { keepLast, type Order } from "./importance.js";
import { ownTarget, solve } from "./leastSquares.js";
import { maskGraph } from "./mask.js";
import { biasOf, withWeights } from "./reconstruct.js";
import { ForwardWalk, observe, type RunSettings } from "./walk.js";

/** Second moments of what each linear reader of a prunable group sees, by node name. */
export type ReaderMoments = ReadonlyMap<string, { reader: LinearNode; moments: Moments }>;

/** Collects second moments in one pass over the batches. */
export async function readerMoments(
  g: Graph,
  groups: ChannelGroups,
  batches: readonly Tensor[],
  o: RunSettings & { positions?: number } = {},
): Promise<ReaderMoments> {
  const names = new Set(groups.prunable.flatMap((group) => group.consumers.map((c) => c.node)));
  const out = new Map(
    linearNodes(g)
      .filter((n) => names.has(n.node.name))
      .map((reader) => [reader.node.name, { reader, moments: emptyMoments(reader.columns) }]),
  );
  const thin = (n: LinearNode): number => thinning(n, o.positions ?? 64);
  await observe(
    g,
    batches,
    (b) =>
      Object.fromEntries(
        [...out.values()].flatMap(({ reader }) => {
          const p = momentProbe(b, reader, thin(reader));
          return [
            [`${reader.node.name} products`, p.products],
            [`${reader.node.name} sums`, p.sums],
          ];
        }),
      ),
    (seen, batch) => {
      for (const [name, { reader, moments }] of out) {
        moments.count += sampledPositions(reader, thin(reader)) * batches[batch].dims[0];
        accumulate(moments.products, seen[`${name} products`]);
        accumulate(moments.sums, seen[`${name} sums`]);
      }
    },
    o,
  );
  return out;
}

/** Columns of a reader's matrix that belong to each channel of a group. */
function columnBlocks(groups: ChannelGroups, group: Group, n: LinearNode): Int32Array[] {
  const layout = groups.layout(n.weight, n.rule.inputAxis(n.node))!;
  const index = groups.groups.indexOf(group);
  const blocks: number[][] = Array.from({ length: group.width }, () => []);
  layout.group.forEach((owner, position) => {
    if (owner !== index) return;
    for (let t = 0; t < n.taps; t++) blocks[layout.channel[position]].push(position * n.taps + t);
  });
  return blocks.map((b) => Int32Array.from(b));
}

function readersOf(group: Group, moments: ReaderMoments): { reader: LinearNode; moments: Moments }[] {
  return [...new Set(group.consumers.map((c) => c.node))].flatMap((name) => moments.get(name) ?? []);
}

/** Nodes that see a cut of the group: they sum over its channels, or take a statistic over them. */
const seenBy = (group: Group): string[] => [...group.consumers, ...(group.renormalised ?? [])].map((e) => e.node);

/** Whether a cut of the group can be tried: some node sums over its channels or takes a statistic over them. */
export const isMeasurable = (group: Group): boolean => seenBy(group).length > 0;

/** The order that loses the least reconstruction error, over all linear readers of the group; undefined without any. */
export function reconstructionOrder(
  g: Graph,
  groups: ChannelGroups,
  group: Group,
  moments: ReaderMoments,
): Elimination | undefined {
  const errors: QuadraticError[] = readersOf(group, moments).map(({ reader, moments: m }) => {
    const weights = reader.rule.toMatrix(reader.node, g.initializers.get(reader.weight)!);
    const scale = affineAfter(g, reader)?.scale;
    if (scale) for (let i = 0; i < weights.length; i++) weights[i] *= scale[Math.floor(i / reader.columns)];
    return contributions({ moments: m, weights, blocks: columnBlocks(groups, group, reader) });
  });
  return errors.length > 0 ? eliminate(errors, group.width) : undefined;
}

/**
 * The uncut graph with one group's readers blind to the channels outside `kept`. Linear readers are solved again on the
 * rest; a product of two activations, a quantised weight and a statistic over channels are masked in place.
 */
export function withoutChannels(
  g: Graph,
  groups: ChannelGroups,
  group: Group,
  kept: Int32Array,
  moments: ReaderMoments,
  ridge = 1e-3,
): Graph {
  const alive = new Set(kept);
  let out = g;
  const solved = new Set<string>();
  for (const { reader, moments: m } of readersOf(group, moments)) {
    const columns: number[] = [];
    columnBlocks(groups, group, reader).forEach((block, channel) => {
      if (!alive.has(channel)) columns.push(...block);
    });
    const dead = new Set(columns);
    const live = Int32Array.from(Array.from({ length: reader.columns }, (_, c) => c).filter((c) => !dead.has(c)));
    const w = g.initializers.get(reader.weight)!;
    const full = reader.rule.toMatrix(reader.node, w);
    const prior = new Float64Array(reader.outputs * live.length);
    for (let o = 0; o < reader.outputs; o++) {
      for (let i = 0; i < live.length; i++) prior[o * live.length + i] = full[o * reader.columns + live[i]];
    }
    const s = solve(m, ownTarget(m, full, biasOf(g, reader)), live, prior, ridge, reader.bias !== undefined);
    const wide = new Float64Array(full.length);
    for (let o = 0; o < reader.outputs; o++) {
      for (let i = 0; i < live.length; i++) wide[o * reader.columns + live[i]] = s.weights[o * live.length + i];
    }
    out = withWeights(out, reader, reader.rule.fromMatrix(reader.node, wide, w.dims), s.bias);
    solved.add(reader.node.name);
  }
  for (const c of group.consumers) {
    if (solved.has(c.node) || !c.weight || c.weightAxis === undefined) continue;
    if (g.initializers.get(c.weight)?.elemType !== "float32") continue;
    out = blind(out, groups, group, c.weight, c.weightAxis, alive);
    solved.add(c.node);
  }
  return maskGraph(out, groups, new Map([[group.id, kept]]), { sums: (node) => !solved.has(node) });
}

/** Zeroes the coefficients of removed channels along one axis of a parameter. */
function blind(g: Graph, groups: ChannelGroups, group: Group, name: string, axis: number, alive: Set<number>): Graph {
  const layout = groups.layout(name, axis);
  const t = g.initializers.get(name);
  if (!layout || !t) return g;
  const index = groups.groups.indexOf(group);
  const inner = t.dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const data = Float32Array.from(toNumbers(t));
  for (let i = 0; i < data.length; i++) {
    const p = Math.floor(i / inner) % t.dims[axis];
    if (layout.group[p] === index && !alive.has(layout.channel[p])) data[i] = 0;
  }
  const out = cloneGraph(g);
  out.initializers.set(name, { elemType: "float32", dims: t.dims, data });
  return out;
}

/** Mean over the outputs of |y - reference|^2 relative to the reference's variance around its mean. */
export function relativeError(
  y: readonly Record<string, Tensor>[],
  reference: readonly Record<string, Tensor>[],
): number {
  const names = Object.keys(reference[0] ?? {});
  let total = 0;
  for (const name of names) {
    let n = 0;
    let sum = 0;
    let squares = 0;
    let error = 0;
    for (const [b, r] of reference.entries()) {
      const want = toNumbers(r[name]);
      const got = toNumbers(y[b][name]);
      for (let i = 0; i < want.length; i++) {
        n++;
        sum += want[i];
        squares += want[i] ** 2;
        error += (got[i] - want[i]) ** 2;
      }
    }
    total += error / Math.max(squares - sum ** 2 / n, 1e-30);
  }
  return total / Math.max(1, names.length);
}

/** Measured loss of some widths of one group; ascending widths, the full width with loss 0 included. */
export interface LossCurve {
  widths: readonly number[];
  loss: readonly number[];
}

export interface SensitivityOptions extends RunSettings {
  /** Widths measured per group; the others are interpolated. Default 3. */
  measured?: number;
  /** Branches that width 0 of their groups stands for. */
  branches?: readonly Branch[];
  onProgress?: Progress;
}

/**
 * Loss of every candidate width of every group.
 *
 * @param orders channels of each group, least important first
 * @param candidates widths per group, ascending, ending with the full width; 0 for groups of `branches`
 * @param batches held-back images (not those of the moments)
 */
export async function measureLosses(
  g: Graph,
  groups: ChannelGroups,
  orders: ReadonlyMap<string, Order>,
  candidates: ReadonlyMap<string, readonly number[]>,
  moments: ReaderMoments,
  batches: readonly Tensor[],
  o: SensitivityOptions = {},
): Promise<Map<string, LossCurve>> {
  const position = new Map(g.nodes.map((n, i) => [n.name, i]));
  const firstReader = (group: Group): number =>
    Math.min(g.nodes.length, ...seenBy(group).map((node) => position.get(node)!));
  const chosen = groups.prunable.filter((group) => candidates.has(group.id) && isMeasurable(group));
  chosen.sort((a, b) => firstReader(a) - firstReader(b));
  const branches = new Map((o.branches ?? []).map((b) => [b.group, b]));
  const means = await branchMeans(g, o.branches ?? [], batches, o);
  const walk = new ForwardWalk(g, batches, o);
  const reference = await walk.finish(g);
  const out = new Map<string, LossCurve>();
  for (const [i, group] of chosen.entries()) {
    o.onProgress?.({ stage: "measuring what each width costs", done: i, total: chosen.length, note: group.id });
    await walk.advance(firstReader(group));
    const widths = candidates.get(group.id)!;
    const narrow = widths.filter((w) => w < group.width);
    // Nothing left is another thing than little left: no interpolation between the two.
    const probes = [
      ...narrow.filter((w) => w === 0),
      ...spacedOut(
        narrow.filter((w) => w > 0),
        o.measured ?? 3,
      ),
    ];
    const known = new Map<number, number>([[group.width, 0]]);
    for (const w of probes) {
      const variant =
        w === 0
          ? withMeanBranch(g, branches.get(group.id)!, means.get(branches.get(group.id)!.sum)!)
          : withoutChannels(g, groups, group, keepLast(orders.get(group.id)!, w), moments);
      known.set(w, relativeError(await walk.finish(variant), reference));
    }
    out.set(group.id, { widths, loss: interpolateLosses(widths, known) });
  }
  o.onProgress?.({ stage: "measuring what each width costs", done: chosen.length, total: chosen.length });
  return out;
}

/** At most `count` of the values, the first and the last among them, evenly spread. */
function spacedOut(values: readonly number[], count: number): number[] {
  if (values.length <= count) return [...values];
  return Array.from(
    { length: count },
    (_, i) => values[Math.round((i * (values.length - 1)) / Math.max(1, count - 1))],
  );
}

/**
 * Losses of all widths from some measured ones: geometric between neighbours, made monotone (a wider group never costs
 * more: any set of channels contains the smaller one's).
 */
export function interpolateLosses(widths: readonly number[], known: ReadonlyMap<number, number>): number[] {
  const points = [...known].sort((a, b) => a[0] - b[0]);
  for (let i = points.length - 2; i >= 0; i--) points[i][1] = Math.max(points[i][1], points[i + 1][1]);
  const tiny = 1e-9;
  return widths.map((w) => {
    const right = points.findIndex(([x]) => x >= w);
    const [x1, y1] = points[right];
    if (x1 === w || right === 0) return y1;
    const [x0, y0] = points[right - 1];
    const t = (w - x0) / (x1 - x0);
    // Towards the full width the loss falls to nothing: there a straight line is the cautious reading.
    return y1 <= tiny ? y0 * (1 - t) : y0 ** (1 - t) * y1 ** t;
  });
}
