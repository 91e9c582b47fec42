/**
 * One net with shared weights from which sub-nets are trained and judged: the common part of slimmable training, Markov pruning, weight
 * generators, gates and searches. Passes of any sub-net run in one session; each is a step on the method's account.
 */
import type { Batch } from "../data/dataset.js";
import { cloneGraph, feedsOf, type Graph } from "../graph/graph.js";
import { throwIfAborted } from "../graph/progress.js";
import { floats, type Tensor, toFloat32 } from "../graph/tensor.js";
import type { Widths } from "../prune/groups.js";
import { normScores, type Order, orderByScore } from "../prune/importance.js";
import { openSession, type Session } from "../runtime/session.js";
import {
  augmentBatch,
  crossEntropy,
  type Layout,
  type Optimizer,
  Passes,
  shuffled,
  streamOf,
  type UpdateState,
} from "../train/index.js";
import { GatedNet, type Gates, gatesAt } from "./gates.js";
import type { MethodContext, Phase } from "./method.js";

/** A sub-net: gates on channels, parameters that stand in for the shared ones, and places at which parameters are 0 and stay so. */
export interface SubNet {
  gates: Gates;
  parameters?: Float32Array;
  zero?: Int32Array;
}

/** Loss and gradients of a sub-net on one batch. */
export interface SubPass {
  loss: number;
  /** With respect to the parameters. */
  gradient: Float32Array;
  /** With respect to each gate. */
  gates: ReadonlyMap<string, Float64Array>;
  /** Softmax of the scores, [n, classes]: what other sub-nets learn from. */
  shares: Float32Array;
}

/** Loss and share of right answers. */
export interface Score {
  loss: number;
  accuracy: number;
}

export interface SupernetOptions {
  /** In place of the context's net: same groups, more parameters. */
  graph?: Graph;
  /** Default: the recipe's. */
  optimizer?: Optimizer;
  noDecay?: (name: string) => boolean;
  /** Which order of images: different numbers, different orders. Default 0. */
  run?: number;
}

/** Epochs of methods' own loops are told from those of `trainSteps` by their seed. */
const STREAM = 104729;

export class Supernet {
  parameters: Float32Array;
  state: UpdateState;
  private position = 0;
  private epoch = -1;
  private order: Int32Array = new Int32Array(0);
  private readonly judged: Batch[] = [];
  private teaching: Promise<Session> | undefined;

  private constructor(
    readonly c: MethodContext,
    readonly graph: Graph,
    readonly passes: Passes,
    readonly net: GatedNet,
    /** Channels of every gated group, least important first: by the L1 norm of the weights that make them (Li et al. 2017). */
    readonly orders: ReadonlyMap<string, Order>,
    /** Widths to choose from, of every gated group. */
    readonly candidates: ReadonlyMap<string, readonly number[]>,
    readonly batchSize: number,
    private readonly run: number,
  ) {
    this.parameters = passes.initial();
    this.state = passes.start();
  }

  static async open(c: MethodContext, o: SupernetOptions = {}): Promise<Supernet> {
    const graph = o.graph ?? c.graph;
    const batchSize = Math.min(c.recipe.batchSize, c.train.count);
    const probe = await c.train.batch([0]);
    const passes = await Passes.open({
      graph,
      batchDims: [batchSize, ...probe.dims.slice(1)],
      loss: crossEntropy(),
      optimizer: o.optimizer ?? c.recipe.optimizer(),
      ...(o.noDecay ? { noDecay: o.noDecay } : {}),
      ...(c.recipe.threads === undefined ? {} : { threads: c.recipe.threads }),
    });
    const net = new GatedNet(graph, c.groups, passes.parameters);
    for (const [id, reason] of net.whole) c.onNote?.(`"${id}" stays whole: ${reason}`);
    const orders = new Map(
      net.ids.map((id) => [id, orderByScore(normScores(c.graph, c.groups, c.groups.group(id), 1))]),
    );
    const candidates = new Map(net.ids.map((id) => [id, c.candidates.get(id) ?? [c.groups.group(id).width]]));
    return new Supernet(c, graph, passes, net, orders, candidates, batchSize, o.run ?? 0);
  }

  get layout(): Layout {
    return this.passes.parameters;
  }

  /** Gates of the most important channels at these widths. */
  at(widths: Widths): SubNet {
    return { gates: gatesAt(widths, this.orders) };
  }

  /** The next images of an endless, shuffled, augmented stream. */
  async next(): Promise<Batch> {
    throwIfAborted(this.c.signal);
    const { train, recipe, seed } = this.c;
    const own = seed + STREAM * (this.run + 1);
    if (this.position + this.batchSize > this.order.length) {
      this.epoch++;
      this.order = shuffled(train.count, streamOf(own, this.epoch, -1));
      this.position = 0;
    }
    const batch = await train.batch(this.order.subarray(this.position, this.position + this.batchSize));
    const seen = recipe.augment ? augmentBatch(batch, recipe.augment, streamOf(own, this.epoch, this.position)) : batch;
    this.position += this.batchSize;
    return this.taught(seen);
  }

