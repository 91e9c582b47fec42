import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fitPose } from "../../../samples/driver-monitoring/geometry/headPose.js";
import {
  directionOf,
  rotationOf,
  turn,
  turnBack,
  type Vector,
  vectorOf,
} from "../../../samples/driver-monitoring/geometry/rotation.js";

/** A rough face, in millimetres. */
const face: Vector[] = [
  [-45, 0, -11],
  [-17, -1, 0],
  [17, -1, 0],
  [45, 0, -11],
  [0, 4, 13],
  [0, -40, 32],
  [-26, -75, 5],
  [26, -75, 5],
  [0, -115, -4],
];
const angles = fc.record({
  yaw: fc.double({ min: -60, max: 60, noNaN: true }),
  pitch: fc.double({ min: -40, max: 40, noNaN: true }),
  roll: fc.double({ min: -40, max: 40, noNaN: true }),
});

describe("rotations", () => {
  test("yaw turns the nose to the picture's right, pitch upwards, roll takes the crown to the right", () => {
    const nose: Vector = [0, 0, 1];
    expect(turn(rotationOf({ yaw: 30, pitch: 0, roll: 0 }), nose)[0]).toBeCloseTo(0.5);
    expect(turn(rotationOf({ yaw: 0, pitch: 30, roll: 0 }), nose)[1]).toBeCloseTo(0.5);
    expect(turn(rotationOf({ yaw: 0, pitch: 0, roll: 30 }), [0, 1, 0])[0]).toBeCloseTo(0.5);
  });

  test("the nose of a turned head points where yaw and pitch say, and turning back undoes a turn", () => {
    fc.assert(
      fc.property(angles, (a) => {
        const r = rotationOf(a);
        const nose = turn(r, [0, 0, 1]);
        const direction = directionOf(nose);
        expect(direction.yaw).toBeCloseTo(a.yaw, 6);
        expect(direction.pitch).toBeCloseTo(a.pitch, 6);
        vectorOf(a).forEach((v, i) => {
          expect(nose[i]).toBeCloseTo(v, 9);
        });
        turnBack(r, turn(r, [1, 2, 3])).forEach((v, i) => {
          expect(v).toBeCloseTo(i + 1, 9);
        });
      }),
      { seed: 1 },
    );
  });
});

describe("fitPose", () => {
  test("finds the pose of a projected face", () => {
    fc.assert(
      fc.property(angles, fc.double({ min: 0.3, max: 6, noNaN: true }), (a, scale) => {
        const r = rotationOf(a);
        const seen = face.map((v) => {
          const [x, y] = turn(r, v);
          return { x: 320 + scale * x, y: 240 - scale * y };
        });
        const fitted = fitPose(face, seen);
        expect(fitted.residual).toBeLessThan(1e-3);
        for (const k of ["yaw", "pitch", "roll"] as const) expect(Math.abs(fitted[k] - a[k])).toBeLessThan(0.05);
        expect(fitted.scale / scale).toBeCloseTo(1, 3);
      }),
      { seed: 2, numRuns: 60 },
    );
  });

  test("a camera half a metre away costs a few degrees at most", () => {
    for (const a of [
      { yaw: 25, pitch: -10, roll: 5 },
      { yaw: -35, pitch: 15, roll: -8 },
    ]) {
      const r = rotationOf(a);
      const seen = face.map((v) => {
        const [x, y, z] = turn(r, v);
        return { x: 320 + (600 * x) / (500 - z), y: 240 - (600 * y) / (500 - z) };
      });
      const fitted = fitPose(face, seen);
      for (const k of ["yaw", "pitch", "roll"] as const) expect(Math.abs(fitted[k] - a[k])).toBeLessThan(6);
    }
  });

  test("refuses too few points", () => {
    expect(() => fitPose(face.slice(0, 3), [])).toThrow(RangeError);
  });
});
