/** What a build of ONNX Runtime in Node is asked for. */

/** Which build of the runtime computes. */
export type EngineName = "native" | "wasm";

export interface EngineOptions {
  /** Folder that the runtime may write to. */
  folder: string;
  /** Whether the runtime logs its warnings. */
  verbose: boolean;
  /** Threads inside one operator. WebAssembly has one pool for all sessions, made with the first. */
  threads: number;
}
