/** Node times as a Chrome trace, in the shape of ONNX Runtime's own profile: chrome://tracing and Perfetto show it, `devices import` reads it. */
import type { NodeProfile } from "../runners/index.js";

/** One event of the trace event format (phase X: begin `ts` and duration `dur` in microseconds; M: a name). */
export interface TraceEvent {
  cat?: string;
  name: string;
  ph: "X" | "M";
  pid: number;
  tid: number;
  ts: number;
  dur?: number;
  args: Record<string, unknown>;
}

/**
 * Calls one after another, and in each its nodes one after another: durations are measured, gaps between nodes were not recorded and
 * are left out, so a call's bar may be longer than its nodes.
 */
export function traceEvents({ nodes, callsUs }: NodeProfile, title: string): TraceEvent[] {
  const place = { pid: 1, tid: 1 };
  const out: TraceEvent[] = [{ name: "process_name", ph: "M", ...place, ts: 0, args: { name: title } }];
  let ts = 0;
  callsUs.forEach((callUs, call) => {
    const begin = ts;
    let at = begin;
    const events = nodes.map((n, i): TraceEvent => {
      const dur = Math.round(n.durationsUs[call]);
      const args = {
        op_name: n.opType,
        provider: n.provider,
        node_index: String(i),
        input_type_shape: n.inputDims.map((dims) => ({ tensor: dims })),
        output_type_shape: n.outputDims.map((dims) => ({ tensor: dims })),
      };
      const event: TraceEvent = { cat: "Node", name: `${n.name}_kernel_time`, ph: "X", ...place, ts: at, dur, args };
      at += dur;
      return event;
    });
    const dur = Math.max(Math.round(callUs), at - begin);
    out.push({ cat: "Session", name: "model_run", ph: "X", ...place, ts: begin, dur, args: {} }, ...events);
    ts = begin + dur + 1;
  });
  return out;
}
