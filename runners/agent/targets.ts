/** Boards for which the agent can be bundled, and which files of ONNX Runtime each needs. */
import { DeviceError } from "../errors.js";

export interface Target {
  /** Platform and architecture as Node names them; null where the bundle runs on any. */
  native: { platform: string; arch: string } | null;
  /** Whether the WebAssembly build goes with it: the only one on some boards, the substitute on others. */
  wasm: boolean;
  /** For people. */
  boards: string;
}

export const TARGETS: Record<string, Target> = {
  "linux-arm64": {
    native: { platform: "linux", arch: "arm64" },
    wasm: true,
    boards: "64-bit ARM boards (glibc 2.28 or newer; elsewhere WebAssembly computes)",
  },
  // Without WebAssembly: the native library alone is 46 MB.
  "linux-x64": { native: { platform: "linux", arch: "x64" }, wasm: false, boards: "x64 boards (glibc 2.28 or newer)" },
  "linux-armv7-wasm": {
    native: null,
    wasm: true,
    boards: "32-bit ARM boards, and any other that runs Node, in WebAssembly with SIMD",
  },
};

/** Throws DeviceError `target-unknown`, which lists the choices. */
export function targetNamed(name: string): Target {
  const target = Object.hasOwn(TARGETS, name) ? TARGETS[name] : undefined;
  if (target) return target;
  throw new DeviceError("target-unknown", `there is no target "${name}"`, {
    where: "--target",
    hint: `choose one of ${Object.keys(TARGETS).join(", ")}`,
  });
}

/** Packages that the bundle's scripts load as they are, each with the files that the target needs. */
export function runtimeFiles({ native, wasm }: Target): { package: string; files: RegExp }[] {
  return [
    { package: "onnxruntime-common", files: /^(package\.json|LICENSE.*|dist\/(cjs|esm)\/(package\.json|[\w-]+\.js))$/ },
    ...(native
      ? [
          {
            package: "onnxruntime-node",
            // Provider libraries (CUDA, TensorRT) are of no use on a board, and may have been installed beside the rest.
            files: new RegExp(
              `^(package\\.json|LICENSE.*|dist/[\\w-]+\\.js|bin/napi-v\\d+/${native.platform}/${native.arch}/(libonnxruntime\\.so[\\d.]*|onnxruntime_binding\\.node))$`,
            ),
          },
        ]
      : []),
    ...(wasm
      ? [
          {
            package: "onnxruntime-web",
            files:
              /^(package\.json|LICENSE.*|dist\/(ort\.node\.min\.mjs|ort-wasm-simd-threaded\.mjs|ort-wasm-simd-threaded\.wasm))$/,
          },
        ]
      : []),
  ];
}
