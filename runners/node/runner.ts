/** The local device: this machine's processor through ONNX Runtime, native or WebAssembly, in a process of its own. */
import { DeviceError } from "../errors.js";
import { runnerOver } from "../remote.js";
import type { DeviceFacts, DeviceRunner, GraphOptimizationLevel } from "../runner.js";
import { WorkerChannel } from "./channel.js";
import type { EngineName } from "./engineOptions.js";
import { machineFacts } from "./facts.js";

export interface LocalOptions {
  /** `wasm`: onnxruntime-web's WebAssembly, as browsers on phones run it. Default `native`. */
  engine?: EngineName;
  /** Threads inside one operator. Default 1. */
  threads?: number;
  /** Default `all`, as in ONNX Runtime. */
  graphOptimizationLevel?: GraphOptimizationLevel;
  /** Receives what the runtime writes, warnings included. Without it the runtime is asked for errors only, and they are kept for crash messages. */
  log?: (line: string) => void;
}

/** The local runner also tells its process, for tests and tools. */
export interface LocalRunner extends DeviceRunner {
  readonly pid: number | undefined;
}

/**
 * Starts the process and waits until the runtime is loaded. Throws DeviceError where ONNX Runtime has no binary for this
 * platform, or for a thread count that is no positive whole number.
 */
export async function openLocalRunner(o: LocalOptions = {}): Promise<LocalRunner> {
  const threads = o.threads ?? 1;
  const graphOptimizationLevel = o.graphOptimizationLevel ?? "all";
  if (!Number.isInteger(threads) || threads < 1) {
    throw new DeviceError("threads", `the number of threads must be a positive whole number, not ${threads}`);
  }
  const engine = o.engine ?? "native";
  const channel = await WorkerChannel.open(engine, threads, o.log);
  const { ready } = channel;

  const describe = async (): Promise<DeviceFacts> => {
    const machine = await machineFacts();
    return {
      id: `local-${machine.os.arch}-${engine === "native" ? "cpu" : "wasm"}-t${threads}`,
      kind: engine === "native" ? "node-cpu" : "node-wasm",
      ...machine,
      runtime: { ...ready.runtime, threads, graphOptimizationLevel },
      clockMs: ready.clockMs,
    };
  };
  return { pid: channel.pid, ...runnerOver(channel, { describe, threads, graphOptimizationLevel }) };
}
