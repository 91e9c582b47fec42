/** A net that is being trained: the step graph in a session, and the vectors that go round from step to step. */
import type { Batch } from "../data/dataset.js";
import { cloneGraph, type Graph } from "../graph/graph.js";
import { floats, scalar, type Tensor, toFloat32 } from "../graph/tensor.js";
import { tidy } from "../graph/tidy.js";
import { openSession, type Session } from "../runtime/session.js";
import { TrainingError } from "./errors.js";
import { type BatchNormMode, buildForward, type Forward } from "./forward.js";
import type { Loss } from "./losses.js";
import type { Optimizer } from "./optimizers.js";
import { findParameters, gather, type Layout, scatter } from "./parameters.js";
import { gradientGraph, names, stepGraph } from "./step.js";

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
  /** Names of constants that stay as they are. */
  freeze?: (name: string) => boolean;
  /** Factors of a constant's changes; see `StepOptions`. */
  rate?: (name: string) => number | Float32Array | undefined;
  threads?: number;
}

/** Everything that changes from step to step. */
export interface TrainerState {
  step: number;
  /** Flat vectors by name: `parameters`, `statistics` and the optimiser's states. */
  vectors: Readonly<Record<string, Float32Array>>;
}

export class Trainer {
  private constructor(
    /** The tidy net that was given. */
    private readonly base: Graph,
    private readonly forward: Forward,
    readonly parameters: Layout,
    private readonly statistics: Layout,
    private readonly session: Session,
    private readonly o: TrainerOptions,
    private current: TrainerState,
  ) {}

  /** Generates the step graph and loads it. Throws ModelError when something on the way to a parameter has no gradient. */
  static async open(o: TrainerOptions): Promise<Trainer> {
    const base = tidy(o.graph);
    const forward = buildForward(base, o.batchDims, o.loss, o.batchNorm ?? "batch");
    const parameters = findParameters(base, forward.graph, o.freeze);
    const { graph, statistics } = stepGraph(forward, parameters, o);
    const session = await openSession(graph, { threads: o.threads, where: "training graph" });
    const vectors: Record<string, Float32Array> = { [names.parameters]: gather(base, parameters) };
    for (const name of o.optimizer.states) vectors[name] = new Float32Array(parameters.length);
    if (statistics.length > 0) vectors[names.statistics] = gather(base, statistics);
    return new Trainer(base, forward, parameters, statistics, session, o, { step: 0, vectors });
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

  /** One step on one batch. Returns the loss before the step; throws TrainingError when it is not finite, leaving the state as it was. */
  async step(batch: Batch, learningRate: number): Promise<number> {
    const { step, vectors } = this.current;
    const feeds = await this.batchFeeds(batch);
    const inputs: Record<string, Tensor> = { ...feeds };
    for (const [name, vector] of Object.entries(vectors)) inputs[name] = floats(vector);
    for (const [name, value] of Object.entries(this.o.optimizer.scalars(step, learningRate)))
      inputs[name] = scalar(value);
    const results = await this.session.run(inputs);
    const loss = toFloat32(results[names.loss])[0];
    if (!Number.isFinite(loss)) throw await this.divergence(step, loss, feeds);
    const next = Object.fromEntries(Object.keys(vectors).map((name) => [name, toFloat32(results[names.next(name)])]));
    this.current = { step: step + 1, vectors: next };
    return loss;
  }

  /** The given net with the present weights and running statistics. */
  graph(): Graph {
    const { vectors } = this.current;
    const trained = scatter(this.base, this.parameters, vectors[names.parameters]);
    return this.statistics.length > 0 ? scatter(trained, this.statistics, vectors[names.statistics]) : trained;
  }

  async dispose(): Promise<void> {
    await this.session.dispose();
  }

  private async batchFeeds(batch: Batch): Promise<Record<string, Tensor>> {
    return { [this.forward.input]: floats(batch.data, batch.dims), ...(await this.forward.built.feeds(batch)) };
  }

  /** Looks for the first value of the forward pass that is not finite, to name it. */
  private async divergence(step: number, loss: number, feeds: Record<string, Tensor>): Promise<TrainingError> {
    const graph = cloneGraph(gradientGraph(this.forward, this.parameters));
    const values = this.forward.graph.nodes.map((n) => n.outputs[0]);
    graph.outputs = values.map((name) => ({ name, type: { elemType: "float32" } }));
    const session = await openSession(graph, { threads: this.o.threads, level: "disabled", where: "training graph" });
    let first: string | undefined;
    try {
      const results = await session.run({
        ...feeds,
        [names.parameters]: floats(this.current.vectors[names.parameters]),
      });
      first = values.find(
        (name) => results[name].data instanceof Float32Array && results[name].data.some((v) => !Number.isFinite(v)),
      );
    } finally {
      await session.dispose();
    }
    const which = first ? `; the first value that is not finite is "${first}"` : "";
    return new TrainingError("loss-not-finite", `training step ${step}: the loss is ${loss}${which}`, {
      where: first,
      hint: "lower the learning rate, lengthen the warm-up, or limit the gradient's norm",
    });
  }
}
