/** Scripted drives as pictures: a script says what the driver does, small movements of a living head are added, exactly labelled. */
import { randomStream } from "../random.js";
import { type Action, truthAt } from "../scripts/script.js";
import { drawLook, reachable } from "./drawLook.js";
import type { Look, Moment } from "./look.js";

const SWAY_FAMILY = 1050;
/** Dark glasses of a driver who has none by nature; from the same population. */
const GLASSES_FAMILY = 1060;

/** Slow movement made of three sines, about -1..1, different for every seed and channel. */
function sway(seed: number, channel: number): (timeMs: number) => number {
  const random = randomStream(seed, SWAY_FAMILY, channel);
  const waves = Array.from({ length: 3 }, () => ({ hertz: random.between(0.08, 0.6), phase: random.between(0, 6.28) }));
  return (timeMs) =>
    waves.reduce((sum, w) => sum + Math.sin((w.hertz * 2 * Math.PI * timeMs) / 1000 + w.phase), 0) / waves.length;
}

export interface Drive {
  /** The driver at this moment, as rendered. */
  look(timeMs: number): Look;
  moment(timeMs: number): Moment;
}

/** A driver who can be watched: without mask, hand, wheel or dark glasses, and a face that the camera sees whole. */
export function watchableLook(seed: number, family: number, index: number): Look {
  const look = drawLook(seed, family, index);
  const { glasses, ...rest } = look;
  return { ...rest, ...(look.sunglasses || !glasses ? {} : { glasses }), sunglasses: false, covering: "none" };
}

/** Dark glasses for any driver. */
function darkGlasses(seed: number): NonNullable<Look["glasses"]> {
  for (let index = 0; ; index++) {
    const look = drawLook(seed, GLASSES_FAMILY, index);
    if (look.sunglasses && look.glasses) return look.glasses;
  }
}

/** A scripted drive of one driver. */
export function driveOf(actions: readonly Action[], look: Look): Drive {
  const [yaw, pitch, roll, x, y, gazeYaw, gazePitch] = Array.from({ length: 7 }, (_, c) => sway(look.detail, c));
  const glasses = darkGlasses(look.detail);
  return {
    look: (timeMs) => (truthAt(actions, timeMs).sunglasses ? { ...look, glasses, sunglasses: true } : look),
    moment(timeMs) {
      const t = truthAt(actions, timeMs);
      const [dy, dp] = [2.5 * yaw(timeMs), 1.5 * pitch(timeMs)];
      return reachable({
        present: t.present,
        leftOpenness: t.openness,
        rightOpenness: t.openness,
        head: { yaw: t.head.yaw + dy, pitch: t.head.pitch + dp, roll: t.head.roll + 2 * roll(timeMs) },
        gaze: { yaw: t.gaze.yaw + dy + 2 * gazeYaw(timeMs), pitch: t.gaze.pitch + dp + 1.5 * gazePitch(timeMs) },
        mouthOpening: t.mouthOpening,
        dx: 4 * x(timeMs) + t.head.yaw * 0.25,
        dy: 3 * y(timeMs) - t.head.pitch * 0.2,
      });
    },
  };
}
