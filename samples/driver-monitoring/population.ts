/** The population that the data set is drawn from: how often each look occurs, and within which bounds. */
import {
  type CameraEffects,
  CLOSED_BELOW,
  CROP_SIDE,
  type CropPose,
  type EyeAppearance,
  type EyeGlasses,
  type EyeLight,
  type EyePalette,
  type EyeShape,
  OPEN_ABOVE,
} from "./appearance.js";
import { along, blend, fromHex, grey, type Rgb, scaled } from "./colour.js";
import { type Random, randomStream } from "./random.js";

const skins = [
  "#f8e0d4",
  "#f0cbb6",
  "#e6b89e",
  "#d8a587",
  "#c08f72",
  "#a3745a",
  "#825844",
  "#614033",
  "#452d25",
  "#33221d",
].map(fromHex);
/** Colours of hair, dark ones first. */
export const hairs = [
  "#0f0d0c",
  "#1d1512",
  "#33221a",
  "#553a26",
  "#7f5a37",
  "#b48a58",
  "#8c8a88",
  "#c9c6c2",
  "#7a3b20",
].map(fromHex);
const darkIrises = ["#2a1710", "#3d2316", "#52301c", "#1d120e"].map(fromHex);
const lightIrises = ["#6b4a24", "#8a6a2f", "#6f7a3f", "#4f7a5a", "#5b87a8", "#7fa6c4", "#8b9aa5", "#496482"].map(
  fromHex,
);
const makeUps = ["#7a4a5e", "#4a3a4f", "#8a5a3a", "#3f5068", "#b07a70", "#2f2a2c"].map(fromHex);
/** Colours of spectacle frames. */
export const frames = ["#111111", "#2b1a12", "#5a3a1e", "#8c8f94", "#c3a45a", "#27364a", "#7a1f22", "#d8d5d0"].map(
  fromHex,
);

/**
 * Openness as the data set draws it: closed or open with equal chance; within closed mostly shut lids, within open mostly
 * ordinary gaps, and in both a part (`boundary`) spread evenly up to the edge of the ambiguous band.
 */
export function drawOpenness(random: Random, boundary: number): number {
  const open = random.chance(0.5);
  const even = random.chance(boundary);
  if (open) return even ? random.between(OPEN_ABOVE + 1e-3, 0.6) : random.between(0.5, 1.08);
  return even ? random.between(0.05, CLOSED_BELOW - 1e-3) : random.between(0, 0.07);
}

/** Used by the face renderer too. */
export function drawShape(random: Random, openness: number, lightLashes: boolean): EyeShape {
  const mono = random.chance(0.25);
  const liner = random.chance(0.22) ? random.between(0.8, 2.2) : 0;
  const old = random.chance(0.3) ? random.between(0.3, 1) : random.between(0, 0.25);
  return {
    width: random.between(50, 64),
    openRatio: mono ? random.between(0.31, 0.38) : random.between(0.32, 0.47),
    openness,
    tilt: random.between(-0.05, 0.1),
    peak: random.between(-0.35, 0.25),
    iris: random.between(0.185, 0.225),
    pupil: random.between(0.26, 0.58),
    gazeYaw: random.normal() * 0.32,
    gazePitch: random.normal() * 0.18,
    creaseDistance: random.between(0.06, 0.17),
    creaseStrength: mono ? random.between(0, 0.15) : random.between(0.25, 0.85),
    bag: Math.min(1, old * random.between(0.5, 1.2) + random.between(0, 0.2)),
    wrinkles: old > 0.3 ? random.between(0.2, 0.8) : 0,
    browDistance: random.between(19, 30),
    browThickness: random.between(5, 11),
    browDensity: random.chance(0.08) ? random.between(0.05, 0.3) : random.between(0.45, 1),
    browArch: random.between(1, 8),
    lashLength: liner > 0 ? random.between(5, 9) : random.between(lightLashes ? 2 : 3, 7),
    lashCount: Math.round(random.between(14, 30)),
    liner,
  };
}

