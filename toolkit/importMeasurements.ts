/** Measurements that other tools made of a model, as a latency table: ONNX Runtime's profile, or TensorFlow Lite's benchmark_model. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { type NodeProfile, readProfileTrace } from "../runners/index.js";
import { readBenchmarkModel } from "./benchmarkModel.js";
import { EdgefitError, UsageError } from "./graph/errors.js";
import { attribute, type Kernel, kernelsOf, type LatencyTable, TABLE_VERSION } from "./latency/index.js";
import { shapingOf, symbolicOf } from "./profileDesign.js";
import { findGroups } from "./prune/groups.js";
import { openSubject } from "./subject.js";

export interface ImportMeasurementsOptions {
  /** Name for the device in the table. */
  id: string;
  /** The model that was measured, ONNX or TFLite. */
  model: string;
  /** The other tool's file. */
  from: string;
  /** Processor, as people write it. Default: not stated. */
  cpu?: string;
  /** Values of symbolic dimensions. */
  dims?: Record<string, number>;
  onWarning?: (warning: string) => void;
}

/**
 * A table of the model at its full widths, one row per kind of kernel and width. Neither tool says how long whole calls take without
 * its profiler, so the table's sum is the latency: ONNX Runtime's `model_run`, or the sum of TFLite's operators.
 * Throws UsageError for a file that is neither, or of another model; ModelError and DeviceError as reading does.
 */
export async function importMeasurements(o: ImportMeasurementsOptions): Promise<LatencyTable> {
  const subject = await openSubject({ model: o.model, ...(o.dims ? { dims: o.dims } : {}), integers: true });
  const groups = findGroups(subject.graph);
  const kernels = kernelsOf(subject.graph, symbolicOf(groups));
  const full = { widths: new Map(groups.prunable.map((g) => [g.id, g.width])), gone: new Set<string>() };
  const dims = shapingOf({ groups, branches: [] }).dims(full);
  const text = await readText(o.from);
  const source = sourceOf(text, o.from);
  const strays = unnamed(source.profile, kernels);
  const [all, lost] = [source.profile.nodes, strays].map((list) => list.reduce((s, n) => s + total(n.durationsUs), 0));
  if (all === 0 || lost > 0.5 * all) {
    throw new UsageError("import-model", "most of the measured time belongs to nodes that the model does not have", {
      where: o.from,
      hint: `give the very file that was measured with --model; unknown are ${names(strays)}`,
    });
  }
  if (lost > 0)
    o.onWarning?.(
      `${((100 * lost) / all).toFixed(1)} % of the time is of nodes that the model does not name (${names(strays)}): they count with the layer that reads them`,
    );
  const times = attribute(source.profile, kernels, dims);
  const calls = source.profile.callsUs.length;
  const sumUs = kernels.reduce((s, k) => s + times.get(k.id)!.us, 0);
  const precision = subject.graph.nodes.some((n) => /^Q(uantize)?Linear/.test(n.opType)) ? "int8" : "fp32";
  return {
    schemaVersion: TABLE_VERSION,
    device: {
      id: o.id,
      kind: "imported",
      fingerprint: createHash("sha256").update(text).digest("hex").slice(0, 16),
      cpu: o.cpu ?? "processor not stated",
      cores: 1,
      arch: "not stated",
      isa: [],
      emulated: false,
    },
    runtime: {
      package: source.runtime,
      version: "not stated",
      provider: source.profile.nodes[0].provider,
      threads: 1,
      graphOptimizationLevel: "all",
    },
    date: new Date().toISOString(),
    basis: "p50",
    seed: 0,
    rows: rowsOfOne(kernels, times, precision, dims, source.means ?? calls),
    nets: [],
    corrections: { [precision]: { scale: source.callUs / sumUs, perLaunchUs: 0, perCallUs: 0 } },
    quality: {},
    reference: { [precision]: source.callUs / 1000 },
  };
}

interface Source {
  runtime: string;
  profile: NodeProfile;
  /** A whole call. */
  callUs: number;
  /** Observations behind a mean that the tool made itself; null where every call is there. */
  means: number | null;
}

function sourceOf(text: string, where: string): Source {
  if (/^\s*\[/.test(text)) {
    const profile = readProfileTrace(text);
    const middle = Float64Array.from(profile.callsUs).sort()[profile.callsUs.length >> 1];
    return { runtime: "onnxruntime", profile, callUs: middle, means: null };
  }
  const operators = readBenchmarkModel(text, where);
  const callUs = operators.reduce((s, op) => s + 1000 * op.ms, 0);
  const nodes = operators.map((op) => ({
    name: op.outputs[0] ?? "",
    opType: op.type,
    provider: "TFLite",
    inputDims: [],
    outputDims: [],
    durationsUs: Float64Array.of(1000 * op.ms),
  }));
  return { runtime: "tflite", profile: { nodes, callsUs: Float64Array.of(callUs) }, callUs, means: 1 };
}

/** Nodes that no kernel's name explains, layout changes of the runtime aside. */
function unnamed(profile: NodeProfile, kernels: readonly Kernel[]): NodeProfile["nodes"] {
  const known = kernels.flatMap((k) => [...k.nodes, ...k.made]);
  return profile.nodes.filter(
    (n) => !/^(Reorder(In|Out)put|Transpose|Cast)$/.test(n.opType) && !known.some((name) => n.name.startsWith(name)),
  );
}

function rowsOfOne(
  kernels: readonly Kernel[],
  times: ReturnType<typeof attribute>,
  precision: "fp32" | "int8",
  dims: Parameters<typeof attribute>[2],
  n: number,
): LatencyTable["rows"] {
  const rows = new Map<string, { key: string; widths: number[]; us: number[]; launches: number[] }>();
  for (const k of kernels) {
    const { key, widths } = k.signature(dims);
    const id = `${key}|${widths.join()}`;
    const row = rows.get(id) ?? { key, widths: [...widths], us: [], launches: [] };
    rows.set(id, row);
    row.us.push(times.get(k.id)!.us);
    row.launches.push(times.get(k.id)!.launches);
  }
  return [...rows.values()].map(({ key, widths, us, launches }) => {
    const [mean, runs] = [total(us) / us.length, total(launches) / launches.length];
    const variance = us.length > 1 ? total(us.map((v) => (v - mean) ** 2)) / (us.length - 1) : 0;
    return {
      key,
      widths,
      precision,
      us: mean,
      launches: runs,
      n: n * us.length,
      spread: mean > 0 ? Math.sqrt(variance) / mean : 0,
    };
  });
}

const total = (values: ArrayLike<number>): number => Array.from(values).reduce((s, v) => s + v, 0);
const names = (nodes: NodeProfile["nodes"]): string =>
  nodes.length > 3
    ? `${names(nodes.slice(0, 3))} and ${nodes.length - 3} more`
    : nodes.map((n) => `${n.opType} "${n.name}"`).join(", ");

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new EdgefitError("import-unreadable", `the measurements cannot be read: ${(cause as Error).message}`, {
      where: basename(path),
      cause,
    });
  }
}
