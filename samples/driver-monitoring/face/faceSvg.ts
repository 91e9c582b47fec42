/** Paints a driver's head as SVG, from the back to the front: hair, ears, skin, eyes, nose, mouth, beard, glasses, coverings. */
import { blend, type Rgb, scaled, toHex } from "../colour.js";
import { eyePartsSvg } from "../eyeSvg.js";
import type { PicturePoint } from "../geometry/headPose.js";
import { directionOf, turnBack, type Vector, vectorOf } from "../geometry/rotation.js";
import {
  facePoints,
  hull,
  jawBall,
  jawDrop,
  MOUTH_WIDTH,
  noseTip,
  patch,
  project,
  silhouette,
  skull,
  type View,
} from "./headModel.js";
import { viewAt } from "./labels.js";
import type { Look, Moment } from "./look.js";

const n = (v: number): string => v.toFixed(2);
const RADIANS = Math.PI / 180;

/** A smooth closed outline through points (Catmull-Rom as cubic curves). */
function smooth(points: readonly PicturePoint[]): string {
  const at = (i: number): PicturePoint => points[(i + points.length) % points.length];
  const curves = points.map((p, i) => {
    const [before, next, after] = [at(i - 1), at(i + 1), at(i + 2)];
    const c1 = { x: p.x + (next.x - before.x) / 6, y: p.y + (next.y - before.y) / 6 };
    const c2 = { x: next.x - (after.x - p.x) / 6, y: next.y - (after.y - p.y) / 6 };
    return `C${n(c1.x)} ${n(c1.y)} ${n(c2.x)} ${n(c2.y)} ${n(next.x)} ${n(next.y)}`;
  });
  return `M${n(points[0].x)} ${n(points[0].y)}${curves.join("")}Z`;
}

const ball = (view: View, b: { centre: Vector; radii: Vector }, fill: string, extra = ""): string =>
  `<circle r="1" transform="${silhouette(view, b.centre, b.radii)}" fill="${fill}"${extra}/>`;

const path = (d: string, fill: string, opacity = 1): string =>
  `<path d="${d}" fill="${fill}" fill-opacity="${opacity.toFixed(2)}"/>`;

const pathThrough = (view: View, points: readonly Vector[]): string =>
  smooth(hull(points.map((v) => project(view, v))));

function hairBehind(look: Look, view: View): string {
  const { style, colour, volume } = look.hair;
  const s = skull(look.head);
  const grown = (k: number): Vector => [s.radii[0] * k, s.radii[1] * k, s.radii[2] * k];
  if (style === "bald") return "";
  const cap = ball(view, { centre: s.centre, radii: grown(volume) }, toHex(colour));
  if (style !== "long" && style !== "scarf") return cap;
  const fall: Vector[] = [
    [-80, 20, -70],
    [80, 20, -70],
    [92, -90, -70],
    [86, -150, -80],
    [-86, -150, -80],
    [-92, -90, -70],
  ];
  return cap + path(pathThrough(view, fall), toHex(scaled(colour, 0.85)));
}

function ears(look: Look, view: View): string {
  const skin = toHex(scaled(look.palette.skin, 0.86));
  const hidden = look.hair.style === "long" || look.hair.style === "scarf";
  if (hidden) return "";
  return [-1, 1]
    .map((side) => {
      const at: Vector = [side * 76 * look.head.width, -12, -92];
      return `<circle r="1" transform="${silhouette(view, at, [7, 30, 17])}" fill="${skin}"/><circle r="1" transform="${silhouette(view, [at[0] + side * 3, at[1], at[2]], [4, 18, 9])}" fill="${toHex(look.palette.shadow)}" fill-opacity="0.35"/>`;
    })
    .join("");
}

