/**
 * What a camera does to a clean crop: exposure, white balance, vignette, defocus, motion, few pixels, noise. Works on
 * float RGB of one square crop, values 0..255; JPEG is applied later, to whole sheets.
 */
import type { CameraEffects } from "./appearance.js";
import { randomStream } from "./random.js";

/** Stream family of the sensor noise. */
const NOISE_FAMILY = 1001;

/** Position of a neighbour along an axis; the edge repeats. */
const clamped = (v: number, size: number): number => (v < 0 ? 0 : v >= size ? size - 1 : v);

/** Convolves every channel with a Gaussian along x, then along y. */
function blur(pixels: Float32Array, size: number, sigma: number): Float32Array {
  const radius = Math.max(1, Math.ceil(2.5 * sigma));
  const taps = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-((i - radius) ** 2) / (2 * sigma * sigma)),
  );
  const total = taps.reduce((sum, w) => sum + w);
  const row = new Float32Array(pixels.length);
  const out = new Float32Array(pixels.length);
  for (const [from, to, alongX] of [
    [pixels, row, true],
    [row, out, false],
  ] as const) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        let [r, g, b] = [0, 0, 0];
        for (let k = -radius; k <= radius; k++) {
          const q = 3 * (alongX ? y * size + clamped(x + k, size) : clamped(y + k, size) * size + x);
          const w = taps[k + radius] / total;
          r += w * from[q];
          g += w * from[q + 1];
          b += w * from[q + 2];
        }
        const p = 3 * (y * size + x);
        to[p] = r;
        to[p + 1] = g;
        to[p + 2] = b;
      }
    }
  }
  return out;
}

/** Adds `weight` times the pixel at a fractional position (bilinear, edges repeat) to the pixel at `to` of `out`. */
function addSample(
  pixels: Float32Array,
  size: number,
  x: number,
  y: number,
  weight: number,
  out: Float32Array,
  to: number,
): void {
  const cx = Math.max(0, Math.min(size - 1, x));
  const cy = Math.max(0, Math.min(size - 1, y));
  const x0 = Math.min(size - 2, Math.floor(cx));
  const y0 = Math.min(size - 2, Math.floor(cy));
  const [fx, fy] = [cx - x0, cy - y0];
  const p = 3 * (y0 * size + x0);
  const below = p + 3 * size;
  const [w00, w01, w10, w11] = [
    (1 - fx) * (1 - fy) * weight,
    fx * (1 - fy) * weight,
    (1 - fx) * fy * weight,
    fx * fy * weight,
  ];
  for (let c = 0; c < 3; c++) {
    out[to + c] +=
      w00 * pixels[p + c] + w01 * pixels[p + 3 + c] + w10 * pixels[below + c] + w11 * pixels[below + 3 + c];
  }
}

/** Average of the picture along a straight movement. */
function smear(pixels: Float32Array, size: number, dx: number, dy: number): Float32Array {
  const steps = 5;
  const out = new Float32Array(pixels.length);
  for (let i = 0; i < steps; i++) {
    const t = i / (steps - 1) - 0.5;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++)
        addSample(pixels, size, x + t * dx, y + t * dy, 1 / steps, out, 3 * (y * size + x));
    }
  }
  return out;
}

/** Bilinear resampling of a square picture from one size to another. */
function resample(pixels: Float32Array, from: number, to: number): Float32Array {
  const ratio = from / to;
  const out = new Float32Array(to * to * 3);
  for (let y = 0; y < to; y++) {
    for (let x = 0; x < to; x++)
      addSample(pixels, from, (x + 0.5) * ratio - 0.5, (y + 0.5) * ratio - 0.5, 1, out, 3 * (y * to + x));
  }
  return out;
}

/** Enlarges what `few` pixels a side would have held. */
function enlarge(pixels: Float32Array, size: number, few: number): Float32Array {
  return resample(resample(blur(pixels, size, (0.35 * size) / few), size, few), few, size);
}

function expose(pixels: Float32Array, size: number, e: CameraEffects): Float32Array {
  const out = new Float32Array(pixels.length);
  const middle = (size - 1) / 2;
  for (let p = 0; p < size * size; p++) {
    const [x, y] = [p % size, Math.floor(p / size)];
    const distance = ((x - middle) ** 2 + (y - middle) ** 2) / (2 * middle * middle);
    const p3 = 3 * p;
    const brightness = 0.299 * pixels[p3] + 0.587 * pixels[p3 + 1] + 0.114 * pixels[p3 + 2];
    const gain = e.gain * (1 - e.vignette * distance);
    for (let c = 0; c < 3; c++)
      out[p3 + c] = 255 * ((e.monochrome ? brightness : pixels[p3 + c]) / 255) ** e.gamma * gain * e.whiteBalance[c];
  }
  return out;
}

/**
 * The crop as the camera delivers it: 8-bit RGB, row-major.
 *
 * @param clean RGB of `size` x `size` pixels, 0..255.
 * @param seed Seeds the noise.
 */
export function takePicture(clean: Float32Array, size: number, e: CameraEffects, seed: number): Uint8ClampedArray {
  let picture = expose(clean, size, e);
  if (e.blurSigma > 0.2) picture = blur(picture, size, e.blurSigma);
  if (e.motion.dx !== 0 || e.motion.dy !== 0) picture = smear(picture, size, e.motion.dx, e.motion.dy);
  const random = randomStream(seed, NOISE_FAMILY, 0);
  if (e.noiseSigma > 0) {
    for (let p = 0; p < size * size; p++) {
      // Three parts brightness noise to one part colour noise, as demosaicing leaves it.
      const common = random.normal() * e.noiseSigma;
      for (let c = 0; c < 3; c++) {
        const colour = e.monochrome ? 0 : 0.4 * e.noiseSigma * random.between(-1.7, 1.7);
        picture[p * 3 + c] += 0.85 * common + colour;
      }
    }
  }
  if (e.sourcePixels < size) picture = enlarge(picture, size, e.sourcePixels);
  return Uint8ClampedArray.from(picture);
}
