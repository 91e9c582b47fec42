/** Rendered drivers: the drawing against the labels, which are computed without it. */
import { describe, expect, test } from "vitest";
import { drawLook, drawMoment } from "../../../samples/driver-monitoring/face/drawLook.js";
import { landmarkPlaces } from "../../../samples/driver-monitoring/face/headModel.js";
import { labelsOf } from "../../../samples/driver-monitoring/face/labels.js";
import { type Look, type Moment, SCENE } from "../../../samples/driver-monitoring/face/look.js";
import { renderDriver } from "../../../samples/driver-monitoring/face/renderFace.js";
import { driveOf, watchableLook } from "../../../samples/driver-monitoring/face/sequence.js";
import { fitPose } from "../../../samples/driver-monitoring/geometry/headPose.js";

const frontal: Moment = {
  present: true,
  leftOpenness: 1,
  rightOpenness: 1,
  gaze: { yaw: 0, pitch: 0 },
  head: { yaw: 0, pitch: 0, roll: 0 },
  mouthOpening: 0.02,
  dx: 0,
  dy: 0,
};
const turned: Moment = {
  ...frontal,
  head: { yaw: 24, pitch: -10, roll: 8 },
  gaze: { yaw: 24, pitch: -10 },
};

/** A driver seen clearly: bare face, sharp and still camera. */
function plainLook(): Look {
  const { glasses: _, ...look } = watchableLook(5, 20, 3);
  const still = { ...look.camera, blurSigma: 0, noiseSigma: 0, jpegQuality: 0 };
  return {
    ...look,
    beard: { ...look.beard, density: 0, moustache: 0 },
    camera: still,
    hair: { ...look.hair, style: "short" },
  };
}

/** Middle and extent of the pixels that differ between two moments, in units of the scene. */
async function change(look: Look, a: Moment, b: Moment) {
  const [p, q] = await Promise.all([renderDriver(look, a, 640), renderDriver(look, b, 640)]);
  const xs: number[] = [];
  const ys: number[] = [];
  for (let i = 0; i < p.width * p.height; i++) {
    if (Math.abs(p.data[3 * i] - q.data[3 * i]) < 12) continue;
    xs.push(((i % p.width) * SCENE.width) / p.width);
    ys.push((Math.floor(i / p.width) * SCENE.width) / p.width);
  }
  const mean = (v: readonly number[]) => v.reduce((s, x) => s + x, 0) / v.length;
  return { count: xs.length, x: mean(xs), y: mean(ys), left: Math.min(...xs), right: Math.max(...xs) };
}

