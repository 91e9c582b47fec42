/** Devices, for the toolkit: the interface, the local runner, and what is computed from what they return. */
export { DeviceError } from "./errors.js";
export { fingerprint } from "./fingerprint.js";
export { assertGolden, type GoldenResult, goldenCheck, type Tolerance } from "./golden.js";
export { machineFacts } from "./node/facts.js";
export { type LocalOptions, type LocalRunner, type MemoryUse, measureMemory, openLocalRunner } from "./node/index.js";
export { describeFallen } from "./placement.js";
export { readProfileTrace } from "./profileTrace.js";
export { differsFrom, resolveDevice } from "./resolve.js";
export type {
  DeviceFacts,
  DeviceRunner,
  Feeds,
  GraphOptimizationLevel,
  LoadedModel,
  LoadOptions,
  MeasureJob,
  Measurement,
  NodeProfile,
  NodeTime,
  Saturation,
  WireTensor,
} from "./runner.js";
export {
  type BootstrapOptions,
  type LatencySummary,
  median,
  pairedRatio,
  quantile,
  type Ratio,
  summarize,
} from "./stats.js";
