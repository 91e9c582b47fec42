/** Bytes of an RGB image to the numbers that the model reads. */
import type { Preprocessing } from "./dataset.js";

/** Channels that the model's input has. */
export const channelsOf = (p: Preprocessing): number => (p.channelOrder === "gray" ? 1 : 3);

/** Image dims of one item, without the batch axis. */
export function itemDims(p: Preprocessing): number[] {
  const { height, width } = p.size;
  const channels = channelsOf(p);
  return p.layout === "nchw" ? [channels, height, width] : [height, width, channels];
}

/**
 * Writes one image at `out[offset...]`: (v * rescaleFactor - mean) / std per channel. `rgb` holds height x width x 3
 * bytes of the size that `p` asks for. Grey is ITU-R 601 luma in the fixed point of Pillow's `convert("L")`.
 */
export function writePixels(rgb: Uint8Array, p: Preprocessing, out: Float32Array, offset: number): void {
  const area = p.size.height * p.size.width;
  const channels = channelsOf(p);
  const pixelStep = p.layout === "nchw" ? 1 : channels;
  for (let c = 0; c < channels; c++) {
    const mean = p.imageMean[c];
    const std = p.imageStd[c];
    const source = p.channelOrder === "bgr" ? 2 - c : c;
    let at = offset + (p.layout === "nchw" ? c * area : c);
    for (let i = 0; i < area; i++, at += pixelStep) {
      const j = 3 * i;
      const v =
        channels === 1 ? (rgb[j] * 19595 + rgb[j + 1] * 38470 + rgb[j + 2] * 7471 + 0x8000) >> 16 : rgb[j + source];
      out[at] = (v * p.rescaleFactor - mean) / std;
    }
  }
}
