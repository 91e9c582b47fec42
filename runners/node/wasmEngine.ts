/**
 * onnxruntime-web in Node: the WebAssembly build that phones' browsers run, with 128-bit SIMD, on this machine's processor.
 * It gives profiles only as lines on standard output, written through `fs.writeSync`, so that is where they are taken.
 */
import fs from "node:fs";
import type { Engine } from "../engine.js";
import { DeviceError } from "../errors.js";
import type { EngineOptions } from "./engineOptions.js";

const STDOUT = 1;

export async function wasmEngine({ verbose, threads }: EngineOptions): Promise<Engine> {
  const printed = captureStdout();
  const ort = await import("onnxruntime-web");
  ort.env.logLevel = verbose ? "warning" : "error";
  ort.env.wasm.numThreads = threads;
  return {
    package: "onnxruntime-web",
    version: ort.env.versions.web ?? "",
    // The processor's kernels, compiled to WebAssembly, under their usual name.
    provider: "CPUExecutionProvider",

    async open(model, s) {
      if (s.threads !== threads) {
        throw new DeviceError(
          "threads",
          `WebAssembly runs with the ${threads} thread(s) it was started with, not ${s.threads}`,
        );
      }
      return ort.InferenceSession.create(model, {
        executionProviders: ["wasm"],
        graphOptimizationLevel: s.graphOptimizationLevel,
        logSeverityLevel: verbose ? 2 : 3,
        enableProfiling: s.profiling,
      });
    },

    tensor: (t) => new ort.Tensor(t.elemType, t.data, [...t.dims]),

    endProfiling(session) {
      printed.length = 0;
      session.endProfiling();
      const text = printed.splice(0).join("");
      const end = text.lastIndexOf("]");
      if (end < 0) throw new DeviceError("profile-missing", "the runtime printed no profile");
      return text.slice(text.indexOf("["), end + 1);
    },
  };
}

/** What is written to standard output from now on, piece by piece; other files are written as before. */
function captureStdout(): string[] {
  const pieces: string[] = [];
  const original = fs.writeSync;
  const capture = (fd: number, ...rest: [unknown, ...unknown[]]): number => {
    if (fd !== STDOUT) return (original as (fd: number, ...rest: unknown[]) => number)(fd, ...rest);
    const text = String(rest[0]);
    pieces.push(text);
    return Buffer.byteLength(text);
  };
  fs.writeSync = capture as typeof fs.writeSync;
  return pieces;
}
