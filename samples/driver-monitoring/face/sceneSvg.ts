/** The whole picture: cabin, seat and shoulders behind the driver, hands and wheel before, light over all. */
import { type Rgb, scaled, toHex } from "../colour.js";
import { randomStream } from "../random.js";
import { faceSvg } from "./faceSvg.js";
import { project } from "./headModel.js";
import { viewAt } from "./labels.js";
import { type Look, type Moment, SCENE } from "./look.js";

const n = (v: number): string => v.toFixed(1);
/** Stream family of where hands lie. */
const HAND_FAMILY = 1010;

function cabin(look: Look): string {
  const { car } = look;
  const shapes = car.shapes.map(
    (s) =>
      `<rect x="${n(s.x)}" y="${n(s.y)}" width="${n(s.width)}" height="${n(s.height)}" rx="${n(s.round)}" fill="${toHex(s.colour)}"/>`,
  );
  return [
    `<rect width="${SCENE.width}" height="${SCENE.height}" fill="${toHex(car.cabin)}"/>`,
    `<path d="M0 ${n(SCENE.height * 0.1)}L${n(SCENE.width * 0.24)} ${n(SCENE.height * 0.14)}L${n(SCENE.width * 0.2)} ${n(SCENE.height * 0.55)}L0 ${n(SCENE.height * 0.6)}Z" fill="${toHex(car.window)}"/>`,
    `<path d="M${SCENE.width} ${n(SCENE.height * 0.12)}L${n(SCENE.width * 0.78)} ${n(SCENE.height * 0.16)}L${n(SCENE.width * 0.82)} ${n(SCENE.height * 0.5)}L${SCENE.width} ${n(SCENE.height * 0.55)}Z" fill="${toHex(car.window)}"/>`,
    ...shapes,
  ].join("");
}

function seatAndBody(look: Look, m: Moment): string {
  const { x, y, scale: s, car } = look;
  const bx = x + m.dx * 0.4;
  const by = y + m.dy * 0.2;
  const rest = (w: number, top: number, h: number) =>
    `<rect x="${n(x - w * s)}" y="${n(y + top * s)}" width="${n(2 * w * s)}" height="${n(h * s)}" rx="${n(30 * s)}" fill="${toHex(car.seat)}"/>`;
  const body = `M${n(bx - 62 * s)} ${n(by + 165 * s)}Q${n(bx - 190 * s)} ${n(by + 190 * s)} ${n(bx - 215 * s)} ${n(by + 330 * s)}L${n(bx - 220 * s)} 400L${n(bx + 220 * s)} 400L${n(bx + 215 * s)} ${n(by + 330 * s)}Q${n(bx + 190 * s)} ${n(by + 190 * s)} ${n(bx + 62 * s)} ${n(by + 165 * s)}Q${n(bx)} ${n(by + 205 * s)} ${n(bx - 62 * s)} ${n(by + 165 * s)}Z`;
  return [
    rest(110, -130, 190),
    rest(190, 110, 400),
    m.present ? `<path d="${body}" fill="${toHex(car.clothes)}"/>` : "",
    m.present && car.belt
      ? `<path d="M${n(bx + 150 * s)} ${n(by + 175 * s)}L${n(bx - 60 * s)} 400" stroke="${toHex(scaled(car.seat, 0.45))}" stroke-width="${n(34 * s)}"/>`
      : "",
  ].join("");
}

/** A hand before the lower face, or the rim of the wheel. */
function coverings(look: Look, m: Moment): string {
  const s = look.scale;
  const view = viewAt(look, m);
  if (look.covering === "wheel") {
    const chin = project(view, [0, -95, 10]);
    return `<ellipse cx="${n(look.x)}" cy="${n(chin.y + 190 * s)}" rx="${n(230 * s)}" ry="${n(190 * s)}" fill="none" stroke="${toHex(look.coveringColour)}" stroke-width="${n(30 * s)}"/>`;
  }
  if (look.covering !== "hand") return "";
  const random = randomStream(look.detail, HAND_FAMILY, 0);
  const side = random.chance(0.5) ? 1 : -1;
  const at = project(view, [side * random.between(20, 62), -random.between(60, 100), 30]);
  const skin = scaled(look.palette.skin, 0.96);
  const finger = (i: number): string =>
    `<rect x="${n((-38 + 20 * i) * s)}" y="${n((-78 + 9 * Math.abs(i - 1.4)) * s)}" width="${n(18 * s)}" height="${n(70 * s)}" rx="${n(9 * s)}" fill="${toHex(scaled(skin, 1 - 0.05 * (i % 2)))}" stroke="${toHex(look.palette.shadow)}" stroke-width="0.4"/>`;
  return `<g transform="translate(${n(at.x)} ${n(at.y + 30 * s)}) rotate(${n(side * random.between(-50, 10))})">${[0, 1, 2, 3].map(finger).join("")}<rect x="${n(-42 * s)}" y="${n(-22 * s)}" width="${n(84 * s)}" height="${n(160 * s)}" rx="${n(34 * s)}" fill="${toHex(skin)}"/></g>`;
}

function light(look: Look, id: string): { definitions: string; drawing: string; onFace: string } {
  const { angle, side, glow, cast } = look.light;
  const [dx, dy] = [Math.cos(angle) / 2, Math.sin(angle) / 2];
  const warm: Rgb = look.infrared ? [255, 255, 255] : [255, 246, 228];
  const frame = `width="${SCENE.width}" height="${SCENE.height}"`;
  return {
    definitions: `<linearGradient id="${id}side" x1="${n(0.5 + dx)}" y1="${n(0.5 + dy)}" x2="${n(0.5 - dx)}" y2="${n(0.5 - dy)}"><stop offset="0" stop-color="${toHex(warm)}" stop-opacity="${(side * 0.45).toFixed(2)}"/><stop offset="0.5" stop-color="#000" stop-opacity="0"/><stop offset="1" stop-color="#000" stop-opacity="${(side * 0.85).toFixed(2)}"/></linearGradient>`,
    onFace: look.infrared ? "" : `url(#${id}side)`,
    drawing: [
      glow > 0.35 ? `<rect ${frame} fill="${toHex(warm)}" fill-opacity="${((glow - 0.35) * 0.5).toFixed(2)}"/>` : "",
      cast
        ? `<rect x="${n(cast.offset)}" y="-400" width="800" height="800" fill="#000" fill-opacity="${cast.darkness.toFixed(2)}" transform="translate(${n(look.x)} ${n(look.y)}) rotate(${n((cast.angle * 180) / Math.PI)})"/>`
        : "",
    ].join(""),
  };
}

/** The scene as an SVG document of the given size in pixels; its own units are those of `SCENE`. */
export function sceneSvg(look: Look, m: Moment, width: number, height: number): string {
  const id = "d";
  const face = m.present ? faceSvg(look, m, id) : undefined;
  const lit = light(look, id);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${SCENE.width} ${SCENE.height}">`,
    `<defs>${lit.definitions}${face?.definitions ?? ""}</defs>`,
    cabin(look),
    seatAndBody(look, m),
    face?.drawing ?? "",
    face ? `<path d="${face.outline}" fill="url(#${id}side)"/>` : "",
    m.present ? coverings(look, m) : "",
    lit.drawing,
    "</svg>",
  ].join("");
}