function skin(look: Look, m: Moment, view: View, id: string): string {
  const drop = jawDrop(m.mouthOpening);
  const { palette } = look;
  const face = facePoints(look.head, m.mouthOpening, look.hair.line);
  const base = `url(#${id}skin)`;
  const bald = look.hair.style === "bald";
  const cheeks: Vector[] = [
    [-40, -42, 0],
    [40, -42, 0],
  ];
  const forehead = project(view, [0, 40, 4]);
  const s = view.place.scale;
  return [
    bald ? ball(view, skull(look.head), base) : "",
    ball(view, jawBall(look.head, drop), base),
    path(pathThrough(view, face), base),
    `<ellipse cx="${n(forehead.x)}" cy="${n(forehead.y)}" rx="${n(38 * s)}" ry="${n(20 * s)}" fill="url(#${id}glow)" fill-opacity="0.5"/>`,
    ...cheeks.map((c) => {
      const p = project(view, c);
      return `<ellipse cx="${n(p.x)}" cy="${n(p.y)}" rx="${n(22 * s)}" ry="${n(17 * s)}" fill="url(#${id}glow)" fill-opacity="0.55"/>`;
    }),
    // The chin's shade on the neck side of the face.
    `<circle r="1" transform="${silhouette(view, [0, -126 - drop, -30], [58, 18, 40])}" fill="url(#${id}dusk)" fill-opacity="0.5"/>`,
    path(
      pathThrough(
        view,
        face.map(([x, y, z]): Vector => [x * 0.55, y * 0.4 - 62, z + 8]).filter((v) => v[1] < -90),
      ),
      toHex(palette.shadow),
      0.06,
    ),
  ].join("");
}

function hairFront(look: Look, view: View, m: Moment): string {
  const { style, colour, line, volume } = look.hair;
  if (style === "bald" || style === "short") return "";
  if (style === "cap") {
    const brim: Vector[] = [
      [-66, line - 6, -8],
      [66, line - 6, -8],
      [48, line - 14, 46],
      [-48, line - 14, 46],
    ];
    return path(pathThrough(view, brim), toHex(scaled(colour, 0.75)));
  }
  const side = (k: number): Vector[] => [
    [k * 40, line + 10, 0],
    [k * 66 * volume, line - 6, -34],
    [k * 74 * volume, style === "full" ? 4 : -70, -58],
    [k * 66, style === "full" ? 14 : -60, -56],
    [k * 60, line - 24, -36],
  ];
  const fringe: Vector[] = [
    [-48, line - 4, -10],
    [0, line + 4, 2],
    [48, line - 4, -10],
    [60, line + 26, -40],
    [0, line + 34, -14],
    [-60, line + 26, -40],
  ];
  const hair = toHex(colour);
  const turned = m.head.yaw;
  const parts = [turned > -25 ? side(-1) : undefined, turned < 25 ? side(1) : undefined, fringe];
  return parts.map((p) => (p ? path(pathThrough(view, p), hair) : "")).join("");
}

/** The two eyes with their brows; far one first. Returns definitions, eyes, and glasses to be painted later. */
function eyes(look: Look, m: Moment, view: View, id: string): { definitions: string; eyes: string; glasses: string } {
  const inHead = directionOf(turnBack(view.rotation, vectorOf(m.gaze)));
  const parts = ([-1, 1] as const).map((side) => {
    const right: Vector = [side * 0.93, 0.03, -0.36];
    const openness = side === 1 ? m.leftOpenness : m.rightOpenness;
    const shape = {
      ...look.eye,
      openness,
      gazeYaw: side * inHead.yaw * RADIANS,
      gazePitch: inHead.pitch * RADIANS,
    };
    const e = eyePartsSvg(
      {
        shape,
        palette: look.palette,
        light: { angle: 0, side: 0, socket: 0.35, glints: [{ dx: side * 0.25, dy: -0.3, size: 0.18 }] },
        detail: look.detail,
        ...(look.glasses ? { glasses: look.glasses } : {}),
      },
      `${id}${side === 1 ? "l" : "r"}`,
    );
    const unit = 30 / look.eye.width;
    const place = patch(view, [side * 31 * look.head.width, -0.5, -5], right, [0, 1, 0], unit);
    const front = patch(view, [side * 31 * look.head.width, -2, 8], [side * 0.98, 0, -0.2], [0, 1, 0], unit);
    return {
      definitions: e.definitions,
      eye: `<g transform="${place}">${e.eye}</g>`,
      glasses: e.glasses && `<g transform="${front}">${e.glasses}</g>`,
      depth: project(view, [side * 31, 0, -5]).depth,
    };
  });
  parts.sort((a, b) => a.depth - b.depth);
  const all = (f: (p: (typeof parts)[number]) => string) => parts.map(f).join("");
  return { definitions: all((p) => p.definitions), eyes: all((p) => p.eye), glasses: all((p) => p.glasses) };
}

