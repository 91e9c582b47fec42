/** sRGB colours as triples of 0..255, and the few operations that the eye renderer needs. */

export type Rgb = readonly [number, number, number];

const clamp = (v: number): number => Math.max(0, Math.min(255, v));

/** `#rrggbb` to a triple. */
export function fromHex(hex: string): Rgb {
  const v = Number.parseInt(hex.slice(1), 16);
  return [(v >> 16) & 255, (v >> 8) & 255, v & 255];
}

/** A triple to `#rrggbb`, rounded and clamped. */
export function toHex(c: Rgb): string {
  return `#${c.map((v) => Math.round(clamp(v)).toString(16).padStart(2, "0")).join("")}`;
}

/** `a` at t = 0, `b` at t = 1. */
export function blend(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

/** All channels times `factor`, clamped. */
export function scaled(c: Rgb, factor: number): Rgb {
  return [clamp(c[0] * factor), clamp(c[1] * factor), clamp(c[2] * factor)];
}

/** The grey of the same value in all three channels. */
export const grey = (v: number): Rgb => [clamp(v), clamp(v), clamp(v)];

/** The colour at position `t` (0..1) of a row of colours, interpolated. */
export function along(colours: readonly Rgb[], t: number): Rgb {
  const x = Math.max(0, Math.min(1, t)) * (colours.length - 1);
  const i = Math.min(colours.length - 2, Math.floor(x));
  return blend(colours[i], colours[i + 1], x - i);
}
