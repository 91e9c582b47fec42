/** What is reported of a training run. */

/** One epoch. */
export interface TrainingEpoch {
  epoch: number;
  loss: number;
  learningRate: number;
  seconds: number;
  /** Share of the steps' time spent waiting for data. */
  waited: number | null;
  /** Accuracy on the held-out training images. */
  metric: number | null;
}

export interface TrainingReport {
  tool: { name: string; version: string };
  model: string;
  teacher: string | null;
  /** Counts of images: learned from, held out of the training part, test part. */
  data: { name: string; images: number; heldOut: number; test: number };
  recipe: { loss: string; optimizer: string; epochs: number; batchSize: number; seed: number };
  history: TrainingEpoch[];
  /** Whose weights were kept; null: the last one's. */
  bestEpoch: number | null;
  /** On the test part; null without labels. */
  accuracy: { before: number | null; after: number | null };
  seconds: number;
}
