/**
 * Orders of axes. TFLite's images are [n, height, width, channels], ONNX's kernels want [n, channels, height, width]. A
 * layout says which logical axis (TFLite's order) each axis of the value in memory is: `layout[physical] = logical`.
 */
import { allocate, sizeOf, type Tensor } from "../graph/tensor.js";

export type Layout = readonly number[];

/** The order of the file. */
export const asInFile = (rank: number): Layout => Array.from({ length: rank }, (_, i) => i);

/** Channels right after the batch. */
export const channelsFirst = (rank: number): Layout =>
  rank < 3 ? asInFile(rank) : [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];

export const sameLayout = (a: Layout, b: Layout): boolean => a.length === b.length && a.every((v, i) => v === b[i]);

/** Sizes in memory from sizes in the order of the file. */
export const physical = (dims: readonly number[], layout: Layout): number[] => layout.map((axis) => dims[axis]);

/** `perm` of the Transpose that brings a value from one layout to another. */
export const between = (from: Layout, to: Layout): number[] => to.map((axis) => from.indexOf(axis));

/** Whether going from one layout to the other moves nothing but axes of size 1, so that a Reshape does it. */
export function movesOnlyUnits(dims: readonly number[], from: Layout, to: Layout): boolean {
  const order = (l: Layout): string => l.filter((axis) => dims[axis] !== 1 || axis === 0).join();
  return from[0] === to[0] && order(from) === order(to);
}

/** The tensor with its axes in another order: `out.dims[i] = t.dims[perm[i]]`. */
export function permute(t: Tensor, perm: readonly number[]): Tensor {
  if (perm.every((p, i) => p === i)) return t;
  const dims = physical(t.dims, perm);
  const strides = t.dims.map((_, i) => sizeOf(t.dims.slice(i + 1)));
  const steps = physical(strides, perm);
  const source = t.data as Float32Array;
  const data = allocate(t.elemType, source.length) as Float32Array;
  const at = dims.map(() => 0);
  let from = 0;
  for (let to = 0; to < data.length; to++) {
    data[to] = source[from];
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      from += steps[axis];
      if (++at[axis] < dims[axis]) break;
      from -= steps[axis] * dims[axis];
      at[axis] = 0;
    }
  }
  return { elemType: t.elemType, dims, data };
}

/**
 * The layout that a Reshape from `before` to `after` leaves behind when it is done on the value as it lies in memory;
 * undefined where it must be done in the order of the file.
 *
 * Both shapes fall into the finest groups of neighbouring axes with equal products: [n, h, w, c] to [n, h*w, g, c/g] has
 * n | h w -> hw | c -> g, c/g. A group keeps its elements together, so groups may stand in any order, as long as the axes
 * inside each one are neighbours in the file's order. Axes of size 1 are nowhere and everywhere. The batch is a group of its own.
 */
export function reshapedLayout(
  before: readonly number[],
  layout: Layout,
  after: readonly number[],
): Layout | undefined {
  const batch = before.length > 0 && after.length > 0 && before[0] === after[0];
  if (batch && layout[0] !== 0) return undefined;
  const counts = (dims: readonly number[]) => (axis: number) => dims[axis] !== 1 || (batch && axis === 0);
  const groups = groupsOf(before, after, batch);
  if (!groups) return undefined;
  const order: number[] = [];
  const real = layout.filter(counts(before));
  for (let i = 0; i < real.length; ) {
    const group = groups.find((g) => g.before[0] === real[i]);
    if (!group?.before.every((axis, k) => real[i + k] === axis)) return undefined;
    order.push(...group.after);
    i += group.before.length;
  }
  const fits = (l: Layout): boolean => l.filter(counts(after)).join() === order.join();
  const rank = after.length;
  const usual = rank < 4 ? [asInFile(rank), channelsFirst(rank)] : [channelsFirst(rank), asInFile(rank)];
  return usual.find(fits) ?? withUnits(order, rank);
}

/**
 * The layout of `before` from which a Reshape leads to `after` lying in the layout `wanted`; undefined where none does. One
 * Transpose there and one Reshape are what a channel shuffle comes to.
 */
export function layoutBefore(before: readonly number[], after: readonly number[], wanted: Layout): Layout | undefined {
  const batch = before[0] === after[0];
  const groups = groupsOf(before, after, batch);
  if (!groups) return undefined;
  const first = (axis: number) => groups.find((g) => g.after[0] === axis);
  const order = wanted.flatMap((axis) => first(axis)?.before ?? []);
  const layout = withUnits(order, before.length);
  const left = reshapedLayout(before, layout, after);
  return left && sameLayout(left, wanted) ? layout : undefined;
}

/** Groups of axes larger than 1 (and the batch) with equal products; undefined when there are none such. */
function groupsOf(before: readonly number[], after: readonly number[], batch: boolean) {
  const groups: { before: number[]; after: number[] }[] = [];
  let i = 0;
  let k = 0;
  if (batch) {
    groups.push({ before: [0], after: [0] });
    i = k = 1;
  }
  const skip = (dims: readonly number[], at: number): number => {
    let next = at;
    while (dims[next] === 1) next++;
    return next;
  };
  for (;;) {
    i = skip(before, i);
    k = skip(after, k);
    if (i >= before.length || k >= after.length) break;
    const group = { before: [i], after: [k] };
    let [a, b] = [before[i++], after[k++]];
    while (a !== b) {
      if (a < b) {
        i = skip(before, i);
        if (i >= before.length) return undefined;
        group.before.push(i);
        a *= before[i++];
      } else {
        k = skip(after, k);
        if (k >= after.length) return undefined;
        group.after.push(k);
        b *= after[k++];
      }
    }
    groups.push(group);
  }
  return i >= before.length && k >= after.length ? groups : undefined;
}

/** The order with the missing axes, all of size 1, each behind its left neighbour. */
function withUnits(order: readonly number[], rank: number): Layout {
  const out = [...order];
  for (let axis = 0; axis < rank; axis++)
    if (!order.includes(axis)) out.splice(axis === 0 ? 0 : out.indexOf(axis - 1) + 1, 0, axis);
  return out;
}
