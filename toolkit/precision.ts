/** INT8 as the stories use it: quantise a net with its calibration images, and make quick variants of sub-nets for timing. */
import type { DeviceFacts } from "../runners/index.js";
import type { Graph } from "./graph/graph.js";
import type { Tensor } from "./graph/tensor.js";
import { writeModel } from "./onnx/index.js";
import type { CommonOptions } from "./options.js";
import {
  chooseMixedPrecision,
  type ImageBatch,
  outputSqnrDb,
  placeQdq,
  prepareForQuantization,
  type QuantizeResult,
  quantize,
  type Ranges,
  sensitivity,
  worstDb,
} from "./quantize/index.js";

/** Outputs nearer to float than this are taken as they are; below it, the most harmful layers go back to float. */
const SAFE_DB = 20;

async function* asImages(batches: readonly Tensor[]): AsyncIterable<ImageBatch> {
  for (const t of batches) yield { data: t.data as Float32Array, dims: t.dims };
}

/**
 * x64 processors without VNNI add pairs of 8-bit products in 16 bits, which saturate; 7-bit weights do not
 * (onnxruntime quantisation documentation, "reduce_range").
 */
export const needsReducedRange = ({ kind, os, hardware }: DeviceFacts): boolean =>
  kind === "node-cpu" && os.arch === "x64" && !hardware.isa.some((i) => /vnni|amx_int8/.test(i));

export interface Int8Options extends CommonOptions {
  calibration: readonly Tensor[];
  reduceRange: boolean;
  /** Nodes whose kernel is no faster in INT8, by the table. */
  notFaster?: ReadonlySet<string>;
  /** Milliseconds that a node saves in INT8; decides which harmful layer goes back to float first. */
  gainMs?: (node: string) => number;
}

export interface Int8Result {
  graph: Graph;
  /** The float net that it was placed on. */
  prepared: Graph;
  ranges: Ranges;
  /** Worst output against float, in decibels, on held-back calibration images. */
  sqnrDb: number;
  /** Nodes left in float, with the reason. */
  keptFloat: ReadonlyMap<string, "not-faster" | "not-safe">;
}

/** Static INT8 with bias correction; layers go back to float where integers do not pay or where the output suffers. */
export async function toInt8(g: Graph, o: Int8Options): Promise<Int8Result> {
  const settings = { reduceRange: o.reduceRange, signal: o.signal, progress: o.onProgress };
  const keepFloat = new Set(o.notFaster ?? []);
  const result = await quantize(g, asImages(o.calibration), { ...settings, keepFloat });
  const sqnrDb = worstDb(result.sqnrDb);
  const keptFloat = new Map([...keepFloat].map((n) => [n, "not-faster"] as const));
  if (sqnrDb >= SAFE_DB)
    return { graph: result.graph, prepared: result.prepared, ranges: result.ranges, sqnrDb, keptFloat };
  return mixed(result, o, keepFloat);
}

async function mixed(result: QuantizeResult, o: Int8Options, keepFloat: ReadonlySet<string>): Promise<Int8Result> {
  const place = (kept: ReadonlySet<string>) =>
    placeQdq(result.prepared, result.ranges, {
      keepFloat: kept,
      reduceRange: o.reduceRange,
      biasShifts: result.biasShifts,
    });
  const harm = await sensitivity(result.prepared, result.ranges, result.reference, {
    mode: "alone",
    reduceRange: o.reduceRange,
    progress: o.onProgress,
    signal: o.signal,
  });
  const choice = await chooseMixedPrecision(harm, {
    gainMs: (node) => (keepFloat.has(node) ? 0 : Math.max(1e-6, o.gainMs?.(node) ?? 1)),
    floorDb: SAFE_DB,
    measure: async (kept) => worstDb(await outputSqnrDb(place(kept), result.reference)),
  });
  return {
    graph: place(choice.keepFloat),
    prepared: result.prepared,
    ranges: result.ranges,
    sqnrDb: choice.sqnrDb,
    keptFloat: choice.reasons,
  };
}

/** An INT8 model of a sub-net with the ranges of the whole net: right for timing, not for accuracy. */
export function timingVariant(
  g: Graph,
  ranges: Ranges,
  reduceRange: boolean,
  keepFloat?: ReadonlySet<string>,
): Uint8Array {
  return writeModel(placeQdq(prepareForQuantization(g), ranges, { reduceRange, ...(keepFloat ? { keepFloat } : {}) }));
}
