/**
 * Weights of a Conv laid out for the blocked kernels, inside the graph, because they change with every step. With b the length of a
 * block: dense [O/b, I/b, taps, b of I, b of O]; over an input in its own layout, and depthwise, [O/b, I, taps, b of O].
 */
import type { Ref } from "../../graph/builder.js";
import { attr } from "../../graph/graph.js";
import { ints, sizeOf } from "../../graph/tensor.js";
import { padZeros, range } from "../../ops/algebra.js";
import type { BlockedValues } from "./values.js";

/** Zeros where channels were added on the first two axes of a weight. */
export function fillFilter(v: BlockedValues, w: Ref, dims: readonly number[], outputs: number, inputs: number): Ref {
  return padZeros(v.g, w, [0, 0, 0, 0, outputs - dims[0], inputs - dims[1], 0, 0]);
}

/** Weight [O, I, …] times a factor per output channel. */
export const scaleFilter = (v: BlockedValues, w: Ref, factor: Ref | undefined): Ref =>
  factor ? v.g.mul(w, v.g.reshape(factor, [-1, 1, 1, 1])) : w;

/** [O, I, kh, kw] of whole blocks for the dense kernel. */
export function denseFilter(v: BlockedValues, w: Ref, dims: readonly number[]): Ref {
  const [o, i, ...kernel] = dims;
  const { g, block } = v;
  const split = g.reshape(w, [o / block, block, i / block, block, sizeOf(kernel)]);
  return g.reshape(g.transpose(split, [0, 2, 4, 3, 1]), dims);
}

/** [O, I, kh, kw], O of whole blocks, for an input that is not blocked, and with I = 1 for the depthwise kernel. */
export function plainInputFilter(v: BlockedValues, w: Ref, dims: readonly number[]): Ref {
  const [o, i, ...kernel] = dims;
  const { g, block } = v;
  if (i * sizeOf(kernel) === 1) return w;
  return g.reshape(g.transpose(g.reshape(w, [o / block, block, i, sizeOf(kernel)]), [0, 2, 3, 1]), dims);
}

/** The taps of a weight in reverse. */
export function reverseTaps(v: BlockedValues, w: Ref, dims: readonly number[]): Ref {
  const taps = sizeOf(dims.slice(2));
  if (taps === 1) return w;
  const { g } = v;
  const flat = g.reshape(w, [dims[0], dims[1], taps]);
  const order = g.initializer("reversed", ints(range(taps).reverse()));
  return g.reshape(g.emit("Gather", [flat, order], { axis: attr.int(2) }), dims);
}

/** The dense filter that carries gradients from the outputs O of a weight [O, I, kh, kw] back to its inputs. */
export function backwardFilter(v: BlockedValues, w: Ref, dims: readonly number[]): Ref {
  const [o, i, ...kernel] = dims;
  const { g, block } = v;
  const reversed = reverseTaps(v, w, dims);
  const split = g.reshape(reversed, [o / block, block, i / block, block, sizeOf(kernel)]);
  return g.reshape(g.transpose(split, [2, 0, 4, 1, 3]), [i, o, ...kernel]);
}
