/** What the stories (`fit`, `profile`, `inspect`, `validate`) are asked for. Types only; names equal those of the flags. */
import type { DeviceRunner } from "../runners/runner.js";
import type { Percentile } from "./budget.js";
import type { Dataset, PreprocessingFlags } from "./data/index.js";
import type { Progress } from "./graph/progress.js";

/** `local`, or a runner that the caller opened and will close. */
export type Device = "local" | (string & {}) | DeviceRunner;

/** Where the preprocessing of images comes from. Flags win over the file; the file wins over one found beside the model. */
export interface PreprocessOptions {
  /** A Hugging-Face-style `preprocessor_config.json`. Default: that file beside the model, if there is one. */
  file?: string;
  flags?: PreprocessingFlags;
}

/** What every long-running story takes. */
export interface CommonOptions {
  onProgress?: Progress;
  /** One sentence per condition that spoils a number or narrows a promise; also listed in the result. */
  onWarning?: (warning: string) => void;
  /** Receives the lines that the runtime itself writes, warnings included. Default: they are dropped. */
  onLog?: (line: string) => void;
  /** Told the address that a phone must open to be the device (`device: "phone"`). */
  onInvite?: (url: string) => void;
  /** Aborting rejects with the signal's reason, ends the workers and leaves no half-written file. */
  signal?: AbortSignal;
}

/** Devices that workers and hubs lend through Redis. */
export interface FleetOptions {
  /** `redis://HOST:PORT`, or `rediss://` for TLS. */
  queue: string;
  /** Folder that all machines of the queue see, for models and data. Default: the server of a hub on the queue. */
  blobs?: string;
  /** Devices that stand for each other. */
  deviceClass?: string;
}

/** What a story that measures takes. */
export interface DeviceOptions extends CommonOptions {
  /** Default `local`. */
  device?: Device;
  /** Threads of the runtime on the device. Default 1. */
  threads?: number;
  /** What computes on this machine: `cpu`, or `webgpu`, `cuda`, `directml`, `coreml`. Default: what the device's name says. */
  provider?: string;
  /** Whether nodes that the provider lacks may run on the processor. Default false: they are named and the run ends. */
  allowFallback?: boolean;
  /** The device is on a queue: any of `deviceClass`, or the one that `device` names. */
  fleet?: FleetOptions;
  /** Values of symbolic dimensions, e.g. `{ batch: 1 }`. */
  dims?: Record<string, number>;
  /** Every random choice derives from it. Default 1. */
  seed?: number;
  /** Folder of measured tables. Default: `edgefit` in the user's cache folder. */
  cacheDir?: string;
}

/**
 * How channels are ranked: least-squares reconstruction error, first-order Taylor, diagonal of the Hessian, magnitude of activations,
 * distance from the geometric median, batch-norm scale, weight norms, or by chance.
 */
export type Criterion = "reconstruction" | "taylor" | "hessian" | "activation" | "fpgm" | "bn" | "l1" | "l2" | "random";

export interface FitOptions extends DeviceOptions {
  /** Path of the ONNX file. */
  model: string;
  /** `8ms`, `60%` of the original's latency measured in the same run, or `30fps`. */
  budget: string;
  /** Which statistic must meet the budget. Default `p50`. */
  percentile?: Percentile;
  /** `FORMAT:PATH` (`cifar10:`, `imagefolder:` as the default, `npz:`) or an open data set. Absent: no accuracy, random calibration inputs. */
  data?: string | Dataset;
  preprocess?: PreprocessOptions;
  /** Epochs of distillation from the original. Default 0. */
  finetune?: number;
  /** Epochs of the same in INT8, with rounded weights and activations, where INT8 is chosen. Default 0. */
  qat?: number;
  /** `auto`: per layer, where the table says the device gains. Default `auto`. */
  int8?: "auto" | "off" | "on";
  /** Default `reconstruction`. */
  criterion?: Criterion;
  /** Whether branches of residual sums may be left out as a whole, or only narrowed. Default `drop`. */
  blocks?: "drop" | "keep";
  /** Images of the training part used for statistics and calibration. */
  calibrationImages?: number;
  /** At most this many images of the test part for accuracy. Default: all. */
  limit?: number;
  /** `30fps`: one inference per frame in every measurement that the budget is checked on. Default: calls in a row. */
  paced?: string;
  /** The device is a saved profile with a latency table and is not there: latencies are predicted. Default false. */
  offline?: boolean;
}

