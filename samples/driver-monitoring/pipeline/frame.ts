/** Pictures as the pipeline reads them, and the one way in which parts of them become a net's input. */

/** A picture: rows of pixels with 3 (RGB) or 4 (RGBA) bytes each. */
export interface Frame {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels: 3 | 4;
}

/** A rectangle in a picture, in pixels; it may reach over the edge. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Sampling {
  /** Size of the result. */
  width: number;
  height: number;
  order: "rgb" | "bgr";
  /** Per channel of the result: (v - mean) * scale, v in 0..255. */
  mean: readonly number[];
  scale: readonly number[];
  /** Beyond the picture's edge: its last pixels again, or this level. */
  outside: "edge" | number;
}

/** Most samples a side that are averaged into one value where the picture is made smaller. */
const MOST_SAMPLES = 4;

const clamped = (v: number, most: number): number => Math.min(most, Math.max(0, v));

/** Positions of the samples along one axis, already turned into a pixel, its neighbour and the weight of the latter. */
function axis(from: number, length: number, size: number, pixels: number) {
  const perValue = clamped(Math.ceil(length / size), MOST_SAMPLES) || 1;
  const count = size * perValue;
  const first = new Int32Array(count);
  const second = new Int32Array(count);
  const weight = new Float32Array(count);
  const outside = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const at = from + ((i + 0.5) * length) / count - 0.5;
    outside[i] = at < -0.5 || at > pixels - 0.5 ? 1 : 0;
    const inside = clamped(at, pixels - 1);
    first[i] = Math.floor(inside);
    second[i] = Math.min(pixels - 1, first[i] + 1);
    weight[i] = inside - first[i];
  }
  return { perValue, first, second, weight, outside };
}

/**
 * Cuts a region out of a picture, resizes it (bilinear, averaged where it shrinks) and writes it as planes (channel, row,
 * column) of `s.width` x `s.height` values.
 *
 * @returns a new array, or `into` when it is given; its length must be 3 x width x height
 */
export function sampleRegion(frame: Frame, region: Region, s: Sampling, into?: Float32Array): Float32Array {
  const area = s.width * s.height;
  const out = into ?? new Float32Array(3 * area);
  if (out.length !== 3 * area) throw new RangeError(`${out.length} values cannot hold 3 x ${area}`);
  const { data, channels } = frame;
  const xs = axis(region.x, region.width, s.width, frame.width);
  const ys = axis(region.y, region.height, s.height, frame.height);
  const samples = xs.perValue * ys.perValue;
  const fill = s.outside === "edge" ? undefined : s.outside;
  const planes = s.order === "rgb" ? [0, area, 2 * area] : [2 * area, area, 0];
  const channelOf = (c: number): number => (s.order === "rgb" ? c : 2 - c);
  const means = [0, 1, 2].map((c) => s.mean[channelOf(c)]);
  const scales = [0, 1, 2].map((c) => s.scale[channelOf(c)]);
  for (let y = 0, p = 0; y < s.height; y++) {
    for (let x = 0; x < s.width; x++, p++) {
      let red = 0;
      let green = 0;
      let blue = 0;
      for (let j = y * ys.perValue; j < (y + 1) * ys.perValue; j++) {
        const upper = ys.first[j] * frame.width;
        const lower = ys.second[j] * frame.width;
        const wy = ys.weight[j];
        for (let i = x * xs.perValue; i < (x + 1) * xs.perValue; i++) {
          if (fill !== undefined && (xs.outside[i] || ys.outside[j])) {
            red += fill;
            green += fill;
            blue += fill;
            continue;
          }
          const wx = xs.weight[i];
          const a = (upper + xs.first[i]) * channels;
          const b = (upper + xs.second[i]) * channels;
          const c = (lower + xs.first[i]) * channels;
          const d = (lower + xs.second[i]) * channels;
          const [wa, wb, wc, wd] = [(1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy];
          red += wa * data[a] + wb * data[b] + wc * data[c] + wd * data[d];
          green += wa * data[a + 1] + wb * data[b + 1] + wc * data[c + 1] + wd * data[d + 1];
          blue += wa * data[a + 2] + wb * data[b + 2] + wc * data[c + 2] + wd * data[d + 2];
        }
      }
      out[planes[0] + p] = (red / samples - means[0]) * scales[0];
      out[planes[1] + p] = (green / samples - means[1]) * scales[1];
      out[planes[2] + p] = (blue / samples - means[2]) * scales[2];
    }
  }
  return out;
}

/** The smallest region of the given aspect ratio that holds the whole picture, anchored at its top left corner. */
export function letterbox(frame: Frame, width: number, height: number): Region {
  const scale = Math.max(frame.width / width, frame.height / height);
  return { x: 0, y: 0, width: width * scale, height: height * scale };
}
