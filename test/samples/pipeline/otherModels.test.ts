/** The pipeline with someone else's models, on photographs. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LocalRunner, openLocalRunner } from "../../../runners/index.js";
import { readPicture } from "../../../samples/driver-monitoring/headless/picture.js";
import { findStack, openStack, type Stack } from "../../../samples/driver-monitoring/headless/stackFolder.js";
import { netsOver } from "../../../samples/driver-monitoring/pipeline/net.js";
import { Pipeline } from "../../../samples/driver-monitoring/pipeline/pipeline.js";
import { hasShared, sharedPath } from "../../support/shared.js";

const photographs = [
  ["astronaut.png", 1],
  ["grace_hopper.bmp", 1],
  ["face.jpg", 4],
] as const;
const now = () => performance.now();

describe.runIf(hasShared)("face detectors and landmarks of others", () => {
  let device: LocalRunner;
  beforeAll(async () => {
    device = await openLocalRunner();
  });
  afterAll(() => device.close());

  describe.each(["yunet", "ultraface"] as const)("%s and OpenSeeFace", (detector) => {
    let stack: Stack;
    beforeAll(async () => {
      stack = await openStack(await findStack(sharedPath("models"), detector), netsOver(device));
    });
    afterAll(async () => {
      await stack.locator.close();
      await stack.reader.close();
    });

    test.each(photographs)("%s: %i faces, all with open eyes and shut mouths", async (file, count) => {
      const frame = await readPicture(sharedPath(`data/faces/${file}`));
      const { faces } = await stack.locator.locate(frame, now);
      expect(faces).toHaveLength(count);
      for (const face of faces) {
        const { reading, landmarks } = await stack.reader.read(frame, face, now);
        expect(landmarks).toHaveLength(66);
        for (const eye of [reading.leftEye, reading.rightEye]) {
          expect(eye.openness).toBeGreaterThan(0.6);
          expect(eye.openness).toBeLessThan(1.3);
          expect(eye.confidence).toBeGreaterThan(0.5);
        }
        expect(reading.mouthOpening).toBeLessThan(0.3);
        expect(Math.abs(reading.head.yaw)).toBeLessThan(35);
        expect(Math.abs(reading.head.roll)).toBeLessThan(15);
      }
    });
  });

  test("a picture's analysis tells every stage's time, and a picture without a face is not read", async () => {
    const stack = await openStack(await findStack(sharedPath("models")), netsOver(device));
    let tick = 0;
    const pipeline = new Pipeline({ ...stack, now: () => tick++ });
    const seen = await pipeline.analyse(await readPicture(sharedPath("data/faces/astronaut.png")), 0);
    expect(seen.driver?.reading.leftEye.openness).toBeGreaterThan(0.6);
    expect(Object.values(seen.times).every((ms) => ms > 0)).toBe(true);
    expect(Object.values(seen.times).reduce((a, b) => a + b)).toBeLessThanOrEqual(seen.totalMs);
    const empty = { data: new Uint8Array(320 * 240 * 3).fill(90), width: 320, height: 240, channels: 3 } as const;
    const none = await pipeline.analyse(empty, 600);
    expect(none.driver).toBeUndefined();
    expect(none.times).toMatchObject({ read: 0, "read-prepare": 0 });
    expect(none.state.status).toBe("no-face");
    await pipeline.close();
  });
});