/** Used by the face renderer too. */
export function drawPalette(random: Random, infrared: boolean): EyePalette {
  if (infrared) {
    const skin = random.between(105, 205);
    const bright = random.chance(0.15);
    return {
      skin: grey(skin),
      lid: grey(skin * random.between(0.92, 1.06)),
      hair: grey(random.between(18, 90)),
      iris: grey(skin * random.between(0.4, 0.75)),
      sclera: grey(skin * random.between(0.95, 1.3)),
      pupil: bright ? grey(random.between(200, 250)) : grey(random.between(4, 30)),
      flesh: grey(skin * random.between(0.9, 1.05)),
      shadow: grey(skin * 0.35),
    };
  }
  const tone = random.unit();
  const base = along(skins, tone);
  const hue = random.between(-9, 9);
  const skin: Rgb = [base[0] + hue, base[1], base[2] - hue * 0.6];
  const eyeColour = random.chance(tone > 0.55 ? 0.06 : 0.55) ? random.pick(lightIrises) : random.pick(darkIrises);
  const madeUp = random.chance(0.15);
  return {
    skin,
    lid: madeUp
      ? blend(skin, random.pick(makeUps), random.between(0.25, 0.7))
      : blend(scaled(skin, random.between(0.9, 1.03)), [170, 90, 80], random.between(0, 0.14)),
    hair: tone > 0.5 && random.chance(0.85) ? random.pick(hairs.slice(0, 3)) : random.pick(hairs),
    iris: scaled(eyeColour, random.between(0.85, 1.2)),
    // In the shade of brow and lashes the white of the eye is often no lighter than fair skin.
    sclera: scaled(blend([238, 233, 226], [225, 190, 178], random.unit() ** 2 * 0.9), random.between(0.62, 1)),
    pupil: [8, 7, 8],
    flesh: blend(skin, [196, 106, 98], random.between(0.35, 0.65)),
    shadow: blend(scaled(skin, 0.38), [60, 28, 22], 0.35),
  };
}

function drawLight(random: Random): EyeLight {
  const strong = random.chance(0.35);
  const glints = Array.from({ length: random.chance(0.85) ? (random.chance(0.3) ? 2 : 1) : 0 }, () => ({
    dx: random.between(-0.6, 0.6),
    dy: random.between(-0.65, 0.15),
    size: random.between(0.1, 0.27),
  }));
  return {
    angle: random.between(0, 2 * Math.PI),
    side: strong ? random.between(0.35, 0.8) : random.between(0, 0.3),
    socket: random.between(0.05, 0.6),
    glints,
    ...(random.chance(0.1) && {
      cast: {
        angle: random.between(0, 2 * Math.PI),
        offset: random.between(-18, 18),
        darkness: random.between(0.2, 0.45),
      },
    }),
  };
}

/** A reflection. Where it lies over the eye it stays translucent: an eye behind a white patch has no state to tell. */
function drawGlare(random: Random, sun: boolean): EyeGlasses["glare"][number] {
  const x = random.between(-32, 32);
  const y = random.between(-24, 22);
  const overEye = Math.abs(x) < 30 && Math.abs(y) < 16;
  return {
    x,
    y,
    width: random.between(4, overEye ? 16 : 24),
    height: random.between(5, overEye ? 14 : 20),
    angle: random.between(-40, 40),
    opacity: random.between(0.15, overEye ? (sun ? 0.3 : 0.45) : 0.85),
    soft: random.chance(0.5),
  };
}

function drawGlasses(random: Random, kind: EyeGlasses["kind"], infrared: boolean): EyeGlasses {
  const sun = kind === "sunglasses";
  const glares = random.chance(sun ? 0.6 : 0.65) ? Math.ceil(random.between(0, sun ? 2 : 3)) : 0;
  const frame = random.pick(frames);
  return {
    kind,
    frame: infrared ? grey((frame[0] + frame[1] + frame[2]) / 3) : frame,
    frameThickness: random.chance(0.25) ? random.between(0.8, 1.5) : random.between(1.6, 5.5),
    lens: {
      rx: random.between(35, 50),
      ry: random.between(20, 36),
      cx: random.between(-6, 6),
      cy: random.between(-2, 7),
      corner: random.between(0.3, 1),
    },
    tint: sun
      ? along(
          [
            [12, 12, 14],
            [40, 26, 16],
            [18, 34, 26],
            [30, 34, 46],
          ],
          random.unit(),
        )
      : [235, 242, 250],
    // Darker lenses than this hide the eye altogether: there would be nothing to tell the state by.
    tintOpacity: sun ? random.between(0.3, 0.55) : random.between(0, 0.1),
    glare: Array.from({ length: glares }, () => drawGlare(random, sun)),
  };
}

