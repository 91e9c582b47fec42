/**
 * Draws one eye crop as an SVG fragment, 96 units wide and high around the origin. Painting order is anatomy from the back
 * to the front: skin, eyeball, lids, lashes, brow, glasses, light.
 */
import type { EyeAppearance } from "./appearance.js";
import { blend, type Rgb, scaled, toHex } from "./colour.js";
import { type Curve, type EyeGeometry, eyeGeometry, pointAt } from "./eyeGeometry.js";
import { glassesSvg } from "./glassesSvg.js";
import { type Random, randomStream } from "./random.js";

/** Stream families of the fine detail; data-set splits use small numbers. */
const DETAIL_FAMILY = 1000;

const n = (v: number): string => v.toFixed(1);
const curveFrom = ([a, b, c, d]: Curve, start: "M" | "L" = "M"): string =>
  `${start}${n(a.x)} ${n(a.y)}C${n(b.x)} ${n(b.y)} ${n(c.x)} ${n(c.y)} ${n(d.x)} ${n(d.y)}`;
const reversed = ([a, b, c, d]: Curve): Curve => [d, c, b, a];
/** Closed outline between two curves that run the same way. */
const between = (upper: Curve, lower: Curve): string => `${curveFrom(upper)}${curveFrom(reversed(lower), "L")}Z`;
const shifted = (curve: Curve, dy: number): Curve => curve.map((p) => ({ x: p.x, y: p.y + dy })) as unknown as Curve;

/** The gradients of one eye; `id` makes their names unique within a sheet. */
function definitions(a: EyeAppearance, g: EyeGeometry, id: string): string {
  const { palette, light } = a;
  const stop = (offset: number, colour: Rgb | string, opacity = 1) =>
    `<stop offset="${offset}" stop-color="${typeof colour === "string" ? colour : toHex(colour)}" stop-opacity="${opacity.toFixed(2)}"/>`;
  const radial = (name: string, stops: string, extra = "") =>
    `<radialGradient id="${id}${name}"${extra}>${stops}</radialGradient>`;
  const dx = Math.cos(light.angle) / 2;
  const dy = Math.sin(light.angle) / 2;
  const toward = `x1="${n(0.5 + dx)}" y1="${n(0.5 + dy)}" x2="${n(0.5 - dx)}" y2="${n(0.5 - dy)}"`;
  return [
    radial(
      "socket",
      stop(0, palette.shadow, light.socket * 0.75) +
        stop(0.55, palette.shadow, light.socket * 0.45) +
        stop(1, palette.shadow, 0),
    ),
    radial(
      "ball",
      stop(0, palette.sclera) +
        stop(0.6, scaled(palette.sclera, 0.93)) +
        stop(1, blend(palette.sclera, palette.flesh, 0.55)),
    ),
    radial(
      "iris",
      stop(0, scaled(palette.iris, 1.45)) +
        stop(0.55, palette.iris) +
        stop(0.85, scaled(palette.iris, 0.75)) +
        stop(1, scaled(palette.iris, 0.3)),
    ),
    radial("soft", stop(0, "#ffffff") + stop(0.5, "#ffffff", 0.6) + stop(1, "#ffffff", 0)),
    radial("glow", stop(0, scaled(palette.skin, 1.3)) + stop(1, scaled(palette.skin, 1.3), 0)),
    radial("dusk", stop(0, palette.shadow) + stop(1, palette.shadow, 0)),
    `<linearGradient id="${id}light" ${toward}>${stop(0, "#fff6e6", light.side * 0.4)}${stop(0.45, "#000000", 0)}${stop(1, "#000000", light.side * 0.85)}</linearGradient>`,
    `<linearGradient id="${id}lid" x1="0" y1="0" x2="0" y2="1">${stop(0, scaled(palette.lid, 0.8))}${stop(0.6, scaled(palette.lid, 1.06))}${stop(1, scaled(palette.lid, 0.86))}</linearGradient>`,
    `<linearGradient id="${id}nose">${stop(0.2, palette.shadow, 0.5)}${stop(0.36, palette.shadow, 0.1)}${stop(0.62, palette.shadow, 0)}${stop(0.8, palette.shadow, 0.3)}</linearGradient>`,
    `<clipPath id="${id}open"><path d="${between(g.upperLid, g.lowerLid)}"/></clipPath>`,
  ].join("");
}

