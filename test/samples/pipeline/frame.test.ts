import { describe, expect, test } from "vitest";
import { bestBoxes, driverOf, overlap } from "../../../samples/driver-monitoring/pipeline/boxes.js";
import { type Frame, letterbox, sampleRegion } from "../../../samples/driver-monitoring/pipeline/frame.js";

const plain = { order: "rgb", mean: [0, 0, 0], scale: [1, 1, 1], outside: "edge" } as const;

/** red = column, green = row, blue = 7. */
function ramp(width: number, height: number, channels: 3 | 4): Frame {
  const data = new Uint8Array(width * height * channels);
  for (let p = 0; p < width * height; p++)
    data.set([p % width, Math.floor(p / width), 7, 255].slice(0, channels), p * channels);
  return { data, width, height, channels };
}

describe("sampleRegion", () => {
  test.each([3, 4] as const)("copies pixels as planes where nothing is resized, from %i channels", (channels) => {
    const out = sampleRegion(
      ramp(9, 8, channels),
      { x: 2, y: 3, width: 4, height: 3 },
      { ...plain, width: 4, height: 3 },
    );
    expect([...out.subarray(0, 12)]).toEqual([2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5]);
    expect([...out.subarray(12, 24)]).toEqual([3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5]);
    expect([...out.subarray(24)]).toEqual(new Array(12).fill(7));
  });

  test("keeps a slope when it shrinks and when it enlarges", () => {
    const frame = ramp(120, 90, 3);
    for (const [width, height] of [
      [30, 30],
      [240, 180],
    ]) {
      const out = sampleRegion(frame, { x: 12, y: 9, width: 60, height: 45 }, { ...plain, width, height });
      for (const x of [0, 7, width - 1]) expect(out[x]).toBeCloseTo(12 + ((x + 0.5) * 60) / width - 0.5, 3);
      for (const y of [0, 5, height - 1])
        expect(out[width * height + y * width]).toBeCloseTo(9 + ((y + 0.5) * 45) / height - 0.5, 3);
    }
  });

  test("repeats the edge, or fills, beyond the picture", () => {
    const region = { x: -4, y: 0, width: 8, height: 4 };
    const edge = sampleRegion(ramp(4, 4, 3), region, { ...plain, width: 8, height: 4 });
    expect([...edge.subarray(0, 8)]).toEqual([0, 0, 0, 0, 0, 1, 2, 3]);
    const filled = sampleRegion(ramp(4, 4, 3), region, { ...plain, outside: 99, width: 8, height: 4 });
    expect([...filled.subarray(0, 8)]).toEqual([99, 99, 99, 99, 0, 1, 2, 3]);
  });

  test("normalises per channel of the result, in either order", () => {
    const s = { ...plain, width: 1, height: 1, mean: [1, 2, 3], scale: [10, 100, 1000] };
    const at = { x: 5, y: 6, width: 1, height: 1 };
    expect([...sampleRegion(ramp(9, 8, 3), at, s)]).toEqual([40, 400, 4000]);
    expect([...sampleRegion(ramp(9, 8, 3), at, { ...s, order: "bgr" })]).toEqual([60, 400, 2000]);
  });
});

test("a letterbox holds the picture in the asked proportions", () => {
  expect(letterbox(ramp(640, 100, 3), 320, 240)).toEqual({ x: 0, y: 0, width: 640, height: 480 });
  expect(letterbox(ramp(100, 480, 3), 320, 240)).toEqual({ x: 0, y: 0, width: 640, height: 480 });
});

describe("boxes", () => {
  const box = (x: number, width: number, score: number) => ({ x, y: 0, width, height: 10, score });

  test("overlap is intersection over union", () => {
    expect(overlap(box(0, 10, 1), box(5, 10, 1))).toBeCloseTo(1 / 3);
    expect(overlap(box(0, 10, 1), box(10, 10, 1))).toBe(0);
  });

  test("of overlapping boxes the best stays; the driver is the largest", () => {
    const kept = bestBoxes([box(0, 10, 0.7), box(1, 10, 0.9), box(40, 30, 0.8)]);
    expect(kept.map((b) => b.score)).toEqual([0.9, 0.8]);
    expect(driverOf(kept)?.x).toBe(40);
    expect(driverOf([])).toBeUndefined();
  });
});
