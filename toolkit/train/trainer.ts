/** A net that is being trained: the step graph in a session, and the vectors that go round from step to step. */
import type { Batch } from "../data/dataset.js";
import { UsageError } from "../graph/errors.js";
import type { Graph } from "../graph/graph.js";
import { floats, scalar, type Tensor, toFloat32 } from "../graph/tensor.js";
import { tidy } from "../graph/tidy.js";
import { blockLength } from "../runtime/blockedKernels.js";
import { openSession, type Session } from "../runtime/session.js";
import { openThreadSession } from "../runtime/threadSession.js";
import { divergence } from "./divergence.js";
import { TrainingError } from "./errors.js";
import { type BatchNormMode, buildForward, type Forward } from "./forward.js";
import type { Loss } from "./losses.js";
import type { Optimizer } from "./optimizers.js";
import { findParameters, gather, type Layout, scatter } from "./parameters.js";
import { accumulationGraph, names, statisticsLayout, stepGraph, updateGraph, updateScalars } from "./step.js";

export interface TrainerOptions {
  graph: Graph;
  /** Shape of every batch, the number of items first. */
  batchDims: readonly number[];
  loss: Loss;
  optimizer: Optimizer;
  /** Default `batch`. */
  batchNorm?: BatchNormMode;
  /** Upper limit of the gradient's Euclidean norm. Default: none. */
  clipGradientNorm?: number;
  /** Batches whose mean gradient makes one step. Default 1. */
  accumulate?: number;
  /**
   * Share of the old value that stays, per step, in a moving average of the weights and running statistics; `graph` gives that
   * average. In the first steps less stays: (1 + step) / (10 + step). Default: no average.
   */
  averageDecay?: number;
  /** Names of constants that stay as they are. */
  freeze?: (name: string) => boolean;
  /** Factors of a constant's changes, one for all its elements or one each. Default 1. */
  rate?: (name: string) => number | Float32Array | undefined;
  /** Names of parameters that weight decay leaves alone besides biases and normalisation. Default: none. */
  noDecay?: (name: string) => boolean;
  threads?: number;
  /**
   * `blocked`: the step is written for the runtime's blocked convolution kernels where this machine has them (the trained net is an
   * ordinary one all the same). `portable`: operators of the standard alone. Default `blocked`.
   */
  kernels?: "blocked" | "portable";
  /** Runs steps in a thread of their own, so that this one is free to prepare data. Default false. */
  ownThread?: boolean;
}

/** Everything that changes from step to step. */
export interface TrainerState {
  step: number;
  /** Flat vectors by name: `parameters`, `statistics`, the optimiser's states and averages. */
  vectors: Readonly<Record<string, Float32Array>>;
}

/** The loaded graphs: a whole step, or its two parts where several batches make one. */
type Sessions = { whole: Session } | { batch: Session; update: Session };

export class Trainer {
  private constructor(
    /** The tidy net that was given. */
    private readonly base: Graph,
    private readonly forward: Forward,
    readonly parameters: Layout,
    private readonly statistics: Layout,
    private readonly sessions: Sessions,
    private readonly o: TrainerOptions,
    private current: TrainerState,
  ) {}

  /** Generates the step graph and loads it. Throws ModelError when something on the way to a parameter has no gradient. */
  static async open(o: TrainerOptions): Promise<Trainer> {
    const { accumulate = 1, averageDecay } = o;
    if (!(Number.isInteger(accumulate) && accumulate > 0))
      throw new UsageError("train-options", `accumulate must be a whole number above 0, got ${accumulate}`);
    if (averageDecay !== undefined && !(averageDecay >= 0 && averageDecay < 1))
      throw new UsageError("train-options", `averageDecay must lie from 0 to below 1, got ${averageDecay}`);
    const base = tidy(o.graph);
    const forward = buildForward(base, o.batchDims, o.loss, o.batchNorm ?? "batch");
    const parameters = findParameters(base, forward.graph, o.freeze, o.noDecay);
    const statistics = statisticsLayout(forward);
    const block = o.kernels === "portable" ? undefined : await blockLength();
    const update = { ...o, block, average: averageDecay !== undefined };
    const open = (graph: Graph): Promise<Session> =>
      (o.ownThread ? openThreadSession : openSession)(graph, {
        threads: o.threads,
        memoryPattern: false,
        where: "training graph",
      });
    const sessions: Sessions =
      accumulate === 1
        ? { whole: await open(stepGraph(forward, parameters, update)) }
        : {
            batch: await open(accumulationGraph(forward, parameters, { block })),
            update: await open(updateGraph(forward, parameters, update)),
          };
    const vectors: Record<string, Float32Array> = { [names.parameters]: gather(base, parameters) };
    for (const name of o.optimizer.states) vectors[name] = new Float32Array(parameters.length);
    if (statistics.length > 0) vectors[names.statistics] = gather(base, statistics);
    if (averageDecay !== undefined) {
      vectors[names.average] = gather(base, parameters);
      if (statistics.length > 0) vectors[names.averageStatistics] = gather(base, statistics);
    }
    return new Trainer(base, forward, parameters, statistics, sessions, o, { step: 0, vectors });
  }

  get state(): TrainerState {
    return this.current;
  }