function nose(look: Look, view: View, id: string): string {
  const tip = noseTip(look.head);
  const at = (v: Vector): PicturePoint => project(view, v);
  const h = look.head.height;
  const shade = toHex(look.palette.shadow);
  const bridge: Vector = [0, 6, 13];
  const base: Vector = [0, -52 * h, 14];
  const wings = [-1, 1].map((k): Vector => [k * 17, -48 * h, 6]);
  const side = (k: 0 | 1): string => {
    const p = [bridge, tip, wings[k], [k === 0 ? -13 : 13, -8, 2] as Vector].map(at);
    return `M${p.map((q) => `${n(q.x)} ${n(q.y)}`).join("L")}Z`;
  };
  const s = view.place.scale;
  const [ridgeA, ridgeB] = [at([0, -8, 16]), at([0, -36 * h, tip[2] * 0.93])];
  const nostril = (k: number): string => {
    const p = at([k * 8, -51 * h, 15]);
    return `<ellipse cx="${n(p.x)}" cy="${n(p.y)}" rx="${n(4.6 * s)}" ry="${n(2.6 * s)}" fill="${shade}" fill-opacity="0.8"/>`;
  };
  const lower = [tip, wings[0], base, wings[1]];
  return [
    path(side(0), shade, 0.2),
    path(side(1), shade, 0.26),
    path(pathThrough(view, [...lower, [0, -38 * h, tip[2]]]), `url(#${id}skin)`),
    `<path d="M${n(ridgeA.x)} ${n(ridgeA.y)}L${n(ridgeB.x)} ${n(ridgeB.y)}" stroke="url(#${id}ridge)" stroke-width="${n(9 * s)}" stroke-linecap="round" stroke-opacity="0.7"/>`,
    nostril(-1),
    nostril(1),
  ].join("");
}

function mouth(look: Look, m: Moment, view: View): string {
  const gap = m.mouthOpening * MOUTH_WIDTH;
  const half = (MOUTH_WIDTH / 2) * (1 - 0.25 * Math.min(1, m.mouthOpening));
  const place = patch(
    view,
    [0, -78 * look.head.height - jawDrop(m.mouthOpening) * 0.3, 12],
    [1, 0, 0],
    [0, 0.99, 0.1],
    1,
  );
  const upper = -gap * 0.45;
  const lower = gap * 0.55;
  // A quadratic curve passes its middle at half its control height.
  const arc = (from: number, to: number, middle: number): string => `M${n(from)} 0Q0 ${n(2 * middle)} ${n(to)} 0`;
  const between = (a: number, b: number): string => `${arc(-half, half, a)}Q0 ${n(2 * b)} ${n(-half)} 0Z`;
  const lip = toHex(look.lips);
  const dark: Rgb = look.infrared ? [22, 22, 22] : [46, 12, 14];
  return [
    `<g transform="${place}">`,
    path(between(upper - 5.5, upper), lip),
    path(between(lower, lower + 8), toHex(scaled(look.lips, 1.1))),
    path(between(upper, lower), toHex(dark)),
    gap > 9 ? path(between(upper + 0.6, upper + Math.min(6, gap * 0.3)), "#e6e0d6", 0.85) : "",
    gap > 16
      ? path(between(lower - gap * 0.32, lower), toHex(blend(look.lips, [190, 90, 95], look.infrared ? 0 : 0.6)), 0.75)
      : "",
    gap < 3
      ? `<path d="${arc(-half, half, 0.4)}" stroke="${toHex(scaled(look.lips, 0.45))}" stroke-width="1.6" fill="none"/>`
      : "",
    path(
      `M${n(-half * 0.5)} ${n(lower + 11)}Q0 ${n(lower + 16)} ${n(half * 0.5)} ${n(lower + 11)}Z`,
      toHex(look.palette.shadow),
      0.3,
    ),
    "</g>",
  ].join("");
}

function beard(look: Look, m: Moment, view: View): string {
  const { density, moustache, colour } = look.beard;
  const drop = jawDrop(m.mouthOpening);
  const h = look.head.height;
  const parts: string[] = [];
  if (density > 0) {
    const jaw = facePoints(look.head, m.mouthOpening, 40).filter((v) => v[1] < -40);
    const outer = hull(jaw.map((v) => project(view, v)));
    const inner = hull(
      (
        [
          [-30, -70 * h, 8],
          [30, -70 * h, 8],
          [30, -92 * h - drop * 0.8, 6],
          [-30, -92 * h - drop * 0.8, 6],
        ] as Vector[]
      ).map((v) => project(view, v)),
    ).reverse();
    parts.push(
      `<path d="${smooth(outer)}${smooth(inner)}" fill-rule="evenodd" fill="${toHex(colour)}" fill-opacity="${(density * 0.9).toFixed(2)}"/>`,
    );
  }
  if (moustache > 0) {
    const lip: Vector[] = [
      [-28, -74 * h, 8],
      [0, -62 * h, 17],
      [28, -74 * h, 8],
      [0, -70 * h, 15],
    ];
    parts.push(path(pathThrough(view, lip), toHex(colour), moustache * 0.85));
  }
  return parts.join("");
}

