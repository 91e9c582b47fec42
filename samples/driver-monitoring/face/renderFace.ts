/** Renders a scene as a camera delivers it. The same numbers give the same bytes on the same release of sharp. */
import sharp from "sharp";
import type { Frame } from "../pipeline/frame.js";
import type { Look, Moment } from "./look.js";
import { sceneSvg } from "./sceneSvg.js";

/** Raised with every change to what the camera does. */
export const FACE_RENDERER_VERSION = 1;

/** 32-bit generator for sensor noise (xorshift; Marsaglia 2003): one draw per value must cost next to nothing. */
function noiseSource(seed: number): () => number {
  let state = (seed ^ 0x6c078965) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  };
}

/** Exposure, colour, vignette and noise, in place on RGB bytes. */
function expose(data: Uint8Array, width: number, height: number, look: Look, seed: number): void {
  const { gain, gamma, balance, vignette, noiseSigma } = look.camera;
  const tables = balance.map((b) =>
    Float32Array.from({ length: 256 }, (_, v) => 255 * Math.min(1.6, (v / 255) * gain * b) ** gamma),
  );
  const next = noiseSource(seed);
  // The mean of four uniform bytes is close to normal, with a deviation of 36.95.
  const noise = noiseSigma / 36.95;
  for (let y = 0, p = 0; y < height; y++) {
    const v = (y / height - 0.5) ** 2;
    for (let x = 0; x < width; x++, p += 3) {
      const shade = 1 - vignette * 2 * ((x / width - 0.5) ** 2 + v);
      for (let c = 0; c < 3; c++) {
        const bits = look.infrared && c > 0 ? 0 : next();
        const sum = (bits & 255) + ((bits >>> 8) & 255) + ((bits >>> 16) & 255) + (bits >>> 24);
        const value = tables[c][data[p + c]] * shade + noise * (sum / 4 - 127.5);
        data[p + c] = value < 0 ? 0 : Math.min(255, value + 0.5);
      }
      if (look.infrared) {
        const level = data[p];
        data[p + 1] = level;
        data[p + 2] = level;
      }
    }
  }
}

/**
 * A moment of a drive as a camera's picture.
 *
 * @param width in pixels; the height is three quarters of it
 * @param picture number of the picture, so that noise differs from one to the next
 */
export async function renderDriver(look: Look, m: Moment, width = 320, picture = 0): Promise<Frame> {
  const height = Math.round((width * 3) / 4);
  let image = sharp(Buffer.from(sceneSvg(look, m, width, height)));
  const sigma = (look.camera.blurSigma * width) / 320;
  if (sigma >= 0.3) image = image.blur(sigma);
  const { data, info } = await image.flatten().toColourspace("srgb").raw().toBuffer({ resolveWithObject: true });
  const rgb = info.channels === 3 ? data : withoutAlpha(data, info.channels);
  expose(rgb, width, height, look, Math.imul(look.detail, 31) + picture);
  if (look.camera.jpegQuality === 0) return { data: rgb, width, height, channels: 3 };
  const jpeg = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: look.camera.jpegQuality })
    .toBuffer();
  return { data: await sharp(jpeg).raw().toBuffer(), width, height, channels: 3 };
}

function withoutAlpha(data: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let p = 0; p < rgb.length / 3; p++)
    for (let c = 0; c < 3; c++) rgb[3 * p + c] = data[p * channels + (channels < 3 ? 0 : c)];
  return rgb;
}
