/** Schedules for the training after a cut, by the names that the literature has for them. */
import { UsageError } from "../graph/errors.js";
import { constantSchedule, retrainingSchedule, type Schedule, stepSchedule, withWarmup } from "../train/index.js";

export const retrainingNames = ["cyclic", "fine-tune", "rewinding", "scaled"] as const;
export type RetrainingName = (typeof retrainingNames)[number];

/**
 * The four ways compared by Le and Hua, "Network Pruning That Matters: A Case Study on Retraining Variants", ICLR 2021 (their
 * settings for CIFAR-10: original rates from 0.1 down to 0.001, 72 epochs of retraining).
 *
 * - `fine-tune`: the last rate of the original training, a hundredth of the largest, throughout.
 * - `rewinding` (Renda, Frankle, Carbin, ICLR 2020): the rates of the original's last epochs again: a tenth of the largest, then,
 *   after 32 of 72 epochs, a hundredth.
 * - `scaled`: the original schedule squeezed into the retraining: a climb to the largest rate, a tenth of it from one half and a
 *   hundredth from three quarters.
 * - `cyclic`: a climb from the lowest to the largest rate over a tenth of the steps, then a cosine down.
 *
 * @param learningRate the largest rate of the original training
 */
export function retrainingBy(name: string, learningRate: number): Schedule {
  switch (name) {
    case "fine-tune":
      return constantSchedule(learningRate / 100);
    case "rewinding":
      return stepSchedule({ learningRate: learningRate / 10, at: [32 / 72] });
    case "scaled":
      return withWarmup(stepSchedule({ learningRate }), 0.1);
    case "cyclic":
      return retrainingSchedule({ learningRate });
    default:
      throw new UsageError("method-setting", `there is no retraining schedule "${name}"`, {
        hint: `the schedules are ${retrainingNames.join(", ")}`,
      });
  }
}
