/** The settings behind `local:` and `wasm:` in a device's name. */
import { DeviceError } from "../errors.js";
import type { GraphOptimizationLevel } from "../runner.js";
import { type ProviderName, providerNames } from "./providers.js";
import type { LocalOptions } from "./runner.js";

const LEVELS: readonly string[] = ["disabled", "basic", "extended", "layout", "all"] satisfies GraphOptimizationLevel[];

/** `threads=2,provider=webgpu,fallback` as options. Throws DeviceError `device-setting` for anything else. */
export function localSettings(
  device: "local" | "wasm",
  text: string,
): Pick<LocalOptions, "threads" | "graphOptimizationLevel" | "provider" | "allowFallback"> {
  const settings: ReturnType<typeof localSettings> = {};
  for (const part of text.split(",").filter(Boolean)) {
    const [key, value = ""] = part.split("=");
    if (key === "threads" && /^[1-9]\d{0,3}$/.test(value)) settings.threads = Number(value);
    else if (key === "level" && LEVELS.includes(value))
      settings.graphOptimizationLevel = value as GraphOptimizationLevel;
    else if (device === "local" && key === "provider" && isProvider(value)) settings.provider = value;
    else if (device === "local" && part === "fallback") settings.allowFallback = true;
    else {
      const xnnpack = value === "xnnpack" ? "onnxruntime-node comes without XNNPACK; " : "";
      const providers = device === "local" ? `, provider=${providerNames.join("|")} and fallback` : "";
      throw new DeviceError("device-setting", `"${part}" is no setting of device ${device}`, {
        where: "--device",
        hint: `${xnnpack}use threads=N, level=${LEVELS.join("|")}${providers}, e.g. ${device}:threads=2,level=extended`,
      });
    }
  }
  return settings;
}

const isProvider = (name: string): name is ProviderName => (providerNames as readonly string[]).includes(name);
