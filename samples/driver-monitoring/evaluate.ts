/** How well a classifier tells open from closed eyes, in total and for each kind of crop that makes it hard. */
import type { Graph } from "../../toolkit/graph/graph.js";
import { type Progress, throwIfAborted } from "../../toolkit/graph/progress.js";
import { floats, toFloat32 } from "../../toolkit/graph/tensor.js";
import { openSession } from "../../toolkit/runtime/session.js";
import { CLOSED_BELOW, type EyeAppearance, OPEN_ABOVE } from "./appearance.js";
import type { EyeSplit } from "./dataset.js";

/** `closed as open` are missed closures, `open as closed` false ones. */
export interface Confusion {
  closedAsClosed: number;
  closedAsOpen: number;
  openAsClosed: number;
  openAsOpen: number;
}

export interface EyeStateEvaluation {
  /** Part of the crops that are classified rightly, 0..1. */
  accuracy: number;
  count: number;
  total: Confusion;
  /** The same for every kind of crop; kinds overlap. */
  kinds: Record<string, { accuracy: number; count: number; confusion: Confusion }>;
  /** Items that are classified wrongly, by index. */
  wrong: number[];
}

/** Kinds of crops by name. A crop belongs to every kind whose test it passes. */
export const eyeKinds: Readonly<Record<string, (e: EyeAppearance) => boolean>> = {
  "colour, bare eyes": (e) => !e.infrared && e.eyewear === "none",
  infrared: (e) => e.infrared,
  glasses: (e) => e.eyewear === "glasses",
  sunglasses: (e) => e.eyewear === "sunglasses",
  "side light or cast shadow": (e) => e.light.side > 0.35 || e.light.cast !== undefined,
  "blurred, moved or enlarged": (e) =>
    e.camera.blurSigma > 0.45 || e.camera.motion.dx !== 0 || e.camera.sourcePixels < 32,
  "noise above 6 levels": (e) => e.camera.noiseSigma > 6,
  "dark skin (mean level below 80)": (e) => !e.infrared && e.palette.skin.reduce((a, b) => a + b) / 3 < 80,
  "gaze more than 20 degrees off": (e) => Math.hypot(e.shape.gazeYaw, e.shape.gazePitch) > Math.PI / 9,
  "near the ambiguous band": (e) =>
    (e.shape.openness > CLOSED_BELOW / 2 && e.shape.openness < CLOSED_BELOW) ||
    (e.shape.openness > OPEN_ABOVE && e.shape.openness < 0.5),
};

const emptyConfusion = (): Confusion => ({ closedAsClosed: 0, closedAsOpen: 0, openAsClosed: 0, openAsOpen: 0 });
const countOf = (c: Confusion): number => c.closedAsClosed + c.closedAsOpen + c.openAsClosed + c.openAsOpen;
const accuracyOf = (c: Confusion): number => (c.closedAsClosed + c.openAsOpen) / countOf(c);

function note(c: Confusion, open: boolean, saidOpen: boolean): void {
  if (open) c[saidOpen ? "openAsOpen" : "openAsClosed"]++;
  else c[saidOpen ? "closedAsOpen" : "closedAsClosed"]++;
}

/**
 * Runs the classifier over a part of the data set.
 *
 * @param model input `image`, output `logits` [n, 2] (closed, open)
 * @param o.limit at most this many items, from the first on; default all
 */
export async function evaluateEyeState(
  model: Graph | Uint8Array,
  split: EyeSplit,
  o: { limit?: number; threads?: number; onProgress?: Progress; signal?: AbortSignal } = {},
): Promise<EyeStateEvaluation> {
  const count = Math.min(split.count, o.limit ?? split.count);
  const batchSize = 250;
  const total = emptyConfusion();
  const kinds = Object.keys(eyeKinds).map((name) => ({ name, confusion: emptyConfusion() }));
  const wrong: number[] = [];
  const session = await openSession(model, o.threads === undefined ? {} : { threads: o.threads });
  try {
    for (let start = 0; start < count; start += batchSize) {
      throwIfAborted(o.signal);
      const indices = Array.from({ length: Math.min(batchSize, count - start) }, (_, i) => start + i);
      const batch = await split.batch(indices);
      const logits = toFloat32((await session.run({ image: floats(batch.data, batch.dims) })).logits);
      for (const [i, index] of indices.entries()) {
        const open = batch.labels![i] === 1;
        const saidOpen = logits[2 * i + 1] > logits[2 * i];
        if (open !== saidOpen) wrong.push(index);
        note(total, open, saidOpen);
        const appearance = split.appearance(index);
        for (const kind of kinds) if (eyeKinds[kind.name](appearance)) note(kind.confusion, open, saidOpen);
      }
      o.onProgress?.({ stage: "evaluating", done: start + indices.length, total: count });
    }
  } finally {
    await session.dispose();
  }
  return {
    accuracy: accuracyOf(total),
    count,
    total,
    kinds: Object.fromEntries(
      kinds
        .filter(({ confusion }) => countOf(confusion) > 0)
        .map(({ name, confusion }) => [
          name,
          { accuracy: accuracyOf(confusion), count: countOf(confusion), confusion },
        ]),
    ),
    wrong,
  };
}
