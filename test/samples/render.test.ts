import { describe, expect, test } from "vitest";
import { type EyeAppearance, eyeState } from "../../samples/driver-monitoring/appearance.js";
import { drawAppearance } from "../../samples/driver-monitoring/population.js";
import { CROP_BYTES, renderEyes, renderSheet } from "../../samples/driver-monitoring/render.js";

/** A plain eye seen straight on whose eyeball, and nothing else, is green (white and iris) or blue (pupil). */
function plainEye(openness: number, gazeYaw = 0, side: EyeAppearance["side"] = "left"): EyeAppearance {
  const a = drawAppearance(3, 0, 5, { openness });
  const { strand: _strand, glasses: _glasses, ...rest } = a;
  return {
    ...rest,
    side,
    eyewear: "none",
    shape: { ...a.shape, openness, width: 60, openRatio: 0.4, tilt: 0, gazeYaw, gazePitch: 0, lashLength: 0, liner: 0 },
    palette: {
      skin: [200, 150, 150],
      lid: [190, 140, 140],
      hair: [40, 30, 30],
      shadow: [80, 40, 40],
      flesh: [0, 200, 0],
      sclera: [0, 220, 0],
      iris: [0, 120, 0],
      pupil: [0, 0, 255],
    },
    light: { angle: 0, side: 0, socket: 0, glints: [] },
    pose: { rotation: 0, scale: 1, dx: 0, dy: 0, squeeze: 1, shear: 0 },
  };
}

const PIXELS = 288;

/** Positions of the pixels of a plain eye for which the test of (r, g, b) holds, in crop units. */
async function where(eye: EyeAppearance, holds: (r: number, g: number, b: number) => boolean) {
  const { pixels } = await renderSheet([eye], 1, PIXELS);
  const found: { x: number; y: number }[] = [];
  for (let p = 0; p < PIXELS * PIXELS; p++) {
    if (!holds(pixels[3 * p], pixels[3 * p + 1], pixels[3 * p + 2])) continue;
    found.push({
      x: ((p % PIXELS) + 0.5) * (96 / PIXELS) - 48,
      y: (Math.floor(p / PIXELS) + 0.5) * (96 / PIXELS) - 48,
    });
  }
  return found;
}
const isEyeball = (r: number, g: number, b: number) => g > r + 20 || b > r + 60;
const isPupil = (r: number, g: number, b: number) => b > r + 60 && b > g + 60;