  /** Images without labels learn what the teacher says of them. */
  private async taught(batch: Batch): Promise<Batch> {
    if (batch.labels || batch.targets) return batch;
    const { teacher, recipe } = this.c;
    this.teaching ??= openSession(teacher, { threads: recipe.threads, where: "teacher" });
    const results = await (await this.teaching).run({ [feedsOf(teacher)[0].name]: floats(batch.data, batch.dims) });
    const scores = results[teacher.outputs[0].name];
    const ends = teacher.nodes.find((n) => n.outputs[0] === teacher.outputs[0].name)?.opType === "Softmax";
    return { ...batch, targets: { y: ends ? toFloat32(scores) : softmaxRows(scores) } };
  }

  /** One forward and one backward pass, counted. */
  async pass(batch: Batch, sub: SubNet, phase: Phase = "search"): Promise<SubPass> {
    const parameters = this.parametersOf(sub);
    const { loss, gradient, outputs } = await this.passes.gradient(batch, this.net.effective(parameters, sub.gates));
    this.c.meter.step(phase, 1, this.batchSize);
    const own = this.net.split(parameters, sub.gates, gradient);
    for (const i of sub.zero ?? []) own.parameters[i] = 0;
    return { loss, gradient: own.parameters, gates: own.gates, shares: softmaxRows(Object.values(outputs)[0]) };
  }

  private parametersOf(sub: SubNet): Float32Array {
    const shared = sub.parameters ?? this.parameters;
    if (!sub.zero) return shared;
    const out = shared.slice();
    for (const i of sub.zero) out[i] = 0;
    return out;
  }

  /** The optimiser's step on the shared parameters. */
  async update(gradient: Float32Array, learningRate: number): Promise<void> {
    const next = await this.passes.update(this.parameters, gradient, this.state, learningRate);
    this.parameters = next.parameters;
    this.state = next.state;
  }

  /**
   * The sandwich rule (Yu and Huang, "Universally Slimmable Networks", ICCV 2019): one step on the mean gradient of several sub-nets on
   * the same images. The first, the widest, learns from the labels; with `distil` the others learn what it answers (in-place
   * distillation), else from the labels too.
   * @returns loss of the first
   */
  async sandwich(subs: readonly SubNet[], learningRate: number, distil: boolean): Promise<number> {
    const batch = await this.next();
    let first: SubPass | undefined;
    const sum = new Float32Array(this.layout.length);
    for (const sub of subs) {
      const seen: Batch = first && distil ? { ...batch, targets: { y: first.shares } } : batch;
      const pass = await this.pass(seen, sub);
      first ??= pass;
      for (let i = 0; i < sum.length; i++) sum[i] += pass.gradient[i] / subs.length;
    }
    await this.update(sum, learningRate);
    return first!.loss;
  }

  /**
   * A sub-net on held-out images, normalised by their own statistics (calibration of batch normalisation, as AutoSlim does it), counted.
   * The images are always the same, so that scores compare.
   */
  async score(sub: SubNet, images: number): Promise<Score> {
    const count = Math.max(1, Math.ceil(images / this.batchSize));
    const { holdOut } = this.c;
    while (this.judged.length < count) {
      const from = this.judged.length * this.batchSize;
      const items = Array.from({ length: this.batchSize }, (_, i) => (from + i) % holdOut.count);
      this.judged.push(await this.taught(await holdOut.batch(items)));
    }
    throwIfAborted(this.c.signal);
    const effective = this.net.effective(this.parametersOf(sub), sub.gates);
    let loss = 0;
    let right = 0;
    for (const batch of this.judged.slice(0, count)) {
      const seen = await this.passes.forward(batch, effective);
      loss += seen.loss / count;
      right += rightAnswers(batch, Object.values(seen.outputs)[0]);
    }
    this.c.meter.forward(count * this.batchSize);
    return { loss, accuracy: right / (count * this.batchSize) };
  }

  /** The full-size net with the shared parameters. Running statistics are those of the given net. */
  whole(parameters = this.parameters): Graph {
    const out = cloneGraph(this.graph);
    for (const e of this.layout.entries) {
      out.initializers.set(e.name, floats(parameters.slice(e.offset, e.offset + e.length), e.dims));
    }
    return out;
  }

  async dispose(): Promise<void> {
    await this.passes.dispose();
    if (this.teaching) await (await this.teaching).dispose();
  }
}

/** Softmax of every row of [n, classes]. */
export function softmaxRows(scores: Tensor): Float32Array {
  const [n] = scores.dims;
  const values = toFloat32(scores);
  const classes = values.length / n;
  const out = new Float32Array(values.length);
  for (let i = 0; i < n; i++) {
    const row = values.subarray(i * classes, (i + 1) * classes);
    const most = Math.max(...row);
    let sum = 0;
    for (let k = 0; k < classes; k++) sum += out[i * classes + k] = Math.exp(row[k] - most);
    for (let k = 0; k < classes; k++) out[i * classes + k] /= sum;
  }
  return out;
}

function rightAnswers(batch: Batch, scores: Tensor): number {
  const [n] = scores.dims;
  const values = toFloat32(scores);
  const classes = values.length / n;
  const best = (list: Float32Array, i: number): number => {
    const row = list.subarray(i * classes, (i + 1) * classes);
    return row.indexOf(Math.max(...row));
  };
  let right = 0;
  for (let i = 0; i < n; i++) if (best(values, i) === (batch.labels?.[i] ?? best(batch.targets!.y, i))) right++;
  return right;
}
