/** TFLite's operators as its documentation defines them: loops over [n, height, width, channels], slow and plain. */
import { sizeOf } from "../../toolkit/graph/tensor.js";

/** An array in row-major order. */
export interface Numbers {
  dims: readonly number[];
  data: readonly number[];
}

export const numbers = (dims: readonly number[], data: readonly number[]): Numbers => ({ dims, data });

/** An array from a function of the indices. */
export function tabulate(dims: readonly number[], f: (...at: number[]) => number): Numbers {
  const at = dims.map(() => 0);
  const data: number[] = [];
  for (let i = 0; i < sizeOf(dims); i++) {
    data.push(f(...at));
    for (let k = dims.length - 1; k >= 0 && ++at[k] === dims[k]; k--) at[k] = 0;
  }
  return { dims, data };
}

/** Element at the indices; `outside` where there is none. */
export function get(x: Numbers, at: readonly number[], outside = 0): number {
  let i = 0;
  for (const [k, d] of x.dims.entries()) {
    if (at[k] < 0 || at[k] >= d) return outside;
    i = i * d + at[k];
  }
  return x.data[i];
}

export interface Window {
  kernel: readonly [number, number];
  strides: readonly [number, number];
  dilations?: readonly [number, number];
  same: boolean;
}

/** Output size and padding in front along one axis. */
function extent(size: number, k: number, stride: number, dilation: number, same: boolean): [number, number] {
  const reach = (k - 1) * dilation + 1;
  if (!same) return [Math.ceil((size - reach + 1) / stride), 0];
  const out = Math.ceil(size / stride);
  return [out, Math.floor(Math.max((out - 1) * stride + reach - size, 0) / 2)];
}

const places = (x: Numbers, w: Window): [number, number][] =>
  [0, 1].map((i) => extent(x.dims[i + 1], w.kernel[i], w.strides[i], w.dilations?.[i] ?? 1, w.same));

/** Calls `f` with every (row, column) of x under the window at output (y, x), and its place in the window. */
function under(
  x: Numbers,
  w: Window,
  oy: number,
  ox: number,
  f: (iy: number, ix: number, ky: number, kx: number) => void,
) {
  const [[, top], [, left]] = places(x, w);
  const [dy, dx] = w.dilations ?? [1, 1];
  for (let ky = 0; ky < w.kernel[0]; ky++)
    for (let kx = 0; kx < w.kernel[1]; kx++) {
      const [iy, ix] = [oy * w.strides[0] - top + ky * dy, ox * w.strides[1] - left + kx * dx];
      if (iy >= 0 && iy < x.dims[1] && ix >= 0 && ix < x.dims[2]) f(iy, ix, ky, kx);
    }
}

/** Weights [outputs, height, width, inputs / groups]. */
export function conv2d(x: Numbers, w: Numbers, b: Numbers | undefined, p: Omit<Window, "kernel">): Numbers {
  const window = { ...p, kernel: [w.dims[1], w.dims[2]] as const };
  const [[h], [wd]] = places(x, window);
  const [outputs, depth] = [w.dims[0], w.dims[3]];
  const perGroup = (outputs * depth) / x.dims[3];
  return tabulate([x.dims[0], h, wd, outputs], (n, oy, ox, o) => {
    let sum = b?.data[o] ?? 0;
    const first = Math.floor(o / perGroup) * depth;
    under(x, window, oy, ox, (iy, ix, ky, kx) => {
      for (let i = 0; i < depth; i++) sum += get(x, [n, iy, ix, first + i]) * get(w, [o, ky, kx, i]);
    });
    return sum;
  });
}

/** Weights [1, height, width, channels * multiplier]. */
export function depthwise(x: Numbers, w: Numbers, b: Numbers | undefined, p: Omit<Window, "kernel">): Numbers {
  const window = { ...p, kernel: [w.dims[1], w.dims[2]] as const };
  const [[h], [wd]] = places(x, window);
  const multiplier = w.dims[3] / x.dims[3];
  return tabulate([x.dims[0], h, wd, w.dims[3]], (n, oy, ox, o) => {
    let sum = b?.data[o] ?? 0;
    under(x, window, oy, ox, (iy, ix, ky, kx) => {
      sum += get(x, [n, iy, ix, Math.floor(o / multiplier)]) * get(w, [0, ky, kx, o]);
    });
    return sum;
  });
}

/** The transpose of conv2d: every input pixel adds its kernel to the output. Weights [outputs, height, width, inputs]. */
export function transposeConv(
  x: Numbers,
  w: Numbers,
  out: readonly number[],
  strides: readonly [number, number],
  same: boolean,
) {
  const p = [0, 1].map((i) => extent(out[i + 1], w.dims[i + 1], strides[i], 1, same)[1]);
  return tabulate(out, (n, oy, ox, o) => {
    let sum = 0;
    for (let iy = 0; iy < x.dims[1]; iy++)
      for (let ix = 0; ix < x.dims[2]; ix++) {
        const [ky, kx] = [oy + p[0] - iy * strides[0], ox + p[1] - ix * strides[1]];
        if (ky < 0 || kx < 0 || ky >= w.dims[1] || kx >= w.dims[2]) continue;
        for (let i = 0; i < x.dims[3]; i++) sum += get(x, [n, iy, ix, i]) * get(w, [o, ky, kx, i]);
      }
    return sum;
  });
}

