/** What a build of ONNX Runtime in Node is asked for. */
import type { ProviderName } from "./providers.js";

/** Which build of the runtime computes. */
export type EngineName = "native" | "wasm";

export interface EngineOptions {
  /** Folder that the runtime may write to. */
  folder: string;
  /** Whether the runtime logs its warnings. */
  verbose: boolean;
  /** Threads inside one operator. WebAssembly has one pool for all sessions, made with the first. */
  threads: number;
  /** Of the native build. Default `cpu`. */
  provider?: ProviderName;
  /** Whether nodes may run on the processor although another provider was asked for. Default false. */
  allowFallback?: boolean;
}
