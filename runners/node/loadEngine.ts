/** Picks a build of ONNX Runtime; only the one that computes is loaded, and the WebAssembly one where the native one has no binary. */
import type { Engine } from "../engine.js";
import { DeviceError } from "../errors.js";
import type { EngineName, EngineOptions } from "./engineOptions.js";

export type Loaders = Record<EngineName, (o: EngineOptions) => Promise<Engine>>;

const LOADERS: Loaders = {
  native: async (o) => (await import("./nativeEngine.js")).nativeEngine(o),
  wasm: async (o) => (await import("./wasmEngine.js")).wasmEngine(o),
};

export interface LoadedEngine {
  name: EngineName;
  engine: Engine;
  /** Why another build computes than was asked for; absent where it is the one. */
  note?: string;
}

/**
 * Loads a build. Where onnxruntime-node has no binary (musl, 32-bit ARM, package not installed), onnxruntime-web computes on the
 * processor instead and `note` says so; another provider has no such substitute. Throws what the package throws.
 */
export async function loadEngine(name: EngineName, o: EngineOptions, loaders = LOADERS): Promise<LoadedEngine> {
  const provider = o.provider ?? "cpu";
  if (name === "wasm") {
    if (provider === "cpu") return { name, engine: await loaders.wasm(o) };
    throw new DeviceError("provider-missing", `WebAssembly has no provider ${provider} in Node`, {
      hint: "leave --provider out, or take the native runtime",
    });
  }
  try {
    return { name, engine: await loaders.native(o) };
  } catch (error) {
    if (provider !== "cpu" || !isMissingBinary(error)) throw error;
    const system = `${process.platform} ${process.arch}`;
    return {
      name: "wasm",
      engine: await loaders.wasm(o),
      note: `onnxruntime-node has no binary that runs here (${system}); onnxruntime-web's WebAssembly computes instead, which is slower`,
    };
  }
}

/** The package or its library is absent, or the library is for another system (a missing or too old C library included). */
const isMissingBinary = (e: unknown): boolean =>
  ["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND", "ERR_DLOPEN_FAILED"].includes((e as NodeJS.ErrnoException)?.code ?? "");
