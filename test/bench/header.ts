/** What every bench prints above its figures, and what they all open. */
import type { DeviceFacts } from "../../runners/index.js";
import { sharedPath } from "../support/shared.js";

/** Machine, versions, settings and date, as two lines of text. */
export function header(facts: DeviceFacts, settings: string): string {
  const { hardware, os, runtime } = facts;
  const isa = hardware.isa
    .filter((i) => /^(avx2|avx512f|avx512_vnni|avx_vnni|amx_int8|neon|asimddp|i8mm)$/.test(i))
    .join(" ");
  return [
    `${hardware.cpu}, ${hardware.cores} cores (${isa}), ${os.platform} ${os.arch}; ${runtime.package} ${runtime.version}, Node ${process.versions.node}`,
    `${runtime.threads} thread(s), batch 1, level ${runtime.graphOptimizationLevel}; ${settings}; ${new Date().toISOString().slice(0, 10)}\n`,
  ].join("\n");
}

/** One row of a Markdown table. */
export const row = (...cells: (string | number)[]): string => `| ${cells.join(" | ")} |`;

/** Header and rule of a Markdown table. */
export const head = (...cells: string[]): string => `${row(...cells)}\n${row(...cells.map(() => "---"))}`;

/** CIFAR-10 as the ResNets of the third-party models want it (their SOURCE.md). */
export const cifar = {
  model: (name: string): string => sharedPath(`models/resnet-cifar10/${name}.onnx`),
  data: `cifar10:${sharedPath("data/cifar10")}`,
  preprocess: { flags: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } },
};

export const percent = (share: number | undefined | null): string => (share == null ? "-" : (100 * share).toFixed(2));
