/** The generated graphs: loss and gradients of a batch, and a whole optimiser step. */
import { emptyGraph, GraphBuilder, type Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph, type OpNode } from "../graph/graph.js";
import { floats } from "../graph/tensor.js";
import { scale, zeros } from "../ops/algebra.js";
import { type Deferred, differentiate } from "./autodiff.js";
import { deferrable, lowerToBlocks } from "./blocked/lower.js";
import type { Forward } from "./forward.js";
import { clipNorm, type Optimizer } from "./optimizers.js";
import { type Layout, layoutOf } from "./parameters.js";
import { unrollChannelsAsImages, WEBGPU_FAN } from "./webgpu.js";
import { writeOutBatchNorm } from "./writtenOut.js";

/** Names of the generated graphs' own inputs and outputs. */
export const names = {
  parameters: "parameters",
  statistics: "statistics",
  loss: "loss",
  gradient: "gradient",
  /** Sum of the gradients of some batches. */
  accumulated: "accumulated",
  /** Moving averages of `parameters` and `statistics`. */
  average: "average",
  averageStatistics: "average_statistics",
  /** Sum of the new parameters: no number when one of them is none. */
  total: "total",
  next: (name: string): string => `${name}_next`,
} as const;

/** A list in `fan` parts of nearly the same length. */
const inParts = <T>(list: readonly T[], fan: number): T[][] => {
  const length = Math.ceil(list.length / fan);
  return Array.from({ length: Math.ceil(list.length / length) }, (_, i) => list.slice(i * length, (i + 1) * length));
};

/** Cuts a flat vector into pieces of the given lengths, at most `fan` at a time. */
function pieces(g: GraphBuilder, flat: Ref, lengths: readonly number[], fan: number): Ref[] {
  if (lengths.length === 1) return [flat];
  const parts = lengths.length > fan ? inParts(lengths, fan) : lengths.map((l) => [l]);
  const sizes = parts.map((part) => part.reduce((a, b) => a + b, 0));
  const cuts = g.emitMany("Split", [flat, g.ints(sizes)], {}, { outputs: parts.length });
  return parts.flatMap((part, i) => pieces(g, cuts[i], part, fan));
}

/** Cuts a flat vector into tensors that carry the entries' names. */
function cut(g: GraphBuilder, flat: Ref, layout: Layout, o: KernelOptions): Ref[] {
  if (layout.entries.length === 0) return [];
  const lengths = layout.entries.map((e) => e.length);
  const parts = pieces(g, flat, lengths, o.provider === "webgpu" ? WEBGPU_FAN : lengths.length);
  return layout.entries.map((e, i) => g.reshape(parts[i], e.dims, { out: e.name }));
}

/** Lays values end to end. */
function join(g: GraphBuilder, parts: readonly Ref[], o: KernelOptions): Ref {
  const fan = o.provider === "webgpu" ? WEBGPU_FAN : parts.length;
  const flat = parts.map((p) => g.reshape(p, [-1]));
  const together = (list: readonly Ref[]): Ref =>
    g.concat(list.length > fan ? inParts(list, fan).map(together) : list, 0);
  return together(flat);
}

/** How the arithmetic is written. */
export interface KernelOptions {
  /**
   * Channels in a block of the runtime's blocked kernels (`blockLength`), to use them; such a graph runs only where blocks have that
   * length. Default: operators of the standard.
   */
  block?: number;
  /** What runs the graph. Default `cpu`. */
  provider?: "cpu" | "webgpu";
}

/** A graph under construction in which the parameters are one input and the loss's gradient is one value. */
interface Differentiated {
  builder: GraphBuilder;
  gradient: Ref;
  /** The running statistics that were fed, where the step follows them. */
  running: Ref | undefined;
}

