/**
 * The gradient that a strided Conv sends back to its input, by blocked kernels. Positions of the input that lie a stride apart see
 * the same taps of the kernel: they are one phase. All phases together are a stride-1 Conv over the output's gradient with an
 * output channel per phase and channel, whose maps are then interleaved.
 */
import type { Ref } from "../../graph/builder.js";
import { attr } from "../../graph/graph.js";
import { ints, sizeOf } from "../../graph/tensor.js";
import { padZeros, range } from "../../ops/algebra.js";
import type { Convolution } from "../../ops/convolutionGradient.js";
import { type BlockedValues, cutTo } from "./values.js";

/** One spatial axis: which tap of the kernel each phase reads at each offset of the gradient, undefined where none. */
export interface PhasedAxis {
  /** [phase][place in the window]. */
  taps: (number | undefined)[][];
  pads: [number, number];
  /** Positions per phase. */
  length: number;
}

/**
 * dx[s q + r] = sum over t of w[i0 + s t] dy[q + shift - t], where i0 = (r + p) mod s and shift = (r + p - i0) / s. Undefined where
 * that needs gradients cut off at an edge.
 */
export function phasedAxis(
  input: number,
  output: number,
  kernel: number,
  stride: number,
  pad: number,
): PhasedAxis | undefined {
  const phases = range(stride).map((r) => {
    const first = (r + pad) % stride;
    const taps = Math.max(0, Math.ceil((kernel - first) / stride));
    return { first, taps, shift: (r + pad - first) / stride };
  });
  const used = phases.filter((p) => p.taps > 0);
  const low = Math.min(...used.map((p) => p.shift - p.taps + 1));
  const high = Math.max(...used.map((p) => p.shift));
  const length = Math.ceil(input / stride);
  const pads: [number, number] = [-low, length - 1 + high - (output - 1)];
  if (pads.some((p) => p < 0)) return undefined;
  const taps = phases.map((p) =>
    range(high - low + 1).map((place) => {
      const t = p.shift - (low + place);
      return t >= 0 && t < p.taps ? p.first + stride * t : undefined;
    }),
  );
  return { taps, pads, length };
}

/** The two axes of a dense Conv, or undefined where `stridedInputGradient` has no form for it. */
export function phasesOf(c: Convolution): readonly [PhasedAxis, PhasedAxis] | undefined {
  if (c.dilations.some((d) => d !== 1)) return undefined;
  const [h, w] = [0, 1].map((i) => phasedAxis(c.x[i + 2], c.y[i + 2], c.kernel[i], c.strides[i], c.pads[i]));
  return h && w && [h, w];
}

/** `weight` [M', C', kh, kw] of whole blocks; `dy` and the result in blocks. */
export function stridedInputGradient(
  v: BlockedValues,
  dy: Ref,
  weight: Ref,
  dims: readonly number[],
  c: Convolution,
  [h, w]: readonly [PhasedAxis, PhasedAxis],
): Ref {
  const { g, block } = v;
  const [m, channels] = dims;
  const taps = sizeOf(c.kernel);
  const [sh, sw] = c.strides;
  const window = [h.taps[0].length, w.taps[0].length];
  // One tap more than there are, which is zero, stands for "none".
  const order = h.taps.flatMap((rows) =>
    w.taps.flatMap((columns) =>
      rows.flatMap((i) => columns.map((j) => (i === undefined || j === undefined ? taps : i * c.kernel[1] + j))),
    ),
  );
  const extended = padZeros(g, g.reshape(weight, [m, channels, taps]), [0, 0, 0, 0, 0, 1]);
  const chosen = g.emit("Gather", [extended, g.initializer("phases", ints(order))], { axis: attr.int(2) });
  const split = g.reshape(chosen, [m / block, block, channels / block, block, sh * sw, sizeOf(window)]);
  const filter = g.reshape(g.transpose(split, [4, 2, 0, 5, 1, 3]), [sh * sw * channels, m, ...window]);
  const pads = attr.ints([h.pads[0], w.pads[0], h.pads[1], w.pads[1]]);
  const phased = v.conv(dy, filter, "", { pads });
  const n = c.x[0];
  const parts = g.reshape(phased, [n, sh, sw, channels / block, h.length, w.length, block]);
  const woven = g.transpose(parts, [0, 3, 4, 1, 5, 2, 6]);
  const full = [(n * channels) / block, h.length * sh, w.length * sw, block];
  const cut = cutTo(g, g.reshape(woven, full), full, [full[0], c.x[2], c.x[3], block]);
  return g.reshape(cut, [n, channels, c.x[2], c.x[3]]);
}
