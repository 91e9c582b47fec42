/** The account of a method's computation, so that methods are compared at equal cost of training. */
import { UsageError } from "../graph/errors.js";

/** A point of a method's course. */
export interface HistoryPoint {
  /** Gradient steps so far. */
  step: number;
  phase: Phase;
  loss: number;
  learningRate: number;
}

/** What the steps were for: finding the net, or training what was found. */
export type Phase = "search" | "retrain";

/** What a run cost. */
export interface Spent {
  /** Forward and backward passes of one batch. */
  search: number;
  retrain: number;
  /** Images in forward passes alone (evaluations, statistics). */
  forwardImages: number;
}

/**
 * Counts gradient steps (forward and backward pass of one batch of the recipe's size; a step on k accumulated batches or k sub-nets is
 * k) and images that only went forward. A forward pass is a third of a step: the backward pass takes about twice its time.
 */
export class StepMeter {
  private readonly spentSteps = { search: 0, retrain: 0 };
  private images = 0;
  private readonly points: HistoryPoint[] = [];

  /**
   * @param total steps that the method may spend, forward passes included
   * @param batchSize images of one step
   */
  constructor(
    readonly total: number,
    readonly batchSize: number,
  ) {
    if (!(Number.isInteger(total) && total >= 0))
      throw new UsageError("steps", `the number of steps must be a whole number from 0, got ${total}`);
  }

  /** Gradient steps done, of whole batches unless `images` says otherwise. */
  step(phase: Phase, count = 1, images = this.batchSize): void {
    this.spentSteps[phase] += (count * images) / this.batchSize;
  }

  /** Images that went forward without a backward pass. */
  forward(images: number): void {
    this.images += images;
  }

  /** A point of the history, at the present step. */
  note(phase: Phase, loss: number, learningRate: number): void {
    this.points.push({ step: this.spentSteps.search + this.spentSteps.retrain, phase, loss, learningRate });
  }

  /** Steps that are left, whole ones. Never below 0. */
  get left(): number {
    return Math.max(0, Math.floor(this.total - this.used + 1e-9));
  }

  /** Steps that were spent, forward passes as their share of a step. */
  get used(): number {
    return this.spentSteps.search + this.spentSteps.retrain + this.images / (3 * this.batchSize);
  }

  get spent(): Spent {
    return { ...this.spentSteps, forwardImages: this.images };
  }

  get history(): readonly HistoryPoint[] {
    return this.points;
  }
}