function differentiated(forward: Forward, layout: Layout, o: KernelOptions, follow: boolean): Differentiated {
  if (layout.length === 0) throw new ModelError("no-parameters", "the net has no constant that training could change");
  const types = forward.graph;
  const graph = cloneGraph(types);
  for (const e of layout.entries) graph.initializers.delete(e.name);
  graph.outputs = [];
  const builder = new GraphBuilder(graph);
  const count = graph.nodes.length;
  cut(builder, builder.input(names.parameters, [layout.length]), layout, o);
  const statistics = statisticsLayout(forward);
  const followed = follow && statistics.length > 0;
  const running = followed ? builder.input(names.statistics, [statistics.length]) : undefined;
  const near = new Map<string, Ref>();
  if (running && o.block) {
    const named = statistics.entries.map((e) => ({ ...e, name: builder.unique(`${e.name}_now`) }));
    cut(builder, running, { ...statistics, entries: named }, o).forEach((ref, i) => {
      near.set(statistics.entries[i].name, ref);
    });
  }
  graph.nodes.unshift(...graph.nodes.splice(count));
  const deferred = new Map<OpNode, Deferred>();
  const wanted = layout.entries.map((e) => e.name);
  const seeds = new Map([[forward.built.value, builder.const(1)]]);
  const gradients = differentiate(builder, types, seeds, wanted, o.block ? { defer: deferrable, deferred } : {});
  if (o.block) {
    lowerToBlocks(builder, types, deferred, {
      block: o.block,
      nearMean: (name) => near.get(name) ?? (graph.initializers.has(name) ? name : undefined),
      results: [forward.built.value, ...gradients.values()],
    });
  } else writeOutBatchNorm(builder, types);
  if (o.provider === "webgpu") unrollChannelsAsImages(builder);
  const gradient = join(
    builder,
    layout.entries.map((e) => gradients.get(e.name) ?? zeros(builder, e.dims)),
    o,
  );
  builder.output(builder.identity(forward.built.value, { out: names.loss }), { elemType: "float32", dims: [] });
  return { builder, gradient, running };
}

/** Batch and parameters in; `loss` and the flat `gradient` out. */
export function gradientGraph(forward: Forward, layout: Layout, o: KernelOptions = {}): Graph {
  const { builder, gradient } = differentiated(forward, layout, o, false);
  builder.output(builder.identity(gradient, { out: names.gradient }), { elemType: "float32", dims: [layout.length] });
  return builder.graph;
}

/** Running statistics of the BatchNormalization nodes, each listed once, in the order of the nodes. */
export function statisticsLayout(forward: Forward): Layout {
  const seen = new Set<string>();
  return layoutOf(
    forward.statistics.flatMap((s) =>
      [s.runningMean, s.runningVariance].flatMap((name) => {
        if (seen.has(name)) return [];
        seen.add(name);
        return [{ name, dims: [s.channels] }];
      }),
    ),
  );
}

export interface StepOptions extends KernelOptions {
  optimizer: Optimizer;
  /** Upper limit of the gradient's Euclidean norm. Default: none. */
  clipGradientNorm?: number;
  /** Keep moving averages of the weights beside them. Default false. */
  average?: boolean;
  /** Factors of a constant's changes, one for all its elements or one each: parameters of different nature learn at different rates. Default 1. */
  rate?: (name: string) => number | Float32Array | undefined;
}

/** A flat vector in a graph. */
interface Vector {
  ref: Ref;
  length: number;
}

/** Scalars that are fed with every update besides the optimiser's own. */
export const updateScalars = { averageDecay: "average_decay", share: "gradient_share" } as const;

/**
 * One optimiser step: batch, `parameters`, the optimiser's states and scalars and the running `statistics` in; `loss` and the
 * `…_next` of each vector out.
 */
export function stepGraph(forward: Forward, layout: Layout, o: StepOptions): Graph {
  const { builder, gradient, running } = differentiated(forward, layout, o, true);
  const statistics = emitStatistics(builder, forward, running, o);
  emitUpdate(builder, layout, names.parameters, gradient, statistics, o);
  return builder.graph;
}

/** The part of a step that is done for each of several batches: `loss`, `accumulated_next` and `statistics_next` out. */
export function accumulationGraph(forward: Forward, layout: Layout, o: KernelOptions = {}): Graph {
  const { builder, gradient, running } = differentiated(forward, layout, o, true);
  emitStatistics(builder, forward, running, o);
  const vector = [layout.length];
  const sum = builder.add(builder.input(names.accumulated, vector), gradient, { out: names.next(names.accumulated) });
  builder.output(sum, { elemType: "float32", dims: vector });
  return builder.graph;
}