function skin(a: EyeAppearance, g: EyeGeometry, id: string, random: Random): string {
  const { palette, shape } = a;
  const tones = Array.from({ length: 3 }, () => {
    const colour = random.chance(0.5) ? "dusk" : "glow";
    return `<ellipse cx="${n(random.between(-45, 45))}" cy="${n(random.between(-45, 45))}" rx="${n(random.between(12, 34))}" ry="${n(random.between(10, 24))}" fill="url(#${id}${colour})" fill-opacity="${random.between(0.05, 0.3).toFixed(2)}"/>`;
  }).join("");
  const wrinkles = Array.from({ length: Math.round(shape.wrinkles * 5) }, (_, i) => {
    const y = (i - 1.5) * 4 + random.between(-1, 1);
    return `M${n(shape.width * 0.55)} ${n(y * 0.6)}q8 ${n(y * 0.3)} ${n(random.between(10, 16))} ${n(y)}`;
  }).join("");
  return [
    `<rect x="-120" y="-120" width="240" height="240" fill="${toHex(palette.skin)}"/>`,
    tones,
    `<rect x="-120" y="-120" width="240" height="240" fill="url(#${id}nose)"/>`,
    `<ellipse cx="${n(-shape.width * 0.06)}" cy="-5" rx="${n(shape.width * 0.78)}" ry="${n(g.openGap * 0.85 + 12)}" fill="url(#${id}socket)"/>`,
    // Brow bone and cheek catch the light.
    `<ellipse cx="${n(shape.width * 0.22)}" cy="${n(pointAt(g.brow, 0.6).y + shape.browThickness * 0.8 + 2)}" rx="${n(shape.width * 0.36)}" ry="6" fill="url(#${id}glow)" fill-opacity="0.55"/>`,
    `<ellipse cx="${n(shape.width * 0.12)}" cy="38" rx="34" ry="16" fill="url(#${id}glow)" fill-opacity="0.4"/>`,
    wrinkles &&
      `<path d="${wrinkles}" stroke="${toHex(palette.shadow)}" stroke-width="0.9" fill="none" stroke-opacity="0.4"/>`,
    `<path d="${between(g.bag, shifted(g.bag, 5))}" fill="${toHex(palette.shadow)}" fill-opacity="${(shape.bag * 0.14).toFixed(2)}"/>`,
    `<path d="${curveFrom(g.bag)}" stroke="${toHex(palette.shadow)}" stroke-width="2.4" stroke-linecap="round" fill="none" stroke-opacity="${(shape.bag * 0.3).toFixed(2)}"/>`,
  ].join("");
}

function eyeball(a: EyeAppearance, g: EyeGeometry, id: string, random: Random): string {
  const { shape, palette, light } = a;
  if (shape.openness < 0.01) return "";
  const { x, y, rx, ry } = g.iris;
  const fibres = Array.from({ length: 9 }, () => {
    const angle = random.between(0, 2 * Math.PI);
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    return `M${n(x + c * rx * 0.45)} ${n(y + s * ry * 0.45)}L${n(x + c * rx * 0.85)} ${n(y + s * ry * 0.85)}`;
  }).join("");
  const w = shape.width;
  const inner = g.upperLid[0];
  return [
    `<g clip-path="url(#${id}open)">`,
    `<ellipse cx="${n(x * 0.3)}" cy="${n(g.openGap * -0.1)}" rx="${n(w * 0.56)}" ry="${n(w * 0.42)}" fill="url(#${id}ball)"/>`,
    `<ellipse cx="${n(inner.x + w * 0.03)}" cy="${n(inner.y + 0.6)}" rx="${n(w * 0.065)}" ry="${n(w * 0.05)}" fill="${toHex(palette.flesh)}"/>`,
    `<ellipse cx="${n(x)}" cy="${n(y)}" rx="${n(rx)}" ry="${n(ry)}" fill="url(#${id}iris)"/>`,
    `<path d="${fibres}" stroke="${toHex(scaled(palette.iris, 1.7))}" stroke-width="0.6" stroke-opacity="0.5"/>`,
    `<ellipse cx="${n(x)}" cy="${n(y)}" rx="${n(rx * shape.pupil)}" ry="${n(ry * shape.pupil)}" fill="${toHex(palette.pupil)}"/>`,
    ...light.glints.map(
      (s) =>
        `<circle cx="${n(x + s.dx * rx)}" cy="${n(y + s.dy * ry)}" r="${n(s.size * rx)}" fill="#ffffff" fill-opacity="0.92"/>`,
    ),
    // The upper lid and its lashes throw a shadow on the ball.
    `<path d="${between(shifted(g.upperLid, -2), shifted(g.upperLid, 2 + g.openGap * 0.1))}" fill="#140c0a" fill-opacity="0.34"/>`,
    `<path d="${curveFrom(shifted(g.lowerLid, -0.7))}" stroke="${toHex(blend(palette.flesh, palette.sclera, 0.35))}" stroke-width="1.5" fill="none" stroke-opacity="0.8"/>`,
    "</g>",
  ].join("");
}

