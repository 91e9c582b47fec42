/**
 * The weights of a net as a function of its widths: for every convolution two fully connected layers that turn the shares of its input
 * and output channels that are kept into its whole weight, which is then cropped (Liu et al., MetaPruning, ICCV 2019, section 3.1),
 * here by gates. All generators are one ONNX graph from the shares of all layers, [1, 2 layers], to all weights end to end.
 *
 *     h = ReLU(A s + a),  W = B h + b
 *
 * A is drawn at random, B starts at 0 and b at the trained weight: at first every width has the trained weights.
 */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import type { Batch } from "../data/dataset.js";
import { emptyGraph, GraphBuilder } from "../graph/builder.js";
import { attr, type Graph } from "../graph/graph.js";
import { floats, toFloat32 } from "../graph/tensor.js";
import type { ChannelGroups, Widths } from "../prune/groups.js";
import {
  customLoss,
  type Entry,
  type Layout,
  type Optimizer,
  Passes,
  streamOf,
  type UpdateState,
} from "../train/index.js";

export interface GeneratorOptions {
  graph: Graph;
  groups: ChannelGroups;
  /** Where the net's parameters lie. */
  layout: Layout;
  /** Numbers between the two layers of a generator. */
  hidden: number;
  optimizer: Optimizer;
  seed: number;
  threads?: number;
}

export class WeightGenerator {
  private parameters: Float32Array;
  private state: UpdateState;

  private constructor(
    private readonly passes: Passes,
    /** The generated weights, in the order in which the graph lays them. */
    private readonly entries: readonly Entry[],
    private readonly shares: readonly ((widths: Widths) => number)[],
    private readonly length: number,
  ) {
    this.parameters = passes.initial();
    this.state = passes.start();
  }

  static async open(o: GeneratorOptions): Promise<WeightGenerator> {
    const entries = o.layout.entries.filter((e) => e.dims.length === 4);
    const length = entries.reduce((n, e) => n + e.length, 0);
    const passes = await Passes.open({
      graph: generatorGraph(o, entries),
      batchDims: [1, 2 * entries.length],
      // The gradient of Σ W ∘ C is what a gradient C with respect to the weights becomes behind the generators.
      loss: customLoss((c) => {
        const cotangent = c.fed("cotangent", [1, length], (batch) => batch.targets!.cotangent);
        return c.g.reduceSum(c.g.mul(c.outputs[0].ref, cotangent), [0, 1], false);
      }),
      optimizer: o.optimizer,
      ...(o.threads === undefined ? {} : { threads: o.threads }),
    });
    const shares = entries.flatMap((e) => [shareOf(o.groups, e.name, 1), shareOf(o.groups, e.name, 0)]);
    return new WeightGenerator(passes, entries, shares, length);
  }

  private batch(widths: Widths, cotangent: Float32Array): Batch {
    const data = Float32Array.from(this.shares, (share) => share(widths));
    return { data, dims: [1, data.length], targets: { cotangent } };
  }

  /** The net's parameters with the weights that belong to these widths. */
  async generate(parameters: Float32Array, widths: Widths): Promise<Float32Array> {
    const { outputs } = await this.passes.forward(this.batch(widths, new Float32Array(this.length)), this.parameters);
    const weights = toFloat32(outputs.weights);
    const out = parameters.slice();
    let from = 0;
    for (const e of this.entries) {
      out.set(weights.subarray(from, from + e.length), e.offset);
      from += e.length;
    }
    return out;
  }

  /** A step along a gradient with respect to the net's parameters; the part that belongs to generated weights is set to 0 in it. */
  async learn(widths: Widths, gradient: Float32Array, learningRate: number): Promise<void> {
    const cotangent = new Float32Array(this.length);
    let from = 0;
    for (const e of this.entries) {
      cotangent.set(gradient.subarray(e.offset, e.offset + e.length), from);
      gradient.fill(0, e.offset, e.offset + e.length);
      from += e.length;
    }
    const pass = await this.passes.gradient(this.batch(widths, cotangent), this.parameters);
    const next = await this.passes.update(this.parameters, pass.gradient, this.state, learningRate);
    this.parameters = next.parameters;
    this.state = next.state;
  }

  /** Names of the generated weights. */
  get weights(): string[] {
    return this.entries.map((e) => e.name);
  }

  dispose(): Promise<void> {
    return this.passes.dispose();
  }
}

/** Share of an axis' positions that these widths keep. */
function shareOf(groups: ChannelGroups, name: string, axis: number): (widths: Widths) => number {
  const counts = new Map<string, number>();
  const layout = groups.layout(name, axis);
  for (const i of layout?.group ?? []) {
    const { id } = groups.groups[i];
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  const total = layout?.group.length ?? 1;
  return (widths) => {
    if (!layout) return 1;
    let kept = 0;
    for (const [id, count] of counts)
      kept += count * ((widths.get(id) ?? groups.group(id).width) / groups.group(id).width);
    return kept / total;
  };
}

function generatorGraph(o: GeneratorOptions, entries: readonly Entry[]): Graph {
  const { hidden } = o;
  const g = new GraphBuilder(emptyGraph("generators"));
  const random = streamOf(o.seed, 2, 0);
  const code = g.input("shares", [1, 2 * entries.length]);
  const codes = g.emitMany(
    "Split",
    [code, g.ints(entries.map(() => 2))],
    { axis: attr.int(1) },
    { outputs: entries.length },
  );
  const parts = entries.map((e, i) => {
    const uniform = (n: number): Float32Array =>
      Float32Array.from({ length: n }, () => ((2 * uniformFloat64(random) - 1) * 2) / Math.sqrt(hidden));
    const a = g.initializer(`${e.name}/A`, floats(uniform(2 * hidden), [hidden, 2]));
    const shift = g.initializer(`${e.name}/a`, floats(uniform(hidden)));
    const b = g.initializer(`${e.name}/B`, floats(new Float32Array(e.length * hidden), [e.length, hidden]));
    const start = g.initializer(`${e.name}/b`, floats(toFloat32(o.graph.initializers.get(e.name)!).slice()));
    const inner = g.relu(g.emit("Gemm", [codes[i], a, shift], { transB: attr.int(1) }));
    return g.emit("Gemm", [inner, b, start], { transB: attr.int(1) });
  });
  // One layer alone needs no Concat, but an output of that name all the same.
  g.output(g.concat(parts, 1, { out: "weights" }), {
    elemType: "float32",
    dims: [1, entries.reduce((n, e) => n + e.length, 0)],
  });
  return g.graph;
}