describe("eye renderer", () => {
  test("the visible eyeball grows with every step of openness and vanishes in a closed eye", async () => {
    const areas: number[] = [];
    for (const openness of [0, 0.1, 0.2, 0.35, 0.5, 0.75, 1]) {
      areas.push((await where(plainEye(openness), isEyeball)).length);
    }
    expect(areas[0]).toBe(0);
    for (let i = 1; i < areas.length; i++) expect(areas[i]).toBeGreaterThan(areas[i - 1]);
  });

  test("the gap between the lids is openness x openRatio x width", async () => {
    const gap = async (openness: number) => {
      const column = (await where(plainEye(openness), isEyeball)).filter(({ x }) => x > 0 && x < 96 / PIXELS);
      return column.length * (96 / PIXELS);
    };
    // The lines drawn along the lids hide the same strip at any openness, so differences are exact to a pixel or two.
    const [half, full] = [await gap(0.5), await gap(1)];
    expect(Math.abs(full - half - 0.5 * 0.4 * 60)).toBeLessThan(1);
    expect(full).toBeLessThan(0.4 * 60);
    expect(full).toBeGreaterThan(0.4 * 60 - 4);
  });

  test("the pupil moves with the gaze, mirrored in the other eye", async () => {
    const centre = async (yaw: number, side: "left" | "right") => {
      const pupil = await where(plainEye(1, yaw, side), isPupil);
      return pupil.reduce((sum, p) => sum + p.x, 0) / pupil.length;
    };
    expect(Math.abs(await centre(0, "left"))).toBeLessThan(0.5);
    expect(Math.abs((await centre(0.4, "left")) - 24 * Math.sin(0.4))).toBeLessThan(0.7);
    expect(Math.abs((await centre(0.4, "right")) + 24 * Math.sin(0.4))).toBeLessThan(0.7);
  });

  test("the same eyes give the same bytes", async () => {
    const eyes = Array.from({ length: 70 }, (_, i) => drawAppearance(9, 0, i));
    const all = await renderEyes(eyes);
    expect(all.length).toBe(70 * CROP_BYTES);
    expect(Buffer.compare(await renderEyes(eyes), all)).toBe(0);
  });

  test("what is rendered beside an eye changes it by no more than the rasteriser's rounding", async () => {
    const eyes = Array.from({ length: 70 }, (_, i) => drawAppearance(9, 0, i)).map((e) => ({
      ...e,
      camera: { ...e.camera, jpegQuality: 0 },
    }));
    const all = await renderEyes(eyes);
    const alone = await renderEyes([eyes[66], eyes[13]]);
    let worst = 0;
    for (let k = 0; k < CROP_BYTES; k++) {
      worst = Math.max(worst, Math.abs(alone[k] - all[66 * CROP_BYTES + k]));
      worst = Math.max(worst, Math.abs(alone[CROP_BYTES + k] - all[13 * CROP_BYTES + k]));
    }
    expect(worst).toBeLessThanOrEqual(2);
  });

  test("another seed gives other eyes", async () => {
    const [a, b] = await Promise.all([1, 2].map((seed) => renderEyes([drawAppearance(seed, 0, 0)])));
    expect(Buffer.compare(a, b)).not.toBe(0);
  });

  test("openness alone changes when it is asked for", () => {
    const drawn = drawAppearance(4, 1, 17);
    const asked = drawAppearance(4, 1, 17, { openness: 0.9 });
    expect(asked).toEqual({ ...drawn, shape: { ...drawn.shape, openness: 0.9 } });
  });

  test("every variation that the data set promises occurs", () => {
    const eyes = Array.from({ length: 400 }, (_, i) => drawAppearance(5, 0, i));
    const part = (holds: (e: EyeAppearance) => boolean) => eyes.filter(holds).length / eyes.length;
    expect(part((e) => e.infrared)).toBeGreaterThan(0.15);
    expect(part((e) => e.eyewear === "glasses")).toBeGreaterThan(0.2);
    expect(part((e) => e.eyewear === "sunglasses")).toBeGreaterThan(0.04);
    expect(part((e) => e.light.side > 0.35)).toBeGreaterThan(0.2);
    expect(part((e) => e.light.cast !== undefined)).toBeGreaterThan(0.04);
    expect(part((e) => e.camera.jpegQuality > 0)).toBeGreaterThan(0.3);
    expect(part((e) => e.camera.sourcePixels < 32)).toBeGreaterThan(0.1);
    expect(part((e) => e.side === "left")).toBeGreaterThan(0.4);
  });

  test("infrared crops are grey", async () => {
    const eyes = Array.from({ length: 60 }, (_, i) => drawAppearance(5, 0, i)).filter((e) => e.infrared);
    expect(eyes.length).toBeGreaterThan(5);
    const pixels = await renderEyes(eyes);
    let worst = 0;
    for (let p = 0; p < pixels.length; p += 3) {
      worst = Math.max(worst, Math.abs(pixels[p] - pixels[p + 1]), Math.abs(pixels[p] - pixels[p + 2]));
    }
    expect(worst).toBeLessThanOrEqual(1);
  });
});

describe("eyeState", () => {
  test("has an ambiguous band between closed and open", () => {
    expect([0, 0.19, 0.2, 0.3, 0.35, 0.36, 1].map(eyeState)).toEqual([0, 0, undefined, undefined, undefined, 1, 1]);
  });
});
