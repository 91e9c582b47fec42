/**
 * What a pruning method is: it is given a trained net, a cost it must reach and a number of training steps it may spend, and gives back
 * a smaller, plain net. Methods measure no device and read no file; everything they may use comes in the context.
 */
import type { Split } from "../data/dataset.js";
import type { Graph } from "../graph/graph.js";
import type { Progress } from "../graph/progress.js";
import type { ChannelGroups, Widths } from "../prune/groups.js";
import type { AugmentOptions, Loss, Optimizer, Schedule } from "../train/index.js";
import type { HistoryPoint, Phase, Spent, StepMeter } from "./stepMeter.js";

export type { HistoryPoint, Phase, Spent } from "./stepMeter.js";

/** One kernel (in MACs: one node) of the net; the cost of a net is the sum of its parts and `Cost.fixed`. */
export interface CostPart {
  /** Name of the node that the kernel is built around. */
  id: string;
  /** Prunable groups whose widths it depends on; none for what no cut changes. */
  groups: readonly string[];
  /** In `Cost.unit`, at widths of at least `groups`. */
  of(widths: Widths): number;
}

/** What a net costs as a function of its widths, in milliseconds of the device's table or in multiply-accumulates. */
export interface Cost {
  unit: "ms" | "MACs";
  /** Of the uncut net. */
  original: number;
  /** What the method's net may cost at most. */
  target: number;
  /**
   * Cost at these widths; groups that are not named have their full width, width 0 is not allowed.
   * @param gone names of nodes that the net no longer has (branches that were left out)
   */
  of(widths: Widths, gone?: ReadonlySet<string>): number;
  parts: readonly CostPart[];
  /** What no part accounts for. */
  fixed: number;
}

/** How nets are trained here: the recipe that the original was trained with, as far as it is known. */
export interface Recipe {
  batchSize: number;
  /** The largest rate of the original training; retraining schedules climb to it. */
  learningRate: number;
  /** Of weights; biases and normalisation are left alone. */
  weightDecay: number;
  /** A fresh optimiser. Default of contexts: SGD with Nesterov's momentum of 0.9. */
  optimizer(): Optimizer;
  /** A fresh loss for retraining: cross-entropy with the labels, or what the caller of all methods chose for them alike. */
  loss(): Loss;
  augment?: AugmentOptions;
  /** Of the runtime. Default: as many as the process may use. */
  threads?: number;
  /** Steps run in a thread of their own, so that data is prepared meanwhile. Default true. */
  ownThread?: boolean;
}

export interface MethodContext {
  /** The trained original: tidy, shapes inferred, one image input, batch normalisation behind its convolutions. */
  graph: Graph;
  groups: ChannelGroups;
  /**
   * Widths worth choosing per prunable group, ascending, ending with the full one: edges of plateaus of the device's table, or
   * every width of a grid where cost is counted in MACs.
   */
  candidates: ReadonlyMap<string, readonly number[]>;
  cost: Cost;
  /** Learned from. */
  train: Split;
  /** Training images that are held out: choices are made on these. No method sees a test image. */
  holdOut: Split;
  /** A net to learn from; by default the original. */
  teacher: Graph;
  recipe: Recipe;
  /** Budget and account of steps. `trainSteps` and `accuracyOf` count by themselves; own loops must tell it. */
  meter: StepMeter;
  /** Every random choice derives from it. */
  seed: number;
  /**
   * Cost of a net as it is, in `cost.unit`: measured on the device beside the original, or counted. Expensive (about a second);
   * for methods that are defined by measuring, and to aim at the target with few calls.
   */
  measure(graph: Graph): Promise<number>;
  /** Settings of the method by name (`rounds`, `schedule`, …), checked by the method. Empty: its defaults. */
  settings: Readonly<Record<string, string | number | boolean>>;
  /** Folder for checkpoints of long steps; absent: none are written. */
  folder?: string;
  onProgress?: Progress;
  /** One sentence per condition that narrows what the result says. */
  onNote?: (note: string) => void;
  signal?: AbortSignal;
}

/** What a method gives back. */
export interface MethodNet {
  /** Plain ONNX: the interface of the original, no gates, masks or helpers left. */
  graph: Graph;
  /** Of every prunable group of the original; 0 where a branch is left out with the group. Absent: the net is of another shape. */
  widths?: Widths;
  /** Facts that a reader of its figures needs, one sentence each. */
  notes?: readonly string[];
}

export interface PruningMethod {
  /** What `--methods` calls it: lower case, hyphens. */
  name: string;
  /** A few words for tables: `network slimming`. */
  title: string;
  /** Authors, title, venue, year; empty for baselines. */
  paper: string;
  /** One or two sentences: what it does, settings with their defaults. */
  describe: string;
  /** Names of the settings it knows, with one line each. */
  settings?: Readonly<Record<string, string>>;
  /** Rejects with UsageError for settings it cannot use and for a target it cannot reach (`target-unreachable`). */
  run(c: MethodContext): Promise<MethodNet>;
}

export interface MethodResult extends MethodNet {
  method: string;
  steps: Spent;
  history: readonly HistoryPoint[];
  notes: readonly string[];
  seconds: number;
}

/** A part of a training run of a given number of steps. */
export interface TrainStepsOptions {
  steps: number;
  phase: Phase;
  /** Default: the recipe's retraining schedule (`retrainingSchedule` at the recipe's rate). */
  schedule?: Schedule;
  /** Default: the recipe's. */
  loss?: Loss;
  /** Default: the recipe's. */
  optimizer?: Optimizer;
  /** Default: the recipe's. */
  batchSize?: number;
  /** Names of constants that stay as they are. */
  freeze?: (name: string) => boolean;
  /** Factors of a constant's changes, one for all its elements or one each; 0 keeps an element exactly. */
  rate?: (name: string) => number | Float32Array | undefined;
  batchNorm?: "batch" | "running";
  /** Tells this run from others of the method: different numbers see different orders of images. Default 0. */
  run?: number;
  /** What progress calls it. Default: the phase. */
  stage?: string;
  /** Data other than the context's. */
  data?: Split;
}
