/**
 * Runs a net over stored batches with probes attached, whole or front to back. Walking front to back lets weights that
 * lie ahead be replaced while the values that reach them stay in memory, so that repairing a net node by node costs one
 * forward pass in all.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { cloneGraph, feedsOf, type Graph, type Value } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";
import { withSession } from "../runtime/session.js";

/** Extra outputs, emitted into the graph that runs; keys are the caller's own. */
export type Probe = (g: GraphBuilder) => Record<string, Ref>;

/** What a probe saw of one batch. */
export type Seen = (values: Record<string, Tensor>, batch: number) => void;

export interface RunSettings {
  threads?: number;
  signal?: AbortSignal;
  /** Called after each batch. */
  onBatch?: (done: number, total: number) => void;
}

/** Name of the one input that images go to. */
export function imageInput(g: Graph): string {
  const feeds = feedsOf(g);
  if (feeds.length !== 1) {
    throw new ModelError(
      "several-inputs",
      `the model has ${feeds.length} inputs (${feeds.map((v) => v.name).join(", ")})`,
      {
        hint: "edgefit feeds images to models with exactly one input",
      },
    );
  }
  return feeds[0].name;
}

/** Runs the whole net on every batch and hands the probe's values over, batch by batch. The model's own outputs are dropped. */
export async function observe(
  graph: Graph,
  batches: readonly Tensor[],
  probe: Probe,
  seen: Seen,
  o: RunSettings = {},
): Promise<void> {
  const b = new GraphBuilder(cloneGraph(graph));
  const refs = probe(b);
  b.graph.outputs = [...new Set(Object.values(refs))].map((name) => ({ name, type: { elemType: "float32" } }));
  const input = imageInput(graph);
  // A runtime refuses to be asked for nothing.
  if (b.graph.outputs.length === 0) {
    for (const i of batches.keys()) seen({}, i);
    o.onBatch?.(batches.length, batches.length);
    return;
  }
  await withSession(b.graph, { threads: o.threads }, async (session) => {
    for (const [i, batch] of batches.entries()) {
      o.signal?.throwIfAborted();
      const out = await session.run({ [input]: batch });
      seen(Object.fromEntries(Object.entries(refs).map(([key, ref]) => [key, out[ref]])), i);
      o.onBatch?.(i + 1, batches.length);
    }
  });
}

/** The net's outputs on every batch. */
export async function outputsOn(
  graph: Graph,
  batches: readonly Tensor[],
  o: RunSettings = {},
): Promise<Record<string, Tensor>[]> {
  const all: Record<string, Tensor>[] = [];
  const probe: Probe = () => Object.fromEntries(graph.outputs.map((v) => [v.name, v.name]));
  await observe(graph, batches, probe, (values) => all.push(values), o);
  return all;
}

/** A forward pass that stops where it is told. Nodes before `position` have run; values that later nodes read are kept. */
export class ForwardWalk {
  private readonly stored: Map<string, Tensor>[];
  private position = 0;

  constructor(
    private graph: Graph,
    batches: readonly Tensor[],
    private readonly settings: RunSettings = {},
  ) {
    const input = imageInput(graph);
    this.stored = batches.map((b) => new Map([[input, b]]));
  }

  /** Replaces the parameters of nodes that have not run yet; the nodes themselves must stay the same. */
  continueWith(graph: Graph): void {
    this.graph = graph;
  }

  /** Whether a value has been computed and is still kept. */
  has(value: string): boolean {
    return this.stored.length > 0 && this.stored[0].has(value);
  }

  /** A kept value, per batch. */
  values(value: string): Tensor[] {
    return this.stored.map((s) => s.get(value)!);
  }

  /**
   * Runs the nodes before index `stop`, with a probe over any value that is known then. Keeps what nodes from `stop`
   * on will read. `extra` holds further inputs of the probe, one tensor per batch.
   */
  async advance(
    stop: number,
    probe: Probe = () => ({}),
    seen: Seen = () => {},
    extra: Readonly<Record<string, readonly Tensor[]>> = {},
  ): Promise<void> {
    const { graph } = this;
    const nodes = graph.nodes.slice(this.position, Math.max(stop, this.position));
    const needed = new Set(graph.nodes.slice(Math.max(stop, this.position)).flatMap((n) => n.inputs));
    for (const v of graph.outputs) needed.add(v.name);
    const segment: Graph = { ...cloneGraph(graph), nodes: [...nodes], inputs: [], outputs: [], valueTypes: new Map() };
    for (const [name, t] of this.stored[0] ?? []) segment.inputs.push(freeBatch(name, t));
    for (const [name, [t]] of Object.entries(extra)) {
      segment.inputs.push({ name, type: { elemType: t.elemType, dims: t.dims.map(() => null) } });
    }
    const b = new GraphBuilder(segment);
    const refs = probe(b);
    const kept = nodes.flatMap((n) => n.outputs).filter((o) => o && needed.has(o));
    const outputs = [...new Set([...kept, ...Object.values(refs)])];
    segment.outputs = outputs.map((name) => ({ name, type: { elemType: "float32" } }));
    const read = new Set([...segment.nodes.flatMap((n) => n.inputs), ...outputs]);
    segment.inputs = segment.inputs.filter((v) => read.has(v.name));
    segment.initializers = new Map([...segment.initializers].filter(([name]) => read.has(name)));
    if (segment.nodes.length > 0 && outputs.length > 0) {
      await withSession(segment, { threads: this.settings.threads }, async (session) => {
        for (const [i, values] of this.stored.entries()) {
          this.settings.signal?.throwIfAborted();
          const feeds = Object.fromEntries(segment.inputs.map((v) => [v.name, values.get(v.name) ?? extra[v.name][i]]));
          const out = await session.run(feeds);
          for (const name of kept) values.set(name, out[name]);
          seen(Object.fromEntries(Object.entries(refs).map(([key, ref]) => [key, out[ref]])), i);
        }
      });
    }
    for (const values of this.stored) for (const name of [...values.keys()]) if (!needed.has(name)) values.delete(name);
    this.position = Math.max(stop, this.position);
  }

  /**
   * Runs what is left of `variant`, a graph with the same nodes from here on, and returns its outputs per batch. The
   * walk stays where it is, so that many variants of the rest can be tried on the same prefix.
   */
  async finish(variant: Graph): Promise<Record<string, Tensor>[]> {
    const read = new Set(variant.nodes.slice(this.position).flatMap((n) => n.inputs));
    const suffix: Graph = { ...cloneGraph(variant), nodes: variant.nodes.slice(this.position), valueTypes: new Map() };
    suffix.inputs = [...(this.stored[0] ?? [])]
      .filter(([name]) => read.has(name))
      .map(([name, t]) => freeBatch(name, t));
    suffix.initializers = new Map([...variant.initializers].filter(([name]) => read.has(name)));
    const outputs: Record<string, Tensor>[] = [];
    await withSession(suffix, { threads: this.settings.threads }, async (session) => {
      for (const values of this.stored) {
        this.settings.signal?.throwIfAborted();
        outputs.push(await session.run(Object.fromEntries(suffix.inputs.map((v) => [v.name, values.get(v.name)!]))));
      }
    });
    return outputs;
  }
}

/** Declares a stored value as an input whose batch may vary. */
const freeBatch = (name: string, t: Tensor): Value => ({
  name,
  type: { elemType: t.elemType, dims: t.dims.map((d, i) => (i === 0 ? "N" : d)) },
});