describe.each([
  ["facing the camera", frontal],
  ["turned", turned],
] as const)("a driver %s", (_, m) => {
  const look = plainLook();
  const { landmarks } = labelsOf(look, m);
  const eyeWidth = Math.hypot(landmarks[3].x - landmarks[2].x, landmarks[3].y - landmarks[2].y);
  const middle = (a: number, b: number) => ({
    x: (landmarks[a].x + landmarks[b].x) / 2,
    y: (landmarks[a].y + landmarks[b].y) / 2,
  });

  test.each([
    ["leftOpenness", 2, 3],
    ["rightOpenness", 0, 1],
  ] as const)("%s moves lids and brow of that eye and nothing else", async (key, a, b) => {
    const moved = await change(look, m, { ...m, [key]: 0 });
    const eye = middle(a, b);
    expect(moved.count).toBeGreaterThan(30);
    expect(Math.abs(moved.x - eye.x)).toBeLessThan(0.25 * eyeWidth);
    expect(Math.abs(moved.y - eye.y)).toBeLessThan(0.5 * eyeWidth);
    expect(moved.right - moved.left).toBeLessThan(2 * eyeWidth);
  });

  test("the gaze moves the irises where it points", async () => {
    /** Centre of what is dark between the corners of the left eye. */
    const iris = async (gaze: Moment["gaze"]) => {
      const frame = await renderDriver(look, { ...m, gaze }, 640);
      const k = frame.width / SCENE.width;
      const eye = middle(2, 3);
      let [sum, x, y] = [0, 0, 0];
      for (let dy = -0.2 * eyeWidth; dy < 0.2 * eyeWidth; dy += 0.25)
        for (let dx = -0.4 * eyeWidth; dx < 0.4 * eyeWidth; dx += 0.25) {
          const at = Math.round((eye.y + dy) * k) * frame.width + Math.round((eye.x + dx) * k);
          const dark = (255 - frame.data[3 * at]) ** 4;
          sum += dark;
          x += dark * dx;
          y += dark * dy;
        }
      return { x: x / sum, y: y / sum };
    };
    const aim = (yaw: number, pitch: number) => iris({ yaw: m.gaze.yaw + yaw, pitch: m.gaze.pitch + pitch });
    const [right, left, up, down] = [await aim(18, 0), await aim(-18, 0), await aim(0, 14), await aim(0, -14)];
    expect(right.x).toBeGreaterThan(left.x + 0.04 * eyeWidth);
    expect(up.y).toBeLessThan(down.y - 0.01 * eyeWidth);
  });

  test("the mouth opens where the corners of the mouth are", async () => {
    const open = { ...m, mouthOpening: 0.7 };
    const moved = await change(look, m, open);
    const [right, left] = [landmarks[5], landmarks[6]];
    expect(Math.abs(moved.x - (right.x + left.x) / 2)).toBeLessThan(0.8 * (left.x - right.x));
    expect(moved.y).toBeGreaterThan((right.y + left.y) / 2 - 3);
  });

  test("the landmarks' pose is the label's pose", () => {
    const fitted = fitPose(landmarkPlaces(look.head, m.mouthOpening), landmarks);
    for (const k of ["yaw", "pitch", "roll"] as const) expect(Math.abs(fitted[k] - m.head[k])).toBeLessThan(0.1);
  });
});

test("the box holds the landmarks, and is absent without a driver", () => {
  for (let i = 0; i < 60; i++) {
    const moment = { ...drawMoment(1, 20, i), present: true };
    const { box, landmarks } = labelsOf(drawLook(1, 20, i), moment);
    for (const p of landmarks) {
      expect(p.x).toBeGreaterThan(box!.x - 0.01);
      expect(p.x).toBeLessThan(box!.x + box!.width + 0.01);
      expect(p.y).toBeLessThan(box!.y + box!.height + 0.01);
    }
    expect(labelsOf(drawLook(1, 20, i), { ...moment, present: false }).box).toBeUndefined();
  }
});

test("the same numbers give the same picture; another seed, family or index gives another driver", async () => {
  const [look, moment] = [drawLook(1, 20, 7), drawMoment(1, 20, 7)];
  const [a, b] = [await renderDriver(look, moment, 160), await renderDriver(look, moment, 160)];
  expect(Buffer.from(a.data).equals(Buffer.from(b.data))).toBe(true);
  const others = [drawLook(2, 20, 7), drawLook(1, 21, 7), drawLook(1, 20, 8)].map((l) => JSON.stringify(l));
  expect(new Set([JSON.stringify(look), ...others]).size).toBe(4);
});

test("infrared pictures are grey", async () => {
  const index = Array.from({ length: 50 }, (_, i) => i).find((i) => drawLook(1, 20, i).infrared)!;
  const { data } = await renderDriver({ ...drawLook(1, 20, index) }, drawMoment(1, 20, index), 160);
  for (let p = 0; p < data.length; p += 3 * 97) expect(Math.abs(data[p] - data[p + 2])).toBeLessThanOrEqual(6);
});

test("a scripted drive does what its script says, in small movements", () => {
  const drive = driveOf(
    [
      { do: "close", at: 2000, forMs: 500 },
      { do: "sunglasses", at: 4000, forMs: 1000 },
    ],
    watchableLook(1, 40, 0),
  );
  expect(drive.moment(2200).leftOpenness).toBe(0);
  expect(drive.moment(1000).leftOpenness).toBeGreaterThan(0.9);
  expect(drive.look(4500).sunglasses).toBe(true);
  expect(drive.look(1000).sunglasses).toBe(false);
  for (let t = 0; t < 6000; t += 100) expect(Math.abs(drive.moment(t).head.yaw)).toBeLessThanOrEqual(2.5);
});