/** The part that is done once for several batches: `accumulated` times the scalar `gradient_share` is the gradient. */
export function updateGraph(forward: Forward, layout: Layout, o: StepOptions): Graph {
  const builder = new GraphBuilder(emptyGraph("update"));
  const parameters = builder.input(names.parameters, [layout.length]);
  const sum = builder.input(names.accumulated, [layout.length]);
  const gradient = builder.mul(sum, builder.input(updateScalars.share, []));
  const { length } = statisticsLayout(forward);
  const statistics = o.average && length > 0 ? { ref: builder.input(names.statistics, [length]), length } : undefined;
  emitUpdate(builder, layout, parameters, gradient, statistics, o);
  return builder.graph;
}

/** The optimiser's step, the moving averages, and the sum by which numbers that are none are noticed. */
function emitUpdate(
  g: GraphBuilder,
  layout: Layout,
  parameters: Ref,
  gradient: Ref,
  statistics: Vector | undefined,
  o: StepOptions,
): void {
  const { optimizer } = o;
  const vector = { elemType: "float32", dims: [layout.length] } as const;
  const mask = new Float32Array(layout.length);
  for (const e of layout.entries) if (e.decay) mask.fill(1, e.offset, e.offset + e.length);
  const scalars = Object.fromEntries(Object.keys(optimizer.scalars(0, 0)).map((name) => [name, g.input(name, [])]));
  const updated = optimizer.update(g, {
    parameters,
    gradient: o.clipGradientNorm ? clipNorm(g, gradient, o.clipGradientNorm) : gradient,
    decayMask: g.initializer("decay_mask", floats(mask)),
    states: optimizer.states.map((name) => g.input(name, vector.dims)),
    scalars,
    entries: layout.entries,
  });
  const rated = atRates(g, layout, parameters, updated.parameters, o.rate);
  const next = g.identity(rated, { out: names.next(names.parameters) });
  g.output(next, vector);
  updated.states.forEach((state, i) => {
    g.output(g.identity(state, { out: names.next(optimizer.states[i]) }), vector);
  });
  g.output(g.reduceSum(next, [0], false, { out: names.total }), { elemType: "float32", dims: [] });
  if (!o.average) return;
  const decay = g.input(updateScalars.averageDecay, []);
  const follow = (name: string, value: Ref, length: number): void => {
    const old = g.input(name, [length]);
    const moved = g.add(value, g.mul(g.sub(old, value), decay), { out: names.next(name) });
    g.output(moved, { elemType: "float32", dims: [length] });
  };
  follow(names.average, next, layout.length);
  if (statistics) follow(names.averageStatistics, statistics.ref, statistics.length);
}

/** The change of each parameter times its rate. */
function atRates(g: GraphBuilder, layout: Layout, from: Ref, to: Ref, rate: StepOptions["rate"]): Ref {
  const rates = new Float32Array(layout.length).fill(1);
  for (const e of layout.entries) {
    const own = rate?.(e.name);
    if (typeof own === "number") rates.fill(own, e.offset, e.offset + e.length);
    else if (own) rates.set(own, e.offset);
  }
  if (rates.every((r) => r === 1)) return to;
  return g.add(from, g.mul(g.sub(to, from), g.initializer("rates", floats(rates))));
}

/** Running statistics follow the batch's: momentum * running + (1 - momentum) * batch, variances unbiased as in PyTorch. */
function emitStatistics(
  g: GraphBuilder,
  forward: Forward,
  running: Ref | undefined,
  o: KernelOptions,
): Vector | undefined {
  if (!running) return undefined;
  const layout = statisticsLayout(forward);
  const batch = new Map<string, Ref>();
  const keep = new Float32Array(layout.length);
  const at = new Map(layout.entries.map((e) => [e.name, e]));
  for (const s of forward.statistics) {
    batch.set(s.runningMean, s.batchMean);
    batch.set(s.runningVariance, s.count > 1 ? scale(g, s.batchVariance, s.count / (s.count - 1)) : s.batchVariance);
    for (const name of [s.runningMean, s.runningVariance]) {
      const e = at.get(name)!;
      keep.fill(s.momentum, e.offset, e.offset + e.length);
    }
  }
  const observed = join(
    g,
    layout.entries.map((e) => batch.get(e.name)!),
    o,
  );
  const old = g.initializer("statistics_keep", floats(keep));
  const fresh = g.initializer("statistics_take", floats(keep.map((m) => 1 - m)));
  const next = g.add(g.mul(running, old), g.mul(observed, fresh), { out: names.next(names.statistics) });
  g.output(next, { elemType: "float32", dims: [layout.length] });
  return { ref: next, length: layout.length };
}
