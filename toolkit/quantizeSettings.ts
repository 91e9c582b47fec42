/** From what a user asks for and what a device is to how a model is quantised. */
import type { DeviceFacts } from "../runners/index.js";
import { ModelError, UsageError } from "./graph/errors.js";
import type { Graph } from "./graph/graph.js";
import type { QuantizeModelOptions } from "./options.js";
import { needsReducedRange } from "./precision.js";
import type { IntegerType, NamedRepair, QuantizeOptions, RangeMethod } from "./quantize/index.js";
import { absorbBiases, crossLayerEqualization, type RoundingMethod } from "./quantize/repair/index.js";

const types: Record<NonNullable<QuantizeModelOptions["activations"]>, IntegerType> = {
  u8: "uint8",
  s8: "int8",
  u16: "uint16",
  s16: "int16",
};

/** Settings of `quantize`, all defaults filled in. */
export interface QuantizeSettings extends QuantizeOptions {
  activations: IntegerType;
  rounding: RoundingMethod;
  repairs: readonly NamedRepair[];
  biasCorrection: boolean;
  reduceRange: boolean;
}

const EQUALIZE: readonly NamedRepair[] = [
  { name: "cross-layer equalisation", run: crossLayerEqualization },
  { name: "bias absorption", run: absorbBiases },
];

const ROUNDING: Record<NonNullable<QuantizeModelOptions["quality"]>, RoundingMethod> = {
  fast: "nearest",
  balanced: "gptq",
  best: "adaround",
};

/** Why a device is not given integers at all; undefined where they are worth a look. */
export function noIntegersBecause({ kind }: DeviceFacts): string | undefined {
  if (kind === "web-webgpu" || kind === "node-webgpu")
    return "WebGPU has no integer kernels: Quantize and Dequantize would run beside float kernels";
  return undefined;
}

/**
 * Per-operator rules by runtime: x64 without VNNI gets 7-bit weights, as its kernels add pairs of u8 x s8 products in 16
 * bits; WASM and ARM64 add in 32. Activations are unsigned everywhere: ONNX Runtime on x64 leaves QDQ models with signed ones
 * unfused, and ARM64 has kernels for both.
 */
export function settingsOf(o: QuantizeModelOptions, facts: DeviceFacts): QuantizeSettings {
  const quality = o.quality ?? "balanced";
  const activations = types[o.activations ?? "u8"];
  const format = o.format ?? "qdq";
  return {
    format,
    activations,
    symmetric: o.symmetric ?? false,
    perTensor: o.weights === "per-tensor",
    reduceRange: o.reduceRange === "on" || (o.reduceRange !== "off" && needsReducedRange(facts)),
    method: methodOf(o),
    repairs: (o.equalize ?? quality !== "fast") ? EQUALIZE : [],
    rounding: o.rounding ?? ROUNDING[quality],
    biasCorrection: o.biasCorrection ?? true,
    floatEdges: quality !== "fast",
    keepFloat: new Set(o.keepFloat ?? []),
  };
}

function methodOf(o: QuantizeModelOptions): RangeMethod | "auto" {
  const kind = o.ranges ?? "auto";
  if (o.percentile !== undefined && kind !== "percentile") {
    throw new UsageError("percentile", "a percentile was given for ranges that are not found by percentiles", {
      where: `--ranges ${kind}`,
      hint: "add --ranges percentile",
    });
  }
  if (kind !== "percentile") return kind === "auto" ? kind : { kind };
  const percentile = o.percentile ?? 99.99;
  if (!(percentile > 50 && percentile <= 100)) {
    throw new UsageError("percentile", `a percentile lies above 50 and is at most 100, not ${percentile}`, {
      where: "--percentile",
    });
  }
  return { kind, percentile };
}

/** Throws ModelError `node-unknown` for a name in `keepFloat` that no node of the model has. */
export function checkNames(g: Graph, names: readonly string[]): void {
  const known = new Set(g.nodes.map((n) => n.name));
  const missing = names.find((n) => !known.has(n));
  if (missing === undefined) return;
  const close = g.nodes.map((n) => n.name).filter((n) => n.toLowerCase().includes(missing.toLowerCase()));
  throw new ModelError("node-unknown", `the model has no node "${missing}"`, {
    where: "--keep-float",
    hint:
      close.length > 0 ? `did you mean ${close.slice(0, 5).join(", ")}?` : "`edgefit inspect --ops` lists the nodes",
  });
}

/** Dynamic quantisation is refused: the reason is the point. Throws UsageError. */
export function refuseDynamic(): never {
  throw new UsageError(
    "dynamic-quantization",
    "dynamic quantisation turns convolutions into ConvInteger, which finds ranges anew in every call and runs slower than float",
    {
      where: "--dynamic",
      hint: "quantise statically (the default, needs --data), or use --weight-only for nets of matrix products",
    },
  );
}

/** A range method as people write it. */
export const methodName = (m: RangeMethod): string => (m.kind === "percentile" ? `percentile ${m.percentile}` : m.kind);