/** What a fit against a saved profile takes: nothing reaches the device. */
export interface OfflineOptions extends Omit<FitOptions, "device" | "offline"> {
  /** A device profile with a latency table (path or id), or the table's own file. */
  device: string;
}

export interface ProfileOptions extends DeviceOptions {
  model: string;
  /** Measure again although a table for this device and model is cached. Default false. */
  refresh?: boolean;
  /** Whether INT8 is measured beside fp32. Default `on`. */
  int8?: "off" | "on";
  /** Record calls of the whole model node by node. Default false. */
  trace?: boolean;
}

export interface InspectOptions {
  model: string;
  dims?: Record<string, number>;
}

export interface ValidateOptions extends DeviceOptions {
  /** One model, or two that are compared: the first is the reference. */
  models: readonly string[];
  data?: string | Dataset;
  preprocess?: PreprocessOptions;
  limit?: number;
  /** `30fps`: one inference per frame, as a camera asks for. Default: calls in a row. */
  paced?: string;
  /** `30min`: how long the last model is kept busy after everything else, to see it warm up. Default: not. */
  sustain?: string;
}

export interface QuantizeModelOptions extends CommonOptions {
  model: string;
  /** Images for calibration; needed unless `weightOnly`. */
  data?: string | Dataset;
  preprocess?: PreprocessOptions;
  /** Values of symbolic dimensions. */
  dims?: Record<string, number>;
  /** What the model is made for and timed on. Absent: rules for this machine, nothing is timed. */
  device?: Device;
  /** Threads of the runtime on the device. Default 1. */
  threads?: number;
  /** Default `qdq`. */
  format?: "qdq" | "qoperator";
  /** Type of activations. Default `u8`. */
  activations?: "u8" | "s8" | "u16" | "s16";
  /** Zero in the middle of every activation's grid. Default false. */
  symmetric?: boolean;
  /** Default `per-channel`. */
  weights?: "per-channel" | "per-tensor";
  /** 7-bit weights. `auto`: on x64 processors without VNNI. Default `auto`. */
  reduceRange?: "auto" | "on" | "off";
  /** `auto`: whichever brings the output nearest to float. Default `auto`. */
  ranges?: "auto" | "minmax" | "moving-average" | "percentile" | "entropy" | "mse";
  /** Of `ranges: "percentile"`. Default 99.99. */
  percentile?: number;
  /** `fast`: nearest rounding. `balanced`: equalisation where it helps, second-order rounding. `best`: learned rounding. Default `balanced`. */
  quality?: "fast" | "balanced" | "best";
  /** Cross-layer equalisation is tried. Default: as `quality` says. */
  equalize?: boolean;
  /** Default: as `quality` says. */
  rounding?: "nearest" | "gptq" | "adaround";
  /** The correction of biases is tried. Default true. */
  biasCorrection?: boolean;
  /** Points of accuracy (of agreement without labels) that may be lost on held-back training images; layers stay float for it. */
  maxDrop?: number;
  /** Names of nodes that stay float. */
  keepFloat?: readonly string[];
  /** 8-bit weights of matrix products, float activations; needs no data. */
  weightOnly?: boolean;
  /** Refused with the reason: see `docs/quantization-notes.md`. */
  dynamic?: boolean;
  /** Measures what every layer alone costs. Default false. */
  explain?: boolean;
  /** Calibration images. Default 512. */
  images?: number;
  /** At most this many test images for accuracy. Default: all. */
  limit?: number;
  /** Default 1. */
  seed?: number;
  cacheDir?: string;
}