function mask(look: Look, m: Moment, view: View): string {
  const drop = jawDrop(m.mouthOpening) * 0.6;
  const cloth: Vector[] = [
    [0, -24, 26],
    [-40, -32, 4],
    [40, -32, 4],
    [-64, -34, -46],
    [64, -34, -46],
    [-52, -96, -34],
    [52, -96, -34],
    [0, -124 - drop, 4],
    [0, -70, 40],
  ];
  const folds = [-54, -72, -90].map((y) => {
    const [a, b, c] = [project(view, [-52, y, -16]), project(view, [0, y - 4, 34]), project(view, [52, y, -16])];
    return `M${n(a.x)} ${n(a.y)}Q${n(b.x)} ${n(b.y)} ${n(c.x)} ${n(c.y)}`;
  });
  const strap = (k: number): string => {
    const [a, b] = [project(view, [k * 62, -36, -44]), project(view, [k * 76, -8, -88])];
    return `M${n(a.x)} ${n(a.y)}L${n(b.x)} ${n(b.y)}`;
  };
  const edge = toHex(scaled(look.coveringColour, 0.7));
  return [
    `<path d="${strap(m.head.yaw > 0 ? -1 : 1)}" stroke="${toHex(look.coveringColour)}" stroke-width="1.2"/>`,
    path(pathThrough(view, cloth), toHex(look.coveringColour)),
    `<path d="${folds.join("")}" stroke="${edge}" stroke-width="0.8" fill="none" stroke-opacity="0.7"/>`,
  ].join("");
}

/** Head and neck. `definitions` go into the document's defs; `outline` is the face, for light that falls on it alone. */
export function faceSvg(look: Look, m: Moment, id: string): { definitions: string; drawing: string; outline: string } {
  const view = viewAt(look, m);
  const { palette } = look;
  const stop = (offset: number, colour: Rgb, opacity = 1) =>
    `<stop offset="${offset}" stop-color="${toHex(colour)}" stop-opacity="${opacity}"/>`;
  const e = eyes(look, m, view, id);
  const s = look.scale;
  const root = project(view, [0, -90, -70]);
  const [sx, sy] = [look.x + m.dx * 0.5, look.y + m.dy * 0.4 + 190 * s];
  const neck = `M${n(root.x - 46 * s)} ${n(root.y)}L${n(root.x + 46 * s)} ${n(root.y)}L${n(sx + 62 * s)} ${n(sy)}L${n(sx - 62 * s)} ${n(sy)}Z`;
  return {
    definitions: [
      `<linearGradient id="${id}skin" gradientUnits="userSpaceOnUse" x1="0" x2="0" y1="${n(look.y - 90 * s)}" y2="${n(look.y + 130 * s)}">${stop(0, scaled(palette.skin, 1.06))}${stop(0.6, palette.skin)}${stop(1, scaled(palette.skin, 0.82))}</linearGradient>`,
      `<radialGradient id="${id}glow">${stop(0, scaled(palette.skin, 1.22))}${stop(1, scaled(palette.skin, 1.22), 0)}</radialGradient>`,
      `<radialGradient id="${id}dusk">${stop(0, palette.shadow)}${stop(1, palette.shadow, 0)}</radialGradient>`,
      `<linearGradient id="${id}ridge" x1="0" x2="1">${stop(0, scaled(palette.skin, 1.02), 0.2)}${stop(1, scaled(palette.skin, 1.25))}</linearGradient>`,
      e.definitions,
    ].join(""),
    drawing: [
      hairBehind(look, view),
      path(neck, toHex(scaled(palette.skin, 0.72))),
      ears(look, view),
      skin(look, m, view, id),
      hairFront(look, view, m),
      e.eyes,
      nose(look, view, id),
      look.covering === "mask" ? "" : mouth(look, m, view) + beard(look, m, view),
      look.covering === "mask" ? mask(look, m, view) : "",
      e.glasses,
    ].join(""),
    outline: pathThrough(view, facePoints(look.head, m.mouthOpening, 80)),
  };
}
