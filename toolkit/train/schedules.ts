/** Learning rates over the course of a training run: pure functions of the step. */
import { UsageError } from "../graph/errors.js";

/** Learning rate for step `step` (from 0) of `total`. */
export type Schedule = (step: number, total: number) => number;

/** Throws UsageError unless `v` is a share. */
function share(name: string, v: number): number {
  if (!(v >= 0 && v <= 1))
    throw new UsageError("schedule-options", `${name} is a share of all steps, from 0 to 1, got ${v}`);
  return v;
}

/** Half a cosine from `from` to `to` while `progress` goes from 0 to 1. */
const halfCosine = (from: number, to: number, progress: number): number =>
  to + 0.5 * (from - to) * (1 + Math.cos(Math.PI * progress));

/** Where `step` lies between the end of the climb and the last step. */
const progressAfter = (climb: number, step: number, total: number): number =>
  total - climb > 1 ? (step - climb) / (total - climb - 1) : 0;

/** The same rate throughout. */
export const constantSchedule =
  (learningRate: number): Schedule =>
  () =>
    learningRate;

/** A schedule after a linear climb from almost nothing over the first `warmup` (share of all steps). */
export function withWarmup(schedule: Schedule, warmup: number): Schedule {
  share("warmup", warmup);
  return (step, total) => {
    const climb = Math.round(warmup * total);
    return step < climb ? (schedule(climb, total) * (step + 1)) / climb : schedule(step, total);
  };
}

export interface CosineOptions {
  /** Rate at the end of the warm-up. */
  learningRate: number;
  /** Share of all steps over which the rate climbs linearly from almost nothing. Default 0. */
  warmup?: number;
  /** Rate at the last step. Default 0. */
  final?: number;
}

/** Linear warm-up, then half a cosine down (Loshchilov and Hutter, SGDR, ICLR 2017, without restarts). */
export function cosineSchedule(o: CosineOptions): Schedule {
  const { learningRate, warmup = 0, final = 0 } = o;
  share("warmup", warmup);
  return (step, total) => {
    const climb = Math.round(warmup * total);
    if (step < climb) return (learningRate * (step + 1)) / climb;
    return halfCosine(learningRate, final, progressAfter(climb, step, total));
  };
}

export interface StepOptions {
  learningRate: number;
  /** Shares of all steps at which the rate drops. Default at one half and three quarters. */
  at?: readonly number[];
  /** What the rate is multiplied by at each drop. Default 0.1. */
  factor?: number;
}

/** Constant, with sudden drops (He et al. 2016). */
export function stepSchedule(o: StepOptions): Schedule {
  const { learningRate, at = [0.5, 0.75], factor = 0.1 } = o;
  for (const a of at) share("at", a);
  return (step, total) => learningRate * factor ** at.filter((a) => step >= Math.round(a * total)).length;
}

export interface OneCycleOptions {
  /** The largest rate. */
  learningRate: number;
  /** Share of all steps over which the rate climbs. Default 0.3. */
  warmup?: number;
  /** First rate. Default a 25th of the largest. */
  initial?: number;
  /** Last rate. Default a 10,000th of the first. */
  final?: number;
}

/** Up along half a cosine and down along another to almost nothing (Smith and Topin 2018; PyTorch's defaults). */
export function oneCycleSchedule(o: OneCycleOptions): Schedule {
  const { learningRate, warmup = 0.3, initial = learningRate / 25, final = initial / 1e4 } = o;
  share("warmup", warmup);
  return (step, total) => {
    const peak = Math.max(0, warmup * total - 1);
    if (step < peak) return halfCosine(initial, learningRate, step / peak);
    return halfCosine(learningRate, final, total - 1 > peak ? (step - peak) / (total - 1 - peak) : 0);
  };
}

export interface RetrainingOptions {
  /** The largest rate of the original training. */
  learningRate: number;
  /** The smallest rate of the original training, at which the climb begins and the cosine ends. Default a 100th of the largest. */
  lowest?: number;
  /** Share of all steps of the climb. Default 0.1. */
  warmup?: number;
}

/**
 * Retraining of a pruned net (Le and Hua, "Network Pruning That Matters", ICLR 2021, "CLR"): a short linear climb from the
 * lowest rate of the original training to its highest, then a cosine back to the lowest.
 */
export function retrainingSchedule(o: RetrainingOptions): Schedule {
  const { learningRate, lowest = learningRate / 100, warmup = 0.1 } = o;
  share("warmup", warmup);
  return (step, total) => {
    const climb = Math.round(warmup * total);
    if (step < climb) return lowest + ((learningRate - lowest) * step) / climb;
    return halfCosine(learningRate, lowest, progressAfter(climb, step, total));
  };
}

/**
 * Learning-rate rewinding (Renda, Frankle, Carbin, ICLR 2020): the last steps of the original training's schedule over again.
 * @param part share of the original steps that is run again
 */
export function rewoundSchedule(original: Schedule, part: number): Schedule {
  if (!(share("part", part) > 0)) throw new UsageError("schedule-options", "part must be above 0");
  return (step, total) => {
    const whole = Math.round(total / part);
    return original(whole - total + step, whole);
  };
}
