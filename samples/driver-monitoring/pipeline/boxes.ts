/** Faces as rectangles: choosing among overlapping ones, and among people. */
import type { Region } from "./frame.js";

export interface FaceBox extends Region {
  /** 0..1. */
  score: number;
}

/** The box in a picture that is `scale` times as large. */
export const scaledBox = (b: FaceBox, scale: number): FaceBox => ({
  x: b.x * scale,
  y: b.y * scale,
  width: b.width * scale,
  height: b.height * scale,
  score: b.score,
});

/** Intersection over union. */
export function overlap(a: Region, b: Region): number {
  const width = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const height = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / (a.width * a.height + b.width * b.height - both);
}

/** Keeps the best of every bunch of boxes that overlap by more than `most` (greedy non-maximum suppression), best first. */
export function bestBoxes(boxes: readonly FaceBox[], most = 0.3): FaceBox[] {
  const kept: FaceBox[] = [];
  for (const box of [...boxes].sort((a, b) => b.score - a.score))
    if (kept.every((k) => overlap(k, box) <= most)) kept.push(box);
  return kept;
}

/** The driver among several people: the largest face, for the camera looks at the driver's seat. */
export function driverOf(boxes: readonly FaceBox[]): FaceBox | undefined {
  return boxes.reduce<FaceBox | undefined>(
    (best, b) => (best && best.width * best.height >= b.width * b.height ? best : b),
    undefined,
  );
}
