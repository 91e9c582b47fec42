/** The population of drivers, cars and moments: how often each look occurs and within which bounds. Pure in seed, family and index. */
import type { EyeGlasses } from "../appearance.js";
import { along, blend, grey, type Rgb, scaled } from "../colour.js";
import { angleBetween, directionOf, rotationOf, turn, vectorOf } from "../geometry/rotation.js";
import { drawPalette, drawShape, frames, hairs } from "../population.js";
import { type Random, randomStream } from "../random.js";
import { type Covering, type Look, type Moment, SCENE } from "./look.js";

const anyColour = (random: Random): Rgb => [random.between(10, 245), random.between(10, 245), random.between(10, 245)];

const greyOf = (c: Rgb): Rgb => grey(0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]);

function drawGlasses(random: Random, dark: boolean, infrared: boolean): EyeGlasses {
  const frame = random.pick(frames);
  // On a face the patch of an eye ends at the nose: lenses stay on their side of it.
  const rx = random.between(33, 42);
  return {
    kind: dark ? "sunglasses" : "glasses",
    frame: infrared ? greyOf(frame) : frame,
    frameThickness: random.chance(0.3) ? random.between(1, 2) : random.between(2, 6),
    lens: {
      rx,
      ry: random.between(dark ? 22 : 18, 33),
      cx: random.between(-1, 4),
      cy: random.between(0, 7),
      corner: random.between(0.3, 1),
    },
    tint: dark
      ? along(
          [
            [10, 10, 12],
            [36, 24, 16],
            [16, 28, 24],
            [24, 26, 38],
          ],
          random.unit(),
        )
      : [235, 242, 250],
    tintOpacity: dark ? random.between(0.86, 0.98) : random.between(0, 0.12),
    glare: Array.from({ length: random.chance(0.5) ? 1 + Math.floor(random.unit() * 2) : 0 }, () => ({
      x: random.between(-28, 28),
      y: random.between(-18, 18),
      width: random.between(4, 16),
      height: random.between(4, 14),
      angle: random.between(-40, 40),
      opacity: random.between(0.1, 0.4),
      soft: random.chance(0.5),
    })),
  };
}

function drawCar(random: Random, infrared: boolean): Look["car"] {
  const colour = infrared ? (): Rgb => grey(random.between(4, 90)) : (): Rgb => anyColour(random);
  const dull = (): Rgb =>
    infrared ? grey(random.between(5, 60)) : blend(anyColour(random), grey(random.between(20, 140)), 0.7);
  return {
    seat: dull(),
    clothes: infrared ? grey(random.between(30, 190)) : anyColour(random),
    window: infrared ? grey(random.between(0, 60)) : blend(anyColour(random), [200, 220, 240], random.between(0.3, 1)),
    cabin: dull(),
    belt: random.chance(0.7),
    shapes: Array.from({ length: Math.floor(random.between(1, 8)) }, () => ({
      x: random.between(-40, SCENE.width),
      y: random.between(-30, SCENE.height),
      width: random.between(10, 140),
      height: random.between(10, 110),
      colour: random.chance(0.25) && !infrared ? blend(colour(), [190, 140, 110], 0.6) : colour(),
      round: random.chance(0.4) ? 60 : random.between(0, 10),
    })),
  };
}

function drawCamera(random: Random, infrared: boolean, skin: Rgb): Look["camera"] {
  const dark = random.chance(0.25);
  const warmth = random.normal() * 0.06;
  const level = (skin[0] + skin[1] + skin[2]) / 3;
  const wanted = dark ? random.between(0.35, 0.7) : random.between(0.75, 1.25);
  return {
    // A camera exposes for the face: skin is not recorded darker than 45.
    gain: Math.max(wanted, 45 / level),
    gamma: random.between(0.85, 1.2),
    balance: infrared ? [1, 1, 1] : [1 + warmth, 1 + random.normal() * 0.03, 1 - warmth],
    vignette: random.between(0, infrared ? 0.5 : 0.2),
    blurSigma: random.chance(0.3) ? random.between(0.5, 1.1) : 0,
    noiseSigma: dark || infrared ? random.between(1, 8) : random.between(0, 4),
    jpegQuality: random.chance(0.4) ? random.pick([50, 70, 85]) : 0,
  };
}