/** Lashes are darker than the hair of the head. */
const lashColour = (hair: Rgb): Rgb => blend(scaled(hair, 0.65), [24, 17, 15], 0.45);

function lids(a: EyeAppearance, g: EyeGeometry, id: string): string {
  const { shape, palette } = a;
  const closed = Math.max(0, Math.min(1, 1 - shape.openness));
  const lash = toHex(lashColour(palette.hair));
  const shade = toHex(palette.shadow);
  const crease = shape.creaseStrength * (1 - 0.55 * closed);
  return [
    `<path d="${between(g.crease, g.upperLid)}" fill="url(#${id}lid)" fill-opacity="0.8"/>`,
    `<path d="${curveFrom(shifted(g.crease, 1.5))}" stroke="${toHex(scaled(palette.lid, 1.15))}" stroke-width="2.2" fill="none" stroke-opacity="${(crease * 0.35).toFixed(2)}"/>`,
    `<path d="${curveFrom(g.crease)}" stroke="${shade}" stroke-width="1.1" fill="none" stroke-opacity="${(crease * 0.85).toFixed(2)}"/>`,
    `<path d="${curveFrom(shifted(g.crease, -1.6))}" stroke="${shade}" stroke-width="3.6" fill="none" stroke-opacity="${(crease * 0.22).toFixed(2)}"/>`,
    `<path d="${curveFrom(shifted(g.lowerLid, 1.1))}" stroke="${shade}" stroke-width="1.8" fill="none" stroke-opacity="0.3"/>`,
    `<path d="${curveFrom(g.lowerLid)}" stroke="${lash}" stroke-width="${n(0.6 + shape.liner * 0.3)}" fill="none" stroke-opacity="0.55"/>`,
    `<path d="${curveFrom(g.upperLid)}" stroke="${lash}" stroke-width="${n(1.5 + shape.liner)}" fill="none" stroke-linecap="round" stroke-opacity="0.9"/>`,
  ].join("");
}

/** One path of curved hairs that leave a curve; `reach` gives direction and length at parameter t. */
function hairs(curve: Curve, count: number, random: Random, reach: (t: number) => { dx: number; dy: number }): string {
  return Array.from({ length: count }, (_, i) => {
    const t = 0.06 + (0.92 * (i + random.between(0.1, 0.9))) / count;
    const { x, y } = pointAt(curve, t);
    const { dx, dy } = reach(t);
    return `M${n(x)} ${n(y)}q${n(dx * 0.25)} ${n(dy * 0.7)} ${n(dx)} ${n(dy)}`;
  }).join("");
}

function lashes(a: EyeAppearance, g: EyeGeometry, random: Random): string {
  const { shape, palette } = a;
  const colour = toHex(lashColour(palette.hair));
  const lift = Math.max(0, Math.min(1, (shape.openness - 0.1) / 0.5));
  const upper = hairs(g.upperLid, shape.lashCount, random, (t) => {
    const length = shape.lashLength * (0.55 + 0.45 * Math.sin(Math.PI * t)) * random.between(0.5, 1.15);
    return { dx: (t - 0.42) * length * 1.7, dy: length * (0.7 + (-0.8 - 0.7) * lift) };
  });
  const lower = hairs(g.lowerLid, Math.round(shape.lashCount * 0.6), random, (t) => {
    const length = shape.lashLength * 0.45 * random.between(0.6, 1.1);
    return { dx: (t - 0.42) * length * 1.4, dy: length * 0.85 };
  });
  return [
    `<path d="${upper}" stroke="${colour}" stroke-width="${n(0.65 + shape.liner * 0.12)}" fill="none" stroke-linecap="round" stroke-opacity="0.75"/>`,
    `<path d="${lower}" stroke="${colour}" stroke-width="0.6" fill="none" stroke-opacity="0.5"/>`,
  ].join("");
}

