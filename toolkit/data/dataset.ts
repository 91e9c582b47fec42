/**
 * What the toolkit needs of a data set: two splits that serve preprocessed batches. Formats live in their own files.
 */

/** Preprocessed images and their labels. */
export interface Batch {
  /** Row-major `dims` = [n, ...image dims] in the layout of the model's input. */
  data: Float32Array;
  dims: readonly number[];
  /** Class indices; absent when the data set has no labels. */
  labels?: Int32Array;
  /** Numbers that the net's outputs should have, row-major [n, …]: by the output's name, or `y` for the only output. */
  targets?: Readonly<Record<string, Float32Array>>;
  /** Set where each item is a blend of two (mixup): its own share of it, and the other's label where there are labels. */
  mixed?: { shares: Float32Array; labels?: Int32Array };
}

/** One part of a data set. Items are addressed by index; order is fixed. */
export interface Split {
  readonly count: number;
  readonly labelled: boolean;
  /** Loads, decodes and preprocesses the given items. */
  batch(indices: ArrayLike<number>): Promise<Batch>;
}

export interface Dataset {
  /** As the user gave it: `cifar10:PATH`. */
  name: string;
  /** Names of the classes, where the format has them. */
  classes?: readonly string[];
  /** Calibration, statistics and fine-tuning read this part only. */
  train: Split;
  /** Accuracy is measured on this part only. */
  test: Split;
  /** Items that could not be decoded, by name: skipped and counted. */
  skipped: readonly { item: string; reason: string }[];
}

/** How an image becomes a model input. Field names follow Hugging Face's `preprocessor_config.json`. */
export interface Preprocessing {
  /** Height and width that the model wants. */
  size: { height: number; width: number };
  /** Factor applied to 0..255 first; 1/255 gives 0..1, 1 keeps raw bytes. */
  rescaleFactor: number;
  imageMean: readonly number[];
  imageStd: readonly number[];
  channelOrder: "rgb" | "bgr" | "gray";
  layout: "nchw" | "nhwc";
  resample: "nearest" | "bilinear" | "bicubic" | "lanczos";
  /** `stretch` ignores the aspect ratio; `crop` resizes the short side and cuts the centre. */
  fit: "stretch" | "crop";
  /** Size before the centre crop of `fit: "crop"`; absent: the smallest that covers `size`. `"none"`: never resampled. */
  resizeTo?: { shortestEdge: number } | { height: number; width: number } | "none";
}
