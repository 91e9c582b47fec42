/** Picks a build of ONNX Runtime; only the one asked for is loaded. */
import type { Engine } from "../engine.js";
import type { EngineName, EngineOptions } from "./engineOptions.js";

/** Loads a build. Throws what the package throws where it has no binary for this platform. */
export async function loadEngine(name: EngineName, o: EngineOptions): Promise<Engine> {
  return name === "native"
    ? (await import("./nativeEngine.js")).nativeEngine(o)
    : (await import("./wasmEngine.js")).wasmEngine(o);
}
