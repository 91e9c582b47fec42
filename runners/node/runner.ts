/** The local device: this machine's processor through ONNX Runtime, native or WebAssembly, in a process of its own. */
import { DeviceError } from "../errors.js";
import type { Ready } from "../protocol.js";
import { runnerOver } from "../remote.js";
import type { DeviceFacts, DeviceRunner, GraphOptimizationLevel } from "../runner.js";
import { WorkerChannel } from "./channel.js";
import type { EngineName } from "./engineOptions.js";
import { machineFacts } from "./facts.js";
import { PROVIDERS, type ProviderName } from "./providers.js";

export interface LocalOptions {
  /** `wasm`: onnxruntime-web's WebAssembly, as browsers on phones run it. Default `native`. */
  engine?: EngineName;
  /** What computes: the processor, or a GPU or neural processor through the native build. Default `cpu`. */
  provider?: ProviderName;
  /** Whether nodes that the provider lacks may run on the processor. Default false: such a model is refused by name. */
  allowFallback?: boolean;
  /** Threads inside one operator. Default 1. */
  threads?: number;
  /** Default `all`, as in ONNX Runtime. */
  graphOptimizationLevel?: GraphOptimizationLevel;
  /** Receives what the runtime writes, warnings included. Without it the runtime is asked for errors only, and they are kept for crash messages. */
  log?: (line: string) => void;
  /** Told when another build of the runtime computes than was asked for. */
  onNote?: (note: string) => void;
}

/** The local runner also tells its process, for tests and tools. */
export interface LocalRunner extends DeviceRunner {
  readonly pid: number | undefined;
}

/**
 * Starts the process and waits until the runtime is loaded; where the native build has no binary for this platform, that is
 * the WebAssembly one (`onNote`). Throws DeviceError where no build runs, for a provider that this machine lacks, or for a thread
 * count that is no positive whole number.
 */
export async function openLocalRunner(o: LocalOptions = {}): Promise<LocalRunner> {
  const threads = o.threads ?? 1;
  const graphOptimizationLevel = o.graphOptimizationLevel ?? "all";
  if (!Number.isInteger(threads) || threads < 1) {
    throw new DeviceError("threads", `the number of threads must be a positive whole number, not ${threads}`);
  }
  const { provider = "cpu", allowFallback = false } = o;
  const channel = await WorkerChannel.open({
    engine: o.engine ?? "native",
    threads,
    provider,
    allowFallback,
    ...(o.log && { log: o.log }),
  });
  const { ready } = channel;
  if (ready.note) o.onNote?.(ready.note);
  const describe = () => workerFacts(ready, o);
  return { pid: channel.pid, ...runnerOver(channel, { describe, threads, graphOptimizationLevel }) };
}

/** Facts of this machine with what its worker said of itself. */
export async function workerFacts(
  ready: Ready,
  { threads = 1, provider = "cpu", graphOptimizationLevel = "all" }: LocalOptions,
): Promise<DeviceFacts> {
  const machine = await machineFacts();
  const native = ready.engine === "native";
  return {
    id: `local-${machine.os.arch}-${native ? provider : "wasm"}-t${threads}`,
    kind: native ? PROVIDERS[provider].kind : "node-wasm",
    ...machine,
    emulated: machine.emulated || ready.emulated,
    runtime: { ...ready.runtime, threads, graphOptimizationLevel },
    clockMs: ready.clockMs,
  };
}