  /** Goes on from a state that `state` gave earlier, for the same net and optimiser. */
  restore(state: TrainerState): void {
    for (const [name, vector] of Object.entries(this.current.vectors)) {
      if (state.vectors[name]?.length !== vector.length) {
        throw new TrainingError(
          "checkpoint-mismatch",
          `the checkpoint's "${name}" has ${state.vectors[name]?.length ?? "no"} values, this net needs ${vector.length}`,
          {
            hint: "train anew, or give the net and options that the checkpoint was made with",
          },
        );
      }
    }
    this.current = state;
  }

  /** What the step graph is fed for a batch, a teacher's answers included. May be prepared while an earlier step runs. */
  async prepare(batch: Batch): Promise<Record<string, Tensor>> {
    return {
      [this.forward.input]: floats(batch.data, batch.dims),
      ...(await this.forward.built.feeds(batch)),
    };
  }

  /** One step on one batch (on `accumulate` of them). Returns the mean loss before the step; see `stepOn`. */
  async step(batch: Batch | readonly Batch[], learningRate: number): Promise<number> {
    const list = "data" in batch ? [batch] : batch;
    return this.stepOn(await Promise.all(list.map((b) => this.prepare(b))), learningRate);
  }

  /**
   * One step on prepared batches. Returns the mean loss before the step; throws TrainingError when that or a new weight is not
   * finite, leaving the state as it was.
   */
  async stepOn(prepared: readonly Record<string, Tensor>[], learningRate: number): Promise<number> {
    const { accumulate = 1, averageDecay = 0, optimizer } = this.o;
    if (prepared.length !== accumulate)
      throw new UsageError("train-options", `a step takes ${accumulate} batches, got ${prepared.length}`);
    const { step, vectors } = this.current;
    const scalars: Record<string, Tensor> = {};
    for (const [name, value] of Object.entries(optimizer.scalars(step, learningRate))) scalars[name] = scalar(value);
    if (this.o.averageDecay !== undefined)
      scalars[updateScalars.averageDecay] = scalar(Math.min(averageDecay, (1 + step) / (10 + step)));
    const { results, loss } =
      "whole" in this.sessions
        ? await this.whole(this.sessions.whole, prepared[0], scalars)
        : await this.parts(this.sessions, prepared, scalars);
    if (!Number.isFinite(loss) || !Number.isFinite(toFloat32(results[names.total])[0])) {
      throw await divergence(this.forward, this.parameters, {
        step,
        loss,
        batches: prepared,
        parameters: vectors[names.parameters],
        threads: this.o.threads,
      });
    }
    const next = Object.fromEntries(Object.keys(vectors).map((name) => [name, toFloat32(results[names.next(name)])]));
    this.current = { step: step + 1, vectors: next };
    return loss;
  }

  private flat(...wanted: string[]): Record<string, Tensor> {
    const { vectors } = this.current;
    return Object.fromEntries(wanted.filter((name) => vectors[name]).map((name) => [name, floats(vectors[name])]));
  }

  private async whole(
    session: Session,
    prepared: Record<string, Tensor>,
    scalars: Record<string, Tensor>,
  ): Promise<{ results: Record<string, Tensor>; loss: number }> {
    const results = await session.run({ ...prepared, ...this.flat(...Object.keys(this.current.vectors)), ...scalars });
    return { results, loss: toFloat32(results[names.loss])[0] };
  }

  private async parts(
    { batch, update }: { batch: Session; update: Session },
    prepared: readonly Record<string, Tensor>[],
    scalars: Record<string, Tensor>,
  ): Promise<{ results: Record<string, Tensor>; loss: number }> {
    const statistics = this.statistics.length > 0;
    let accumulated: Tensor = floats(new Float32Array(this.parameters.length));
    let running = this.flat(names.statistics);
    let loss = 0;
    for (const feeds of prepared) {
      const results = await batch.run({
        ...feeds,
        ...this.flat(names.parameters),
        ...running,
        [names.accumulated]: accumulated,
      });
      accumulated = results[names.next(names.accumulated)];
      if (statistics) running = { [names.statistics]: results[names.next(names.statistics)] };
      loss += toFloat32(results[names.loss])[0] / prepared.length;
    }
    const averaged = this.o.averageDecay === undefined ? {} : running;
    const results = await update.run({
      ...this.flat(names.parameters, ...this.o.optimizer.states, names.average, names.averageStatistics),
      ...averaged,
      ...scalars,
      [names.accumulated]: accumulated,
      [updateScalars.share]: scalar(1 / prepared.length),
    });
    return {
      results: statistics ? { ...results, [names.next(names.statistics)]: running[names.statistics] } : results,
      loss,
    };
  }

  /** The given net with the present weights and running statistics, or their moving averages where those are kept. */
  graph(): Graph {
    return this.graphOf(this.current);
  }

  /** The given net with the weights of a state. */
  graphOf({ vectors }: TrainerState): Graph {
    const trained = scatter(this.base, this.parameters, vectors[names.average] ?? vectors[names.parameters]);
    if (this.statistics.length === 0) return trained;
    return scatter(trained, this.statistics, vectors[names.averageStatistics] ?? vectors[names.statistics]);
  }

  async dispose(): Promise<void> {
    for (const session of Object.values(this.sessions) as Session[]) await session.dispose();
  }
}
