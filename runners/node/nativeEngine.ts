/** onnxruntime-node: the native library on this machine's processor. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import type { Engine } from "../engine.js";
import { DeviceError } from "../errors.js";
import type { EngineOptions } from "./engineOptions.js";

export function nativeEngine({ folder, verbose }: EngineOptions): Engine {
  ort.env.logLevel = verbose ? "warning" : "error";
  const prefixes = new WeakMap<ort.InferenceSession, string>();
  let profiles = 0;
  return {
    package: "onnxruntime-node",
    version: ort.env.versions.node ?? "",
    provider: "CPUExecutionProvider",

    async open(model, s) {
      const prefix = join(folder, `profile-${++profiles}`);
      const session = await ort.InferenceSession.create(model, {
        executionProviders: ["cpu"],
        intraOpNumThreads: s.threads,
        interOpNumThreads: 1,
        graphOptimizationLevel: s.graphOptimizationLevel,
        logSeverityLevel: verbose ? 2 : 3,
        ...(s.profiling && { enableProfiling: true, profileFilePrefix: prefix }),
      });
      if (s.profiling) prefixes.set(session, prefix);
      return session;
    },

    tensor: (t) => new ort.Tensor(t.elemType, t.data, [...t.dims]),

    endProfiling(session) {
      const prefix = prefixes.get(session);
      session.endProfiling();
      const file = prefix && readdirSync(folder).find((name) => join(folder, name).startsWith(`${prefix}_`));
      if (!file) throw new DeviceError("profile-missing", "the runtime wrote no profile");
      const text = readFileSync(join(folder, file), "utf8");
      rmSync(join(folder, file), { force: true });
      return text;
    },
  };
}