function drawPose(random: Random): CropPose {
  return {
    rotation: random.normal() * 0.14,
    scale: random.between(0.88, 1.2),
    dx: random.normal() * 2.6,
    dy: random.normal() * 2.6,
    squeeze: random.chance(0.3) ? random.between(0.75, 1) : random.between(0.93, 1),
    shear: random.normal() * 0.05,
  };
}

/** Mean level below which no skin is recorded, and no skin behind a tinted lens: a camera exposes for the face. */
const DARKEST_SKIN = 60;
const DARKEST_BEHIND_LENS = 40;
/** Noise stays below this part of the level around the eye. */
const NOISE_TO_SIGNAL = 0.08;

/** One crop has at most one strong loss of sharpness: motion, few pixels, or defocus. */
function drawCamera(random: Random, infrared: boolean, skin: Rgb, transmission: number): CameraEffects {
  const dark = random.chance(infrared ? 0.35 : 0.25);
  const warmth = random.normal() * 0.06;
  const tint = random.normal() * 0.03;
  const gamma = random.between(0.8, 1.25);
  const level = 255 * ((skin[0] + skin[1] + skin[2]) / 765) ** gamma;
  const behind = 255 * ((transmission * (skin[0] + skin[1] + skin[2])) / 765) ** gamma;
  const wanted = dark ? random.between(0.28, 0.6) : random.between(0.7, 1.3);
  const gain = Math.max(wanted, DARKEST_SKIN / level, DARKEST_BEHIND_LENS / behind);
  const noise = dark || infrared ? random.between(2, 13) : random.between(0, 6);
  const loss = random.unit();
  const strength = random.unit();
  const direction = random.between(0, 2 * Math.PI);
  const motion = loss < 0.13 ? 1 + 1.5 * strength : 0;
  return {
    monochrome: infrared,
    gain,
    gamma,
    whiteBalance: infrared ? [1, 1, 1] : [1 + warmth, 1 + tint, 1 - warmth],
    vignette: infrared ? random.between(0, 0.4) : random.between(0, 0.15),
    blurSigma: loss > 0.75 ? 0.45 + 0.5 * strength : random.between(0, 0.45),
    motion: { dx: motion * Math.cos(direction), dy: motion * Math.sin(direction) },
    sourcePixels: loss >= 0.13 && loss < 0.33 ? Math.round(18 + 8 * strength) : CROP_SIDE,
    noiseSigma: Math.min(noise, NOISE_TO_SIGNAL * behind * gain),
    jpegQuality: random.chance(0.5) ? random.pick([60, 75, 85, 95]) : 0,
  };
}

export interface AppearanceOptions {
  /** Openness to draw; default: `drawOpenness` with a quarter of the eyes near the boundary. */
  openness?: number;
  /** Part of the eyes that lie near the ambiguous band. Default 0.25. */
  boundary?: number;
  /** Part of the eyes behind sunglasses. Default 0.1. */
  sunglasses?: number;
}

/**
 * The appearance of eye `index` of stream family `family` under `seed`: a pure function of the three.
 */
export function drawAppearance(seed: number, family: number, index: number, o: AppearanceOptions = {}): EyeAppearance {
  const random = randomStream(seed, family, index);
  const drawn = drawOpenness(random, o.boundary ?? 0.25);
  const infrared = random.chance(0.25);
  const glassesShare = 0.3;
  const sunglassesShare = (o.sunglasses ?? 0.1) / (1 - glassesShare);
  const eyewear = random.chance(glassesShare) ? "glasses" : random.chance(sunglassesShare) ? "sunglasses" : "none";
  const palette = drawPalette(random, infrared);
  const glasses = eyewear === "none" ? undefined : drawGlasses(random, eyewear, infrared);
  return {
    side: random.chance(0.5) ? "left" : "right",
    infrared,
    eyewear,
    palette,
    shape: drawShape(random, o.openness ?? drawn, palette.hair[0] > 120),
    light: drawLight(random),
    ...(glasses && { glasses }),
    ...(random.chance(0.05) && {
      strand: { x: random.between(-40, 40), lean: random.between(-20, 20), width: random.between(1, 4) },
    }),
    pose: drawPose(random),
    camera: drawCamera(random, infrared, palette.skin, 1 - (glasses?.tintOpacity ?? 0)),
    detail: Math.floor(random.unit() * 2 ** 31),
  };
}
