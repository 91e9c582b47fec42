/**
 * The gradient of a Conv's weight by the blocked Conv itself, without unrolled windows: x and dy change roles, dy becoming a kernel as
 * large as its map and the images becoming the channels that are summed over:
 *
 *   dw[m, c, i, j] = sum over n, p, q of dy[n, m, p, q] x[n, c, s p + d i - pad, s q + j - pad]
 *
 * Images lie in blocks [N / b, H, W, c, b of N], and the channels c of a block are taken as places of a row, so that the kernel's step
 * along a row is b places wide and its outputs are the pairs (j, c): rows of many outputs, which is what the runtime's kernel is fast
 * at. `docs/training-notes.md` has the times.
 */
import type { Ref } from "../../graph/builder.js";
import { attr } from "../../graph/graph.js";
import { floats } from "../../graph/tensor.js";
import { padZeros } from "../../ops/algebra.js";
import type { Convolution } from "../../ops/convolutionGradient.js";
import { type BlockedValues, cutTo } from "./values.js";

/** Whether the form exists: whole blocks of images, and taps beside each other along a row. */
export const hasBlockedWeightGradient = (v: BlockedValues, c: Convolution): boolean =>
  c.x[0] % v.block === 0 && c.dilations[1] === 1;

/** The input of a Conv as its weight gradient reads it: in blocks, or in the net's own layout with fewer channels than a block. */
export interface GradientInput {
  ref: Ref;
  isBlocked: boolean;
}

/**
 * Gradient of the weight, [M', C', kh, kw] with whole blocks of outputs (and of inputs, where x is blocked); depthwise [C', 1, kh, kw].
 * `dy` is blocked.
 */
export function blockedWeightGradient(v: BlockedValues, dy: Ref, x: GradientInput, c: Convolution): Ref {
  const { g, block } = v;
  const [n, m] = [c.y[0], v.padded(c.y[1])];
  const [kh, kw] = c.kernel;
  const [rows, columns] = c.y.slice(2);
  const depthwise = c.groups > 1;
  const [sh, sw] = c.strides;
  // Channels that lie beside each other, and how many such blocks there are.
  const beside = x.isBlocked ? block : c.x[1];
  const blocks = x.isBlocked ? v.padded(c.x[1]) / block : 1;

  // A row just as long as the outputs read; rows of padding are left to the Conv.
  const width = sw * (columns - 1) + kw;
  const before = c.pads[1];
  const after = width - c.x[3] - before;
  const nhwc = x.isBlocked ? g.reshape(x.ref, [n * blocks, c.x[2], c.x[3], beside]) : g.transpose(x.ref, [0, 2, 3, 1]);
  const size = c.x[2] * width * beside;
  let images = g.reshape(padZeros(g, nhwc, [0, 0, before, 0, 0, 0, after, 0]), [n / block, block, blocks, size]);
  if (blocks > 1) images = g.transpose(images, [2, 0, 1, 3]);
  images = v.emit("ReorderInput", [g.reshape(images, [(blocks * n) / block, block, 1, size])]);

  const maps = g.reshape(dy, [n / block, block, m / block, rows * columns, block]);
  const filter = g.reshape(g.transpose(maps, [2, 0, 3, 1, 4]), [m, n, rows, columns]);

  const [top, bottom] = [c.pads[0], Math.max(0, sh * (rows - 1) + 1 + c.dilations[0] * (kh - 1) - c.x[2] - c.pads[0])];
  const data = g.reshape(
    images,
    depthwise ? [1, blocks * n, c.x[2], width * beside] : [blocks, n, c.x[2], width * beside],
  );
  const products = v.conv(data, filter, "", {
    pads: attr.ints([top, 0, bottom, 0]),
    strides: attr.ints([c.dilations[0], 1]),
    dilations: attr.ints([sh, sw * beside]),
    ...(depthwise ? { group: attr.int(blocks) } : {}),
  });
  // More rows than taps where the forward Conv left rows at the end unread.
  const made = Math.floor((c.x[2] + top + bottom - sh * (rows - 1) - 1) / c.dilations[0]) + 1;
  if (depthwise) {
    // Every channel of a block with every other one of it; wanted are those with themselves.
    const pairs = cutTo(
      g,
      g.reshape(products, [blocks, made, kw, block, block]),
      [blocks, made, kw, block, block],
      [blocks, kh, kw, block, block],
    );
    const diagonal = g.initializer(
      "diagonal",
      floats(
        Float32Array.from({ length: block * block }, (_, i) => (i % (block + 1) === 0 ? 1 : 0)),
        [block, block],
      ),
    );
    const own = g.reduceSum(g.mul(pairs, diagonal), [3], false);
    return g.reshape(g.transpose(own, [0, 3, 1, 2]), [m, 1, kh, kw]);
  }
  const whole = [blocks, m / block, made, kw, beside, block];
  const taps = cutTo(g, g.reshape(products, whole), whole, whole.with(2, kh));
  return g.reshape(g.transpose(taps, [1, 5, 0, 4, 2, 3]), [m, blocks * beside, kh, kw]);
}
