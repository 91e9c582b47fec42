/** onnxruntime-web in a page's worker. Profiles come as lines of console.log, so that is where they are taken. */
import type * as Ort from "onnxruntime-common";
import type { Engine } from "../engine.js";
import { DeviceError } from "../errors.js";
import type { WebProvider } from "./hello.js";

type OrtWeb = typeof Ort & { env: { wasm: { wasmPaths?: string; numThreads?: number } } };

const FILES: Record<WebProvider, string> = { wasm: "ort.wasm.min.mjs", webgpu: "ort.webgpu.min.mjs" };

/** @param base URL of the folder with the files of onnxruntime-web */
export async function webEngine(provider: WebProvider, threads: number, base: string): Promise<Engine> {
  const lines = captureLog(); // before the runtime's module is made: it keeps the function that it finds
  const ort = (await import(`${base}${FILES[provider]}`)) as OrtWeb;
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = base;
  ort.env.wasm.numThreads = threads;
  return {
    package: "onnxruntime-web",
    version: ort.env.versions.web ?? "",
    provider: provider === "wasm" ? "CPUExecutionProvider" : "WebGpuExecutionProvider",

    open(model, s) {
      if (s.threads !== threads)
        throw new DeviceError("threads", `the page runs with ${threads} thread(s), not with ${s.threads}`);
      return ort.InferenceSession.create(model, {
        executionProviders: [provider],
        graphOptimizationLevel: s.graphOptimizationLevel,
        logSeverityLevel: 3,
        enableProfiling: s.profiling,
      });
    },

    tensor: (t) => new ort.Tensor(t.elemType, t.data, [...t.dims]),

    endProfiling(session) {
      lines.length = 0;
      session.endProfiling();
      const text = lines.splice(0).join("\n");
      const end = text.lastIndexOf("]");
      if (end < 0) throw new DeviceError("profile-missing", "the runtime printed no profile");
      return text.slice(text.indexOf("["), end + 1);
    },
  };
}

/** What is logged from now on; nothing of it reaches the console. */
function captureLog(): string[] {
  const lines: string[] = [];
  console.log = (...parts: unknown[]) => {
    lines.push(parts.join(" "));
  };
  return lines;
}
