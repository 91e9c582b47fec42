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
 * Providers that hand a node's work to a GPU and go on: what the profile gives as a node's time is that of handing over. The
 * work itself are `Api` events by the GPU's clock, named `node&operator&kernel`, where the driver has timestamps.
 */
const HANDS_OVER = new Set(["WebGpuExecutionProvider", "CUDAExecutionProvider", "DmlExecutionProvider"]);

/**
 * Per-node times of the calls after the first `warmup` ones, nodes in order of execution; those of a GPU's kernels where a node
 * ran there. Throws DeviceError as `placedNodes` does, and `gpu-times-missing` where a GPU's kernels were not timed.
 */
export function readTrace(text: string, calls: number, warmup: number): NodeProfile {
  const { runs, kernels, ...profile } = placedNodes(text, calls, warmup);
  const handedOver = profile.nodes.filter((n) => HANDS_OVER.has(n.provider));
  if (handedOver.length > 0) timeKernels(handedOver, kernels, runs, calls, warmup);
  return profile;
}

/** Calls at the start of a trace that somebody else made which do not count, where it holds more. */
const FIRST_CALLS = 3;

/** The whole of a profile of unknown length, its first three calls left out where there are more. Throws as `readTrace` does. */
export function readProfileTrace(text: string): NodeProfile {
  const runs = parse(text).filter((e) => e.cat === "Session" && e.name === "model_run").length;
  if (runs === 0) throw new DeviceError("profile-empty", "the profile holds no call of a model");
  const warmup = runs > FIRST_CALLS ? FIRST_CALLS : 0;
  return readTrace(text, runs - warmup, warmup);
}

/**
 * Gives nodes the time of their kernels. A GPU's clock and the processor's differ, so kernels belong to calls by their order:
 * each call starts the same ones.
 */
function timeKernels(nodes: MutableNode[], kernels: TraceEvents, runs: number, calls: number, warmup: number): void {
  const { provider } = nodes[0];
  if (kernels.length === 0) {
    throw new DeviceError(
      "gpu-times-missing",
      `the profile of ${provider} holds no times of kernels, only when work was handed over`,
      { hint: "the driver or this build of the runtime has no timestamps; whole models can be timed all the same" },
    );
  }
  const byNode = new Map<string, TraceEvents>();
  for (const e of kernels) {
    const name = e.name.slice(0, e.name.indexOf("&"));
    byNode.set(name, [...(byNode.get(name) ?? []), e]);
  }
  for (const node of nodes) {
    const own = byNode.get(node.name) ?? []; // a Reshape starts none
    const perCall = own.length / runs;
    if (!Number.isInteger(perCall) || nodes.filter((n) => n.name === node.name).length > 1) {
      throw new DeviceError(
        "gpu-times-unclear",
        `the ${own.length} kernels of node "${node.name}" cannot be told apart over ${runs} calls`,
        { hint: "name the nodes of the model differently from each other; control flow cannot be profiled on a GPU" },
      );
    }
    for (let call = 0; call < calls; call++) {
      const first = (warmup + call) * perCall;
      node.durationsUs[call] = own.slice(first, first + perCall).reduce((sum, e) => sum + e.dur, 0);
    }
  }
}

type TraceEvents = Required<TraceEvent>[];
type MutableNode = Omit<NodeTime, "durationsUs"> & { durationsUs: Float64Array };

/**
 * Nodes with their providers and the times that the processor spent in them, in order of execution; the number of calls in the
 * trace, and the events of GPU kernels in the order of their starts.
 * Throws DeviceError when the text is no trace, holds fewer calls than `warmup + calls` (the runtime stops recording after a
 * million events), or holds no node.
 */
export function placedNodes(
  text: string,
  calls: number,
  warmup: number,
): { nodes: MutableNode[]; callsUs: Float64Array; runs: number; kernels: TraceEvents } {
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

  const nodes = new Map<string, MutableNode>();
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
  return {
    nodes: [...nodes.values()],
    callsUs: Float64Array.from(kept, (e) => e.dur),
    runs: runs.length,
    kernels: events.filter((e) => e.cat === "Api" && e.name.includes("&")).sort((a, b) => a.ts - b.ts),
  };
}

function parse(text: string): TraceEvents {
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
