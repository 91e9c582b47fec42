/**
 * A net as a function of its parameters: loss, gradient and outputs of a batch at parameters that the caller gives with each pass,
 * and an optimiser's step on a gradient that the caller has put together. For methods that train many sub-nets of one net, or that
 * change gradients before they are used; `Trainer` is the faster way to train one net.
 */
import type { Batch } from "../data/dataset.js";
import { removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { floats, scalar, type Tensor, toFloat32 } from "../graph/tensor.js";
import { tidy } from "../graph/tidy.js";
import { openSession, type Session } from "../runtime/session.js";
import { TrainingError } from "./errors.js";
import { type BatchNormMode, buildForward, type Forward } from "./forward.js";
import { logitsOf } from "./logits.js";
import type { Loss } from "./losses.js";
import type { Optimizer } from "./optimizers.js";
import { findParameters, gather, type Layout, scatter } from "./parameters.js";
import { gradientGraph, names, updateGraph, updateScalars } from "./step.js";

export interface PassesOptions {
  graph: Graph;
  /** Shape of every batch, the number of items first. */
  batchDims: readonly number[];
  loss: Loss;
  /** Without it there is no `update`. */
  optimizer?: Optimizer;
  /** Default `batch`: every pass normalises by its own batch. Running statistics are not followed. */
  batchNorm?: BatchNormMode;
  /** Names of constants that stay as they are. */
  freeze?: (name: string) => boolean;
  /** Names of parameters that weight decay leaves alone besides biases and normalisation. */
  noDecay?: (name: string) => boolean;
  threads?: number;
}

export interface ForwardPass {
  loss: number;
  /** By name of the net's output: before a final Softmax, as losses read it. Absent where the loss does not read the output. */
  outputs: Record<string, Tensor>;
}

export interface GradientPass extends ForwardPass {
  /** Of the loss with respect to the parameters that were given, in their layout. */
  gradient: Float32Array;
}

/** What an optimiser carries from step to step. */
export interface UpdateState {
  step: number;
  states: Readonly<Record<string, Float32Array>>;
}

export class Passes {
  private evaluation: Promise<Session> | undefined;

  private constructor(
    private readonly base: Graph,
    private readonly forwardPart: Forward,
    /** Where each parameter lies in the flat vectors. */
    readonly parameters: Layout,
    private readonly gradients: Graph,
    private readonly session: Session,
    private readonly updating: Session | undefined,
    private readonly o: PassesOptions,
  ) {}

  /** Throws ModelError when something on the way to a parameter has no gradient. */
  static async open(o: PassesOptions): Promise<Passes> {
    const base = tidy(o.graph);
    const forward = buildForward(base, o.batchDims, o.loss, o.batchNorm ?? "batch");
    const parameters = findParameters(base, forward.graph, o.freeze, o.noDecay);
    const gradients = gradientGraph(forward, parameters);
    const made = new Set(forward.graph.nodes.flatMap((n) => n.outputs));
    for (const value of base.outputs) {
      const name = logitsOf(base, value.name);
      if (made.has(name)) gradients.outputs.push({ name, type: { elemType: "float32" } });
    }
    const open = (graph: Graph): Promise<Session> =>
      openSession(graph, { threads: o.threads, where: "training graph" });
    const { optimizer } = o;
    const updating = optimizer && (await open(updateGraph(forward, parameters, { optimizer })));
    return new Passes(base, forward, parameters, gradients, await open(gradients), updating, o);
  }

  /** The parameters of the net that was given. */
  initial(): Float32Array {
    return gather(this.base, this.parameters);
  }

  /** States of the optimiser before the first step. */
  start(): UpdateState {
    const names = this.o.optimizer?.states ?? [];
    return { step: 0, states: Object.fromEntries(names.map((n) => [n, new Float32Array(this.parameters.length)])) };
  }

  /** One forward and one backward pass. Throws TrainingError when the loss is not finite. */
  async gradient(batch: Batch, parameters: Float32Array): Promise<GradientPass> {
    const results = await this.run(this.session, batch, parameters);
    return { ...this.read(results), gradient: toFloat32(results[names.gradient]) };
  }

  /** One forward pass, normalised like the others. */
  async forward(batch: Batch, parameters: Float32Array): Promise<ForwardPass> {
    const graph = { ...this.gradients, outputs: this.gradients.outputs.filter((v) => v.name !== names.gradient) };
    this.evaluation ??= openSession(removeDead(graph), { threads: this.o.threads, where: "evaluation graph" });
    return this.read(await this.run(await this.evaluation, batch, parameters));
  }

  private async run(session: Session, batch: Batch, parameters: Float32Array): Promise<Record<string, Tensor>> {
    return session.run({
      ...(await this.forwardPart.built.feeds(batch)),
      [this.forwardPart.input]: floats(batch.data, batch.dims),
      [names.parameters]: floats(parameters),
    });
  }

  private read(results: Record<string, Tensor>): ForwardPass {
    const loss = toFloat32(results[names.loss])[0];
    if (!Number.isFinite(loss)) {
      throw new TrainingError("loss-not-finite", `the loss is ${loss}`, { hint: "lower the learning rate" });
    }
    const outputs: Record<string, Tensor> = {};
    for (const { name } of this.base.outputs) {
      const value = results[logitsOf(this.base, name)];
      if (value) outputs[name] = value;
    }
    return { loss, outputs };
  }

  /** The optimiser's step on a gradient. Given vectors are left alone. */
  async update(
    parameters: Float32Array,
    gradient: Float32Array,
    state: UpdateState,
    learningRate: number,
  ): Promise<{ parameters: Float32Array; state: UpdateState }> {
    const { optimizer } = this.o;
    if (!optimizer || !this.updating)
      throw new ModelError("optimizer", "these passes were opened without an optimiser: this is a bug in edgefit");
    const scalars = Object.entries(optimizer.scalars(state.step, learningRate)).map(([k, v]) => [k, scalar(v)]);
    const results = await this.updating.run({
      ...Object.fromEntries(scalars),
      ...Object.fromEntries(optimizer.states.map((n) => [n, floats(state.states[n])])),
      [names.parameters]: floats(parameters),
      [names.accumulated]: floats(gradient),
      [updateScalars.share]: scalar(1),
    });
    if (!Number.isFinite(toFloat32(results[names.total])[0])) {
      throw new TrainingError("weights-not-finite", `a weight is no number after step ${state.step}`, {
        hint: "lower the learning rate",
      });
    }
    return {
      parameters: toFloat32(results[names.next(names.parameters)]),
      state: {
        step: state.step + 1,
        states: Object.fromEntries(optimizer.states.map((n) => [n, toFloat32(results[names.next(n)])])),
      },
    };
  }

  /** The given net, tidy, with these parameters; running statistics stay those of the given net. */
  graphOf(parameters: Float32Array): Graph {
    return scatter(this.base, this.parameters, parameters);
  }

  async dispose(): Promise<void> {
    await this.session.dispose();
    await this.updating?.dispose();
    if (this.evaluation) await (await this.evaluation).dispose();
    await this.o.loss.dispose?.();
  }
}