export function pool(x: Numbers, w: Window, kind: "average" | "max"): Numbers {
  const [[h], [wd]] = places(x, w);
  return tabulate([x.dims[0], h, wd, x.dims[3]], (n, oy, ox, c) => {
    const seen: number[] = [];
    under(x, w, oy, ox, (iy, ix) => seen.push(get(x, [n, iy, ix, c])));
    return kind === "max" ? Math.max(...seen) : seen.reduce((a, v) => a + v, 0) / seen.length;
  });
}

/** Rows of x times the transposed weights [outputs, inputs]. */
export function fullyConnected(x: Numbers, w: Numbers, b?: Numbers): Numbers {
  const [outputs, inputs] = w.dims;
  return tabulate([x.data.length / inputs, outputs], (r, o) => {
    let sum = b?.data[o] ?? 0;
    for (let i = 0; i < inputs; i++) sum += x.data[r * inputs + i] * w.data[o * inputs + i];
    return sum;
  });
}

/** Where output pixel `i` lies in the input. */
const source = (i: number, from: number, to: number, corners: boolean, centers: boolean): number => {
  const scale = corners && to > 1 ? (from - 1) / (to - 1) : from / to;
  return centers ? (i + 0.5) * scale - 0.5 : i * scale;
};

export function resize(
  x: Numbers,
  [h, w]: readonly [number, number],
  mode: "bilinear" | "nearest",
  corners = false,
  centers = false,
) {
  return tabulate([x.dims[0], h, w, x.dims[3]], (n, oy, ox, c) => {
    const [y, x0] = [source(oy, x.dims[1], h, corners, centers), source(ox, x.dims[2], w, corners, centers)];
    const pick = (iy: number, ix: number): number =>
      get(x, [n, Math.min(Math.max(iy, 0), x.dims[1] - 1), Math.min(Math.max(ix, 0), x.dims[2] - 1), c]);
    if (mode === "nearest") {
      const round = corners || centers ? (v: number) => Math.floor(v + 0.5) : Math.floor;
      return pick(round(y), round(x0));
    }
    const [cy, cx] = [Math.max(y, 0), Math.max(x0, 0)];
    const [top, left] = [Math.floor(cy), Math.floor(cx)];
    const [fy, fx] = [cy - top, cx - left];
    return (
      pick(top, left) * (1 - fy) * (1 - fx) +
      pick(top, left + 1) * (1 - fy) * fx +
      pick(top + 1, left) * fy * (1 - fx) +
      pick(top + 1, left + 1) * fy * fx
    );
  });
}

/** numpy's broadcasting of a function of two numbers. */
export function broadcast(a: Numbers, b: Numbers, f: (x: number, y: number) => number): Numbers {
  const rank = Math.max(a.dims.length, b.dims.length);
  const size = (x: Numbers, k: number) => x.dims[k - rank + x.dims.length] ?? 1;
  const dims = Array.from({ length: rank }, (_, k) => Math.max(size(a, k), size(b, k)));
  const pick = (x: Numbers, at: number[]) =>
    get(
      x,
      x.dims.map((d, k) => (d === 1 ? 0 : at[k + rank - x.dims.length])),
    );
  return tabulate(dims, (...at) => f(pick(a, at), pick(b, at)));
}

export const map = (x: Numbers, f: (v: number) => number): Numbers => ({ dims: x.dims, data: x.data.map(f) });

/** Axes in another order: `out.dims[i] = x.dims[perm[i]]`. */
export const transpose = (x: Numbers, perm: readonly number[]): Numbers =>
  tabulate(
    perm.map((p) => x.dims[p]),
    (...at) =>
      get(
        x,
        x.dims.map((_, k) => at[perm.indexOf(k)]),
      ),
  );

/** Elements along axes brought together by a function. */
export function reduce(x: Numbers, axes: readonly number[], keep: boolean, f: (values: number[]) => number): Numbers {
  const one = x.dims.map((d, k) => (axes.includes(k) ? 1 : d));
  const groups = new Map<string, number[]>();
  tabulate(x.dims, (...at) => {
    const key = at.map((v, k) => (axes.includes(k) ? 0 : v)).join();
    groups.set(key, [...(groups.get(key) ?? []), get(x, at)]);
    return 0;
  });
  const out = tabulate(one, (...at) => f(groups.get(at.join())!));
  return keep ? out : { dims: one.filter((_, k) => !axes.includes(k)), data: out.data };
}

export const softmax = (x: Numbers): Numbers => {
  const last = x.dims.length - 1;
  const sums = reduce(map(x, Math.exp), [last], true, (v) => v.reduce((a, b) => a + b, 0));
  return broadcast(map(x, Math.exp), sums, (a, b) => a / b);
};
