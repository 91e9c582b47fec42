/** Does the device answer as this machine does? The same images through the host's own runtime, and the answers side by side. */
import { createRequire } from "node:module";
import { type DeviceFacts, machineFacts } from "../runners/index.js";
import { throwIfAborted } from "./graph/progress.js";
import type { Tensor } from "./graph/tensor.js";
import { classScores, type Evaluation } from "./onDevice.js";
import type { ValidateOptions } from "./options.js";
import { argmaxRows } from "./quantize/index.js";
import { withSession } from "./runtime/session.js";
import type { Subject } from "./subject.js";

export interface HostComparison {
  /** Images that both have answered: the first ones. */
  images: number;
  /** Of them, those with another best class on the device; without class scores, those whose outputs differ by more than 1 %. */
  differing: number;
  /** Top-1 accuracy on these images, there and here; null without labels or class scores. */
  accuracy: { device: number; host: number } | null;
  runtime: { package: string; version: string };
}

/** Largest difference of an output without class scores, relative to its largest value, that passes for rounding. */
const SAME = 0.01;

/** Null where the device is this machine's native runtime, whose answers would be compared with themselves. */
export async function compareWithHost(
  facts: DeviceFacts,
  s: Subject,
  onDevice: Evaluation,
  o: Pick<ValidateOptions, "signal" | "onProgress">,
): Promise<HostComparison | null> {
  const machine = await machineFacts();
  const here = facts.hardware.cpu === machine.hardware.cpu && facts.os.arch === machine.os.arch;
  if ((facts.kind === "node-cpu" && here) || !s.data) return null;
  const { test } = s.data;
  const found = { images: 0, differing: 0, judged: 0, device: 0, host: 0 };
  await withSession(s.bytes, { where: s.file }, async (session) => {
    for (const [b, device] of onDevice.outputs.entries()) {
      throwIfAborted(o.signal);
      const from = b * s.batchSize;
      const count = Math.min(s.batchSize, test.count - from, rowsOf(s, device, s.batchSize));
      const batch = await test.batch(Array.from({ length: count }, (_, i) => from + i));
      const host = await session.run({ [s.input.name]: { elemType: "float32", dims: batch.dims, data: batch.data } });
      const [there, here] = [bestOf(s, device), bestOf(s, host)];
      if (there && here) {
        for (let i = 0; i < count; i++) {
          if (there[i] !== here[i]) found.differing++;
          if (!batch.labels) continue;
          found.judged++;
          if (there[i] === batch.labels[i]) found.device++;
          if (here[i] === batch.labels[i]) found.host++;
        }
      } else if (!alike(device, host)) found.differing += count;
      found.images += count;
      o.onProgress?.({ stage: `comparing ${s.file} with this machine`, done: b + 1, total: onDevice.outputs.length });
    }
  });
  const { images, differing, judged } = found;
  const runtime = { package: "onnxruntime-node", version: nativeVersion() };
  const accuracy = judged > 0 ? { device: found.device / judged, host: found.host / judged } : null;
  return { images, differing, accuracy, runtime };
}

/** The comparison as a warning that names both runtimes. */
export function differenceFrom({ runtime, kind }: DeviceFacts, file: string, h: HostComparison): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const accuracy = h.accuracy ? `; accuracy ${percent(h.accuracy.device)} there, ${percent(h.accuracy.host)} here` : "";
  return `${file}: the device (${runtime.package} ${runtime.version}, ${kind}) answers ${h.differing} of ${h.images} images otherwise than this machine (${h.runtime.package} ${h.runtime.version})${accuracy}`;
}

const nativeVersion = (): string =>
  (createRequire(import.meta.url)("onnxruntime-node/package.json") as { version: string }).version;

const rowsOf = (s: Subject, outputs: Record<string, Tensor>, most: number): number =>
  classScores(s, outputs)?.dims[0] ?? most;

function bestOf(s: Subject, outputs: Record<string, Tensor>): ArrayLike<number> | undefined {
  const scores = classScores(s, outputs);
  return scores && argmaxRows(scores.data as Float32Array, scores.dims[1]);
}

function alike(a: Record<string, Tensor>, b: Record<string, Tensor>): boolean {
  return Object.entries(b).every(([name, t]) => {
    let largest = 0;
    let apart = 0;
    for (let i = 0; i < t.data.length; i++) {
      largest = Math.max(largest, Math.abs(Number(t.data[i])));
      const difference = Math.abs(Number(t.data[i]) - Number(a[name]?.data[i]));
      apart = Math.max(apart, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
    }
    return apart <= SAME * largest;
  });
}