function brow(a: EyeAppearance, g: EyeGeometry, random: Random): string {
  const { shape, palette } = a;
  const thickness = (t: number) =>
    shape.browThickness * (t < 0.15 ? 0.25 + t * 5 : 1 - 0.75 * ((t - 0.15) / 0.85) ** 1.5);
  const count = Math.round(16 + 26 * shape.browDensity);
  const strokes = Array.from({ length: count }, (_, i) => {
    const t = (i + random.unit()) / count;
    const { x, y } = pointAt(g.brow, t);
    const half = thickness(t) / 2;
    const from = y + random.between(-0.2, 1) * half;
    return `M${n(x)} ${n(from)}l${n(0.6 + 5 * t)} ${n(-half * random.between(0.9, 1.5) * (1 - 0.8 * t))}`;
  }).join("");
  const outline = Array.from({ length: 9 }, (_, i) => ({ t: i / 8, ...pointAt(g.brow, i / 8) }));
  const top = outline.map((p) => `${n(p.x)} ${n(p.y - thickness(p.t) / 2)}`);
  const bottom = outline.reverse().map((p) => `${n(p.x)} ${n(p.y + thickness(p.t) / 2)}`);
  const colour = toHex(palette.hair);
  return [
    `<path d="M${[...top, ...bottom].join("L")}Z" fill="${colour}" fill-opacity="${(0.6 * shape.browDensity).toFixed(2)}"/>`,
    `<path d="${strokes}" stroke="${colour}" stroke-width="1.1" fill="none" stroke-opacity="${(0.3 + 0.4 * shape.browDensity).toFixed(2)}"/>`,
  ].join("");
}

function lighting(a: EyeAppearance, id: string): string {
  const parts = [`<rect x="-48" y="-48" width="96" height="96" fill="url(#${id}light)"/>`];
  const { cast } = a.light;
  if (cast) {
    parts.push(
      `<rect x="${n(cast.offset)}" y="-120" width="240" height="240" fill="#000000" fill-opacity="${cast.darkness.toFixed(2)}" transform="rotate(${n((cast.angle * 180) / Math.PI)})"/>`,
    );
  }
  return parts.join("");
}

/**
 * Lids, eye, lashes, brow and glasses alone, without the skin and the light around them, for drawing on a face. Coordinates are the
 * shape's own, x from the nose to the temple; `id` must be unique within the document.
 */
export function eyePartsSvg(
  a: Pick<EyeAppearance, "shape" | "palette" | "light" | "glasses" | "detail">,
  id: string,
): { definitions: string; eye: string; glasses: string } {
  const random = randomStream(a.detail, DETAIL_FAMILY, 0);
  const g = eyeGeometry(a.shape);
  const whole = a as EyeAppearance;
  return {
    definitions: `${definitions(whole, g, id)}${a.glasses ? glassesSvg.definitions(a.glasses, id) : ""}`,
    eye: [
      `<ellipse cx="${n(-a.shape.width * 0.06)}" cy="-5" rx="${n(a.shape.width * 0.78)}" ry="${n(g.openGap * 0.85 + 12)}" fill="url(#${id}socket)"/>`,
      `<path d="${curveFrom(g.bag)}" stroke="${toHex(a.palette.shadow)}" stroke-width="2.4" stroke-linecap="round" fill="none" stroke-opacity="${(a.shape.bag * 0.3).toFixed(2)}"/>`,
      eyeball(whole, g, id, random),
      lids(whole, g, id),
      lashes(whole, g, random),
      brow(whole, g, random),
    ].join(""),
    glasses: a.glasses ? glassesSvg.draw(a.glasses, id) : "",
  };
}

/** The crop's content as SVG elements; `id` must be unique within the document. */
export function eyeSvg(a: EyeAppearance, id: string): string {
  const random = randomStream(a.detail, DETAIL_FAMILY, 0);
  const g = eyeGeometry(a.shape);
  const { pose } = a;
  const mirror = a.side === "left" ? 1 : -1;
  const degrees = (pose.rotation * 180) / Math.PI;
  const transform = [
    `translate(${n(pose.dx)} ${n(pose.dy)})`,
    `rotate(${n(degrees)})`,
    `scale(${(pose.scale * pose.squeeze * mirror).toFixed(3)} ${pose.scale.toFixed(3)})`,
    `skewY(${n((pose.shear * 180) / Math.PI)})`,
  ].join(" ");
  const strand = a.strand
    ? `<path d="M${n(a.strand.x)} -60q${n(a.strand.lean)} 50 ${n(a.strand.lean * 0.6)} 120" stroke="${toHex(a.palette.hair)}" stroke-width="${n(a.strand.width)}" fill="none" stroke-opacity="0.85"/>`
    : "";
  return [
    `<defs>${definitions(a, g, id)}${a.glasses ? glassesSvg.definitions(a.glasses, id) : ""}</defs>`,
    `<g transform="${transform}">`,
    skin(a, g, id, random),
    eyeball(a, g, id, random),
    lids(a, g, id),
    lashes(a, g, random),
    brow(a, g, random),
    strand,
    a.glasses ? glassesSvg.draw(a.glasses, id) : "",
    "</g>",
    lighting(a, id),
  ].join("");
}
