/** The generated graphs: loss and gradients of a batch, and a whole optimiser step. */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph } from "../graph/graph.js";
import { floats } from "../graph/tensor.js";
import { scale, zeros } from "../ops/algebra.js";
import { differentiate } from "./autodiff.js";
import type { Forward } from "./forward.js";
import { clipNorm, type Optimizer } from "./optimizers.js";
import { type Layout, layoutOf } from "./parameters.js";
import { writeOutBatchNorm } from "./writtenOut.js";

/** Names of the generated graphs' own inputs and outputs. */
export const names = {
  parameters: "parameters",
  statistics: "statistics",
  loss: "loss",
  gradient: "gradient",
  next: (name: string): string => `${name}_next`,
} as const;

/** Cuts a flat vector into tensors that carry the entries' names. */
function cut(g: GraphBuilder, flat: Ref, layout: Layout): Ref[] {
  if (layout.entries.length === 0) return [];
  const parts =
    layout.entries.length === 1
      ? [flat]
      : g.emitMany(
          "Split",
          [flat, g.ints(layout.entries.map((e) => e.length))],
          {},
          { outputs: layout.entries.length },
        );
  return layout.entries.map((e, i) => g.reshape(parts[i], e.dims, { out: e.name }));
}

/** Lays values end to end. */
const join = (g: GraphBuilder, parts: readonly Ref[]): Ref =>
  g.concat(
    parts.map((p) => g.reshape(p, [-1])),
    0,
  );

/** A graph under construction in which the parameters are one input and the loss's gradient is one value. */
interface Differentiated {
  builder: GraphBuilder;
  gradient: Ref;
}

function differentiated(forward: Forward, layout: Layout): Differentiated {
  if (layout.length === 0) throw new ModelError("no-parameters", "the net has no constant that training could change");
  const types = forward.graph;
  const graph = cloneGraph(types);
  for (const e of layout.entries) graph.initializers.delete(e.name);
  graph.outputs = [];
  const builder = new GraphBuilder(graph);
  const flat = builder.input(names.parameters, [layout.length]);
  const count = graph.nodes.length;
  cut(builder, flat, layout);
  graph.nodes.unshift(...graph.nodes.splice(count));
  const gradients = differentiate(
    builder,
    types,
    new Map([[forward.built.value, builder.const(1)]]),
    layout.entries.map((e) => e.name),
  );
  writeOutBatchNorm(builder, types);
  const gradient = join(
    builder,
    layout.entries.map((e) => gradients.get(e.name) ?? zeros(builder, e.dims)),
  );
  builder.output(builder.identity(forward.built.value, { out: names.loss }), { elemType: "float32", dims: [] });
  return { builder, gradient };
}

/** Batch and parameters in; `loss` and the flat `gradient` out. */
export function gradientGraph(forward: Forward, layout: Layout): Graph {
  const { builder, gradient } = differentiated(forward, layout);
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

export interface StepOptions {
  optimizer: Optimizer;
  /** Upper limit of the gradient's Euclidean norm. Default: none. */
  clipGradientNorm?: number;
  /** Factors of a constant's changes, one for all its elements or one each: parameters of different nature learn at different rates. Default 1. */
  rate?: (name: string) => number | Float32Array | undefined;
}

/**
 * One optimiser step: batch, `parameters`, the optimiser's states and scalars and the running `statistics` in; `loss` and the
 * `…_next` of each vector out.
 */
export function stepGraph(forward: Forward, layout: Layout, o: StepOptions): { graph: Graph; statistics: Layout } {
  const { builder, gradient } = differentiated(forward, layout);
  const { optimizer } = o;
  const vector = { elemType: "float32", dims: [layout.length] } as const;
  const mask = new Float32Array(layout.length);
  for (const e of layout.entries) if (e.decay) mask.fill(1, e.offset, e.offset + e.length);
  const scalars = Object.fromEntries(
    Object.keys(optimizer.scalars(0, 0)).map((name) => [name, builder.input(name, [])]),
  );
  const updated = optimizer.update(builder, {
    parameters: names.parameters,
    gradient: o.clipGradientNorm ? clipNorm(builder, gradient, o.clipGradientNorm) : gradient,
    decayMask: builder.initializer("decay_mask", floats(mask)),
    states: optimizer.states.map((name) => builder.input(name, vector.dims)),
    scalars,
    entries: layout.entries,
  });
  const rates = new Float32Array(layout.length).fill(1);
  for (const e of layout.entries) {
    const rate = o.rate?.(e.name);
    if (typeof rate === "number") rates.fill(rate, e.offset, e.offset + e.length);
    else if (rate) rates.set(rate, e.offset);
  }
  let next = updated.parameters;
  if (rates.some((r) => r !== 1)) {
    const change = builder.mul(builder.sub(next, names.parameters), builder.initializer("rates", floats(rates)));
    next = builder.add(names.parameters, change);
  }
  builder.output(builder.identity(next, { out: names.next(names.parameters) }), vector);
  updated.states.forEach((state, i) => {
    builder.output(builder.identity(state, { out: names.next(optimizer.states[i]) }), vector);
  });
  const statistics = statisticsLayout(forward);
  if (statistics.length > 0) emitStatistics(builder, forward, statistics);
  return { graph: builder.graph, statistics };
}

/** Running statistics follow the batch's: momentum * running + (1 - momentum) * batch, variances unbiased as in PyTorch. */
function emitStatistics(g: GraphBuilder, forward: Forward, layout: Layout): void {
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
  const running = g.input(names.statistics, [layout.length]);
  const observed = join(
    g,
    layout.entries.map((e) => batch.get(e.name)!),
  );
  const old = g.initializer("statistics_keep", floats(keep));
  const fresh = g.initializer("statistics_take", floats(keep.map((m) => 1 - m)));
  const next = g.add(g.mul(running, old), g.mul(observed, fresh), { out: names.next(names.statistics) });
  g.output(next, { elemType: "float32", dims: [layout.length] });
}
