/** onnxruntime-node: the native library on this machine's processor or, by another provider, its graphics or neural hardware. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import type { Engine } from "../engine.js";
import { DeviceError } from "../errors.js";
import type { EngineOptions } from "./engineOptions.js";
import { PROBE_MODEL } from "./probe.js";
import { drawnInSoftware, PROVIDERS, providerFailure, requireProvider } from "./providers.js";

/** Throws DeviceError `provider-missing` where this build or this machine lacks the provider. */
export async function nativeEngine(o: EngineOptions): Promise<Engine> {
  const { folder, verbose, provider = "cpu" } = o;
  ort.env.logLevel = verbose ? "warning" : "error";
  const version = ort.env.versions.node ?? "";
  const logging = { logSeverityLevel: verbose ? 2 : 3 } as const;
  const executionProviders = [PROVIDERS[provider].option];
  if (provider !== "cpu") {
    const supported = ort.listSupportedBackends().map((b) => b.name);
    requireProvider(provider, supported, `onnxruntime-node ${version}, ${process.platform} ${process.arch}`);
    try {
      // What is missing besides the build shows with the first session. Its own message suffices: the log would say it twice.
      const session = await ort.InferenceSession.create(PROBE_MODEL, { executionProviders, logSeverityLevel: 4 });
      await session.release();
    } catch (cause) {
      throw providerFailure(provider, cause);
    }
  }
  const prefixes = new WeakMap<ort.InferenceSession, string>();
  let profiles = 0;
  return {
    package: "onnxruntime-node",
    version,
    provider: PROVIDERS[provider].inProfile,
    allowFallback: o.allowFallback ?? false,
    verify: provider !== "cpu",
    emulated: provider !== "cpu" && drawnInSoftware(),

    async open(model, s) {
      const prefix = join(folder, `profile-${++profiles}`);
      const session = await ort.InferenceSession.create(model, {
        executionProviders,
        intraOpNumThreads: s.threads,
        interOpNumThreads: 1,
        graphOptimizationLevel: s.graphOptimizationLevel,
        ...logging,
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
