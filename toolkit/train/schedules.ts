/** Learning rates over the course of a training run: pure functions of the step. */

/** Learning rate for step `step` (from 0) of `total`. */
export type Schedule = (step: number, total: number) => number;

/** The same rate throughout. */
export const constantSchedule =
  (learningRate: number): Schedule =>
  () =>
    learningRate;

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
  return (step, total) => {
    const climb = Math.round(warmup * total);
    if (step < climb) return (learningRate * (step + 1)) / climb;
    const progress = total - climb > 1 ? (step - climb) / (total - climb - 1) : 0;
    return final + 0.5 * (learningRate - final) * (1 + Math.cos(Math.PI * progress));
  };
}
