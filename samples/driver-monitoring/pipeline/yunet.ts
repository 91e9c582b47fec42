/**
 * YuNet (Wu, Peng, Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector") as libfacedetection.train exports it: BGR 0..255 in;
 * per stride 8, 16 and 32 class and object scores, boxes and five points out.
 */
import { bestBoxes, type FaceBox, scaledBox } from "./boxes.js";
import { letterbox, sampleRegion } from "./frame.js";
import type { Net, Values } from "./net.js";
import type { FaceLocator, Signature } from "./stack.js";

const STRIDES = [8, 16, 32] as const;
/** Width of the input where the model leaves it open; heights are the next multiple of the largest stride. */
const FREE_WIDTH = 320;

export const isYunet = (s: Signature): boolean =>
  STRIDES.every((n) => [`cls_${n}`, `obj_${n}`, `bbox_${n}`].every((name) => s.outputs.some((o) => o.name === name)));

/** Boxes in pixels of the input, before any choice among them. */
export function decodeYunet(outputs: Record<string, Values>, width: number, minScore: number): FaceBox[] {
  const boxes: FaceBox[] = [];
  for (const stride of STRIDES) {
    const [cls, obj, box] = ["cls", "obj", "bbox"].map((kind) => outputs[`${kind}_${stride}`].data);
    const columns = width / stride;
    for (let i = 0; i < cls.length; i++) {
      const score = Math.sqrt(Math.max(0, cls[i]) * Math.max(0, obj[i]));
      if (score < minScore) continue;
      const w = Math.exp(box[4 * i + 2]) * stride;
      const h = Math.exp(box[4 * i + 3]) * stride;
      const cx = ((i % columns) + box[4 * i]) * stride;
      const cy = (Math.floor(i / columns) + box[4 * i + 1]) * stride;
      boxes.push({ x: cx - w / 2, y: cy - h / 2, width: w, height: h, score: Math.min(1, score) });
    }
  }
  return boxes;
}

/** @param minScore square root of class times object score from which a box is a face */
export function yunetLocator(net: Net, minScore = 0.6): FaceLocator {
  const fixed = net.inputDims.slice(2);
  return {
    name: "YuNet",
    async locate(frame, now) {
      const start = now();
      const width = typeof fixed[1] === "number" ? fixed[1] : FREE_WIDTH;
      const fitting = Math.ceil((width * frame.height) / frame.width / 32) * 32;
      const height = typeof fixed[0] === "number" ? fixed[0] : fitting;
      const region = letterbox(frame, width, height);
      const data = sampleRegion(frame, region, {
        width,
        height,
        order: "bgr",
        mean: [0, 0, 0],
        scale: [1, 1, 1],
        outside: 0,
      });
      const prepared = now();
      const outputs = await net.run({ data, dims: [1, 3, height, width] });
      const ran = now();
      const scale = region.width / width;
      const faces = bestBoxes(decodeYunet(outputs, width, minScore)).map((b) => scaledBox(b, scale));
      return { faces, times: { prepareMs: prepared - start, runMs: ran - prepared } };
    },
    close: () => net.close(),
  };
}
