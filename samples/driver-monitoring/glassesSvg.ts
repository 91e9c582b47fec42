/** Draws glasses and sunglasses over an eye: shadow of the frame, lens with tint and reflections, frame. */
import type { EyeGlasses } from "./appearance.js";
import { toHex } from "./colour.js";

const n = (v: number): string => v.toFixed(1);

function lens(g: EyeGlasses): string {
  const { rx, ry, cx, cy, corner } = g.lens;
  return `x="${n(cx - rx)}" y="${n(cy - ry)}" width="${n(2 * rx)}" height="${n(2 * ry)}" rx="${n(ry * corner)}" ry="${n(ry * corner)}"`;
}

function definitions(g: EyeGlasses, id: string): string {
  return `<clipPath id="${id}lens"><rect ${lens(g)}/></clipPath>`;
}

function draw(g: EyeGlasses, id: string): string {
  const { rx, cx, cy, ry } = g.lens;
  const frame = toHex(g.frame);
  const bridge = `M${n(cx - rx)} ${n(cy - ry * 0.35)}q-10 -5 -24 -4`;
  const arm = `M${n(cx + rx)} ${n(cy - ry * 0.45)}l26 -3`;
  const outline = (colour: string, opacity: number, dy: number) =>
    `<g fill="none" stroke="${colour}" stroke-width="${n(g.frameThickness)}" stroke-opacity="${opacity}" transform="translate(0 ${dy})"><rect ${lens(g)}/><path d="${bridge}${arm}"/></g>`;
  const glare = g.glare.map((r) => {
    const place = `transform="translate(${n(r.x)} ${n(r.y)}) rotate(${n(r.angle)})" fill-opacity="${r.opacity.toFixed(2)}"`;
    return r.soft
      ? `<ellipse rx="${n(r.width * 0.8)}" ry="${n(r.height * 0.8)}" fill="url(#${id}soft)" ${place}/>`
      : `<path d="M${n(-r.width / 2)} ${n(-r.height / 2)}h${n(r.width * 0.7)}l${n(r.width * 0.3)} ${n(r.height)}h${n(-r.width * 0.7)}Z" fill="#ffffff" ${place}/>`;
  });
  return [
    outline("#000000", 0.16, 2.4),
    `<g clip-path="url(#${id}lens)"><rect ${lens(g)} fill="${toHex(g.tint)}" fill-opacity="${g.tintOpacity.toFixed(2)}"/>${glare.join("")}</g>`,
    outline(frame, 0.95, 0),
  ].join("");
}

/** `definitions` go into the document's defs, `draw` into the eye's own coordinates. */
export const glassesSvg = { definitions, draw };
