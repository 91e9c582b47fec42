/** The execution providers of onnxruntime-node that edgefit knows: by the user's name, ONNX Runtime's names, and the kind of device. */
import { readFileSync } from "node:fs";
import { DeviceError } from "../errors.js";
import type { DeviceFacts } from "../runner.js";

export const providerNames = ["cpu", "webgpu", "cuda", "directml", "coreml"] as const;
export type ProviderName = (typeof providerNames)[number];

interface Provider {
  /** In session options. */
  option: string;
  /** In profiles, of every node that it ran. */
  inProfile: string;
  kind: DeviceFacts["kind"];
  /** What it needs, for those who lack it. */
  needs: string;
}

export const PROVIDERS: Record<ProviderName, Provider> = {
  cpu: { option: "cpu", inProfile: "CPUExecutionProvider", kind: "node-cpu", needs: "nothing" },
  webgpu: {
    option: "webgpu",
    inProfile: "WebGpuExecutionProvider",
    kind: "node-webgpu",
    needs:
      "WebGPU needs Linux x64, macOS or Windows, and a driver: on Linux for Vulkan (Debian: libvulkan1 and mesa-vulkan-drivers)",
  },
  cuda: {
    option: "cuda",
    inProfile: "CUDAExecutionProvider",
    kind: "cuda",
    needs:
      "CUDA needs Linux x64, CUDA 12, cuDNN 9 and the libraries that `ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node` fetches",
  },
  directml: {
    option: "dml",
    inProfile: "DmlExecutionProvider",
    kind: "directml",
    needs: "DirectML needs Windows",
  },
  coreml: {
    option: "coreml",
    inProfile: "CoreMLExecutionProvider",
    kind: "coreml",
    needs: "Core ML needs macOS",
  },
};

/** The provider's build is there. Throws DeviceError `provider-missing` where this build of the runtime has no such provider. */
export function requireProvider(name: ProviderName, supported: readonly string[], where: string): void {
  const { option, needs } = PROVIDERS[name];
  if (supported.includes(option)) return;
  throw new DeviceError("provider-missing", `this build of ONNX Runtime has no provider ${name}`, {
    where,
    hint: `${needs}; this build has ${supported.join(", ")}`,
  });
}

/** Why a session on that provider could not be made, in one sentence; the runtime's own reason where it is another one. */
export function providerFailure(name: ProviderName, cause: unknown): DeviceError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\s+/g, " ").trim();
  const what = /load shared library|libonnxruntime_providers/i.test(reason)
    ? `the libraries of provider ${name} are not installed`
    : /adapter/i.test(reason)
      ? `provider ${name} finds no graphics adapter`
      : `provider ${name} cannot be started: ${reason}`;
  return new DeviceError("provider-missing", what, { hint: PROVIDERS[name].needs, cause });
}

const SOFTWARE = /\/(libvk_swiftshader|libvulkan_lvp)\.so/;
const HARDWARE =
  /\/(libGLX_nvidia|libnvidia-vulkan|libvulkan_(intel|intel_hasvk|radeon|nouveau|broadcom|freedreno|panfrost|asahi|powervr_mesa)|amdvlk64)\.so/;

/**
 * Whether graphics are computed by a processor: a software driver for Vulkan is in this process' memory and none of a GPU is.
 * Known on Linux only, once a session was made.
 */
export function drawnInSoftware(maps: string | null = readMaps()): boolean {
  return maps !== null && SOFTWARE.test(maps) && !HARDWARE.test(maps);
}

function readMaps(): string | null {
  try {
    return readFileSync("/proc/self/maps", "utf8");
  } catch {
    return null; // no Linux
  }
}