/** A driver and a car. */
export function drawLook(seed: number, family: number, index: number): Look {
  const random = randomStream(seed, family, index);
  const infrared = random.chance(0.3);
  const palette = drawPalette(random, infrared);
  const style = random.pick(["bald", "short", "short", "full", "full", "long", "long", "scarf", "cap"] as const);
  const hairColour = infrared ? grey(random.between(20, 120)) : random.chance(0.7) ? palette.hair : random.pick(hairs);
  const dark = random.chance(0.13);
  const glasses = dark || random.chance(0.28) ? drawGlasses(random, dark, infrared) : undefined;
  const covering: Covering = random.chance(0.8) ? "none" : random.pick(["mask", "mask", "hand", "wheel"] as const);
  const bearded = style !== "scarf" && random.chance(0.25);
  const coveringColour: Rgb =
    covering === "mask"
      ? random.pick<Rgb>([
          [150, 190, 220],
          [235, 235, 235],
          [25, 25, 28],
          [110, 140, 120],
        ])
      : [30, 30, 32];
  const scale = random.between(0.4, 0.82);
  return {
    infrared,
    head: {
      width: random.between(0.92, 1.08),
      height: random.between(0.93, 1.07),
      jaw: random.between(0.85, 1.15),
      nose: random.between(0.85, 1.2),
    },
    eye: drawShape(random, 1, palette.hair[0] > 120),
    palette,
    lips: infrared
      ? scaled(palette.skin, random.between(0.7, 0.95))
      : blend(scaled(palette.skin, 0.8), [170, 50, 60], random.between(0.2, 0.7)),
    hair: {
      colour:
        style === "scarf" || style === "cap"
          ? infrared
            ? grey(random.between(20, 200))
            : anyColour(random)
          : hairColour,
      style,
      line: style === "bald" ? 88 : random.between(48, 72),
      volume: random.between(1.03, style === "full" || style === "long" ? 1.22 : 1.1),
    },
    beard: bearded
      ? { density: random.between(0.25, 0.95), moustache: random.between(0.2, 0.95), colour: hairColour }
      : { density: 0, moustache: random.chance(0.06) ? random.between(0.4, 0.9) : 0, colour: hairColour },
    ...(glasses ? { glasses } : {}),
    sunglasses: dark,
    covering,
    coveringColour: infrared ? greyOf(coveringColour) : coveringColour,
    x: SCENE.width * random.between(0.3, 0.7),
    y: SCENE.height * random.between(0.32, 0.55),
    scale,
    car: drawCar(random, infrared),
    light: {
      angle: random.between(0, 2 * Math.PI),
      side: random.chance(0.4) ? random.between(0.3, 0.75) : random.between(0, 0.3),
      glow: random.between(0, 0.5),
      ...(random.chance(0.12)
        ? {
            cast: {
              angle: random.between(0, 2 * Math.PI),
              offset: random.between(-40, 40),
              darkness: random.between(0.15, 0.4),
            },
          }
        : {}),
    },
    camera: drawCamera(random, infrared, palette.skin),
    detail: Math.floor(random.unit() * 2 ** 31),
  };
}

/** Eyes turn at most this far in the head, in degrees. */
export const MOST_EYE_TURN = 32;

/** A moment by itself: all poses and lids, not as often as in a drive but so that the nets see them all. */
export function drawMoment(seed: number, family: number, index: number): Moment {
  const random = randomStream(seed, family + 500, index);
  const wide = random.chance(0.5);
  const head = {
    yaw: Math.max(-62, Math.min(62, random.normal() * (wide ? 30 : 10))),
    pitch: Math.max(-38, Math.min(32, random.normal() * (wide ? 15 : 7))),
    roll: Math.max(-30, Math.min(30, random.normal() * (wide ? 10 : 4))),
  };
  const inHead = {
    yaw: Math.max(-28, Math.min(28, random.normal() * 14)),
    pitch: Math.max(-24, Math.min(20, random.normal() * 10)),
  };
  const gaze = directionOf(turn(rotationOf(head), vectorOf(inHead)));
  const kind = random.unit();
  const openness =
    kind < 0.3 ? random.between(0, 0.12) : kind < 0.5 ? random.between(0.12, 0.6) : random.between(0.6, 1.05);
  const other = random.chance(0.06) ? random.between(0, 1) : openness + random.normal() * 0.02;
  const mouth = random.unit();
  return {
    present: !random.chance(0.07),
    leftOpenness: openness,
    rightOpenness: Math.max(0, Math.min(1.1, other)),
    gaze,
    head,
    mouthOpening:
      mouth < 0.55 ? random.between(0, 0.06) : mouth < 0.75 ? random.between(0.06, 0.4) : random.between(0.4, 1),
    dx: 0,
    dy: 0,
  };
}

/** The nearest gaze that the eyes can reach with the head as it is. */
export function reachable(moment: Moment): Moment {
  const front = { yaw: moment.head.yaw, pitch: moment.head.pitch };
  const angle = angleBetween(front, moment.gaze);
  if (angle <= MOST_EYE_TURN) return moment;
  const t = MOST_EYE_TURN / angle;
  return {
    ...moment,
    gaze: {
      yaw: front.yaw + t * (moment.gaze.yaw - front.yaw),
      pitch: front.pitch + t * (moment.gaze.pitch - front.pitch),
    },
  };
}
