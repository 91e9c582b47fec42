/**
 * Reads the profile that ONNX Runtime writes: a JSON array of Chrome trace events with integer microseconds. Pure.
 * Node events are assigned to calls by time, so that a node inside a loop body counts once per call with its whole time.
 */
import { DeviceError } from "./errors.js";
import type { NodeProfile, NodeTime } from "./runner.js";

interface TraceEvent {
  cat?: string;
  name?: string;
  ts?: number;
  dur?: number;
  args?: Record<string, unknown>;
}

const SUFFIX = "_kernel_time";

/**
 * Per-node times of the calls after the first `warmup` ones, nodes in order of execution.
 * Throws DeviceError when the text is no trace, holds fewer calls than `warmup + calls` (the runtime stops recording after a
 * million events), or holds no node.
 */
export function readTrace(text: string, calls: number, warmup: number): NodeProfile {
  const events = parse(text);
  const runs = events.filter((e) => e.cat === "Session" && e.name === "model_run").sort((a, b) => a.ts - b.ts);
  if (runs.length < warmup + calls) {
    throw new DeviceError(
      "profile-truncated",
      `the runtime recorded ${runs.length} calls of ${warmup + calls} in its profile`,
      {
        hint: "profile fewer calls at a time",
      },
    );
  }
  const kept = runs.slice(warmup, warmup + calls);
  const kernels = events.filter((e) => e.cat === "Node" && e.name.endsWith(SUFFIX)).sort((a, b) => a.ts - b.ts);

  const nodes = new Map<string, Omit<NodeTime, "durationsUs"> & { durationsUs: Float64Array }>();
  let call = 0;
  for (const e of kernels) {
    while (call < kept.length && kept[call].ts + kept[call].dur < e.ts) call++;
    if (call === kept.length) break;
    if (e.ts < kept[call].ts) continue; // in a warm-up
    const key = `${e.args.node_index}/${e.name}`;
    let node = nodes.get(key);
    if (!node) {
      node = {
        name: e.name.slice(0, -SUFFIX.length),
        opType: String(e.args.op_name ?? ""),
        provider: String(e.args.provider ?? ""),
        inputDims: dims(e.args.input_type_shape),
        outputDims: dims(e.args.output_type_shape),
        durationsUs: new Float64Array(calls),
      };
      nodes.set(key, node);
    }
    node.durationsUs[call] += e.dur;
  }
  if (nodes.size === 0) throw new DeviceError("profile-empty", "the runtime's profile names no node");
  return { nodes: [...nodes.values()], callsUs: Float64Array.from(kept, (e) => e.dur) };
}

function parse(text: string): Required<TraceEvent>[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DeviceError("profile-unreadable", "the runtime's profile is not JSON", { cause });
  }
  if (!Array.isArray(value))
    throw new DeviceError("profile-unreadable", "the runtime's profile is not a list of trace events");
  return value
    .filter(
      (e: TraceEvent | null) => typeof e?.name === "string" && typeof e.ts === "number" && typeof e.dur === "number",
    )
    .map((e: TraceEvent) => ({ cat: "", args: {}, ...e }) as Required<TraceEvent>);
}

/** `[{"float":[1,3]},{"int64":[]}]` to `[[1,3],[]]`. Absent optional inputs are absent here too. */
function dims(typed: unknown): number[][] {
  if (!Array.isArray(typed)) return [];
  return typed.flatMap((entry: Record<string, number[]>) => Object.values(entry));
}
