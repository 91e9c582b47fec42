/** Gradients of operators that only move values: the movement run backwards. */

import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, attr, attrInt, attrInts, attrString, type OpNode } from "../graph/graph.js";
import { ints, sizeOf, toNumberArray } from "../graph/tensor.js";
import { inversePermutation, mapAxis, padZeros, positiveAxis, range, slice, unbroadcast, zeros } from "./algebra.js";
import type { GradientRule } from "./elementwiseGradient.js";
import type { GradientContext } from "./rule.js";

/** Reshape, Flatten, Squeeze, Unsqueeze: back to the shape of the input. */
export const reshapeGradient: GradientRule = (n, [dy], c) => [dy && c.g.reshape(dy, c.dims(n.inputs[0]))];

export const transposeGradient: GradientRule = (n, [dy], c) => {
  const rank = c.dims(n.inputs[0]).length;
  const perm = attrInts(n, "perm") ?? range(rank).reverse();
  return [dy && c.g.transpose(dy, inversePermutation(perm))];
};

export const concatGradient: GradientRule = (n, [dy], c) => {
  const rank = c.dims(n.outputs[0]).length;
  const axis = positiveAxis(attrInt(n, "axis", 0), rank);
  let start = 0;
  return n.inputs.map((name, i) => {
    const from = start;
    start += c.dims(name)[axis];
    return dy && c.needs(i) ? slice(c.g, dy, [from], [start], [axis]) : null;
  });
};

export const splitGradient: GradientRule = (n, dy, c) => {
  if (dy.every((d) => d === null)) return [null];
  const axis = positiveAxis(attrInt(n, "axis", 0), c.dims(n.inputs[0]).length);
  return [
    c.g.concat(
      dy.map((d, i) => d ?? zeros(c.g, c.dims(n.outputs[i]))),
      axis,
    ),
  ];
};

/** The whole of a constant integer input, or an error that names it. */
export function constantInts(n: OpNode, i: number, c: GradientContext): number[] | undefined {
  const name = n.inputs[i];
  if (!name) return undefined;
  const t = c.constant(name);
  if (!t) {
    throw new ModelError(
      "gradient-missing",
      `${at(n)}: input ${i} ("${name}") is computed while the net runs; its gradient needs it constant`,
      {
        where: at(n),
      },
    );
  }
  return toNumberArray(t);
}

/** Zeros back between the steps (by reshape and pad), then before and after. */
export const sliceGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const dims = c.dims(n.inputs[0]);
  const starts = constantInts(n, 1, c) ?? attrInts(n, "starts") ?? [];
  const axes = (constantInts(n, 3, c) ?? attrInts(n, "axes") ?? range(starts.length)).map((a) =>
    positiveAxis(a, dims.length),
  );
  const steps = constantInts(n, 4, c) ?? starts.map(() => 1);
  const current = [...c.dims(n.outputs[0])];
  let grad: Ref = dy;
  axes.forEach((axis, i) => {
    const length = dims[axis];
    let step = steps[i];
    const low = step > 0 ? 0 : -1;
    const high = step > 0 ? length : length - 1;
    let first = Math.min(Math.max(starts[i] < 0 ? starts[i] + length : starts[i], step > 0 ? low : 0), high);
    const count = current[axis];
    if (step < 0) {
      // Reverse, so that the rest is a slice with a positive step.
      grad = slice(g, grad, [-1], [Number.MIN_SAFE_INTEGER], [axis], [-1]);
      step = -step;
      first -= (count - 1) * step;
    }
    if (step > 1) {
      const wide = [...current.slice(0, axis + 1), 1, ...current.slice(axis + 1)];
      grad = g.reshape(grad, wide);
      const pads = new Array<number>(2 * wide.length).fill(0);
      pads[wide.length + axis + 1] = step - 1;
      grad = padZeros(g, grad, pads);
      current[axis] = count * step;
      grad = g.reshape(grad, current);
      const used = (count - 1) * step + 1;
      grad = slice(g, grad, [0], [used], [axis]);
      current[axis] = used;
    }
    const pads = new Array<number>(2 * dims.length).fill(0);
    pads[axis] = first;
    pads[dims.length + axis] = length - first - current[axis];
    grad = padZeros(g, grad, pads);
    current[axis] = length;
  });
  return [grad];
};

/** Source position of every padded position along one axis; -1 for a constant. */
function paddedFrom(length: number, begin: number, end: number, mode: string): number[] {
  const period = mode === "reflect" ? Math.max(1, 2 * length - 2) : length;
  return range(length + begin + end).map((i) => {
    const p = i - begin;
    if (mode === "constant") return p >= 0 && p < length ? p : -1;
    if (mode === "edge") return Math.min(Math.max(p, 0), length - 1);
    const around = ((p % period) + period) % period;
    return around < length ? around : period - around;
  });
}

/** Pad: the gradient of the inside; copies of elements (edge, reflect, wrap) are added to theirs. */
export const padGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const { g } = c;
  const dims = c.dims(n.inputs[0]);
  const rank = dims.length;
  const given = constantInts(n, 1, c) ?? attrInts(n, "pads") ?? [];
  const axes = constantInts(n, 3, c)?.map((a) => positiveAxis(a, rank)) ?? range(rank);
  const mode = attrString(n, "mode", "constant");
  if (mode === "constant") {
    const pads = new Array<number>(2 * rank).fill(0);
    axes.forEach((axis, i) => {
      pads[axis] = -given[i];
      pads[rank + axis] = -given[axes.length + i];
    });
    return [padZeros(g, dy, pads)];
  }
  let grad: Ref = dy;
  const current = [...c.dims(n.outputs[0])];
  axes.forEach((axis, i) => {
    const [begin, end] = [given[i], given[axes.length + i]];
    if (begin === 0 && end === 0) return;
    const length = dims[axis];
    const sources = paddedFrom(length, begin, end, mode);
    const back = new Float32Array(length * sources.length);
    sources.forEach((from, to) => {
      back[from * sources.length + to] = 1;
    });
    grad = mapAxis(g, grad, current, axis, back, length);
    current[axis] = length;
  });
  return [grad];
};

/** Expand: summed over what was repeated. */
export const expandGradient: GradientRule = (n, [dy], c) => [
  dy && unbroadcast(c.g, dy, c.dims(n.outputs[0]), c.dims(n.inputs[0])),
];

/** Tile: the copies are summed. */
export const tileGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null];
  const from = c.dims(n.inputs[0]);
  const to = c.dims(n.outputs[0]);
  const wide = from.flatMap((d, i) => [to[i] / d, d]);
  const copies = range(from.length).map((i) => 2 * i);
  return [c.g.reduceSum(c.g.reshape(dy, wide), copies, false), null];
};

/** Adds the elements of `grad` to zeros of shape `dims`, at `positions` (of grad's shape) along `axis`. */
const scatterAdd = (g: GraphBuilder, dims: readonly number[], axis: number, positions: Ref, grad: Ref): Ref =>
  g.emit("ScatterElements", [zeros(g, dims), positions, grad], {
    axis: attr.int(axis),
    reduction: attr.string("add"),
  });

/** Gather, with indices that are constant or computed. */
export const gatherGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null];
  const { g } = c;
  const dims = c.dims(n.inputs[0]);
  const axis = positiveAxis(attrInt(n, "axis", 0), dims.length);
  const fixed = c.constant(n.inputs[1]);
  const count = sizeOf(c.dims(n.inputs[1]));
  const flat = dims.with(axis, count);
  const grad = g.reshape(dy, flat);
  const shape = dims.map((_, i) => (i === axis ? count : 1));
  if (!fixed) {
    const positions = g.emit("Expand", [g.reshape(n.inputs[1], shape), g.ints(flat)]);
    return [scatterAdd(g, dims, axis, positions, grad), null];
  }
  const indices = toNumberArray(fixed).map((i) => positiveAxis(i, dims[axis]));
  if (new Set(indices).size === indices.length) {
    // Each position is read at most once: gather back, unread positions from a row of zeros.
    const inverse = new Array<number>(dims[axis]).fill(indices.length);
    indices.forEach((from, to) => {
      inverse[from] = to;
    });
    const source = indices.length === dims[axis] ? grad : g.concat([grad, zeros(g, dims.with(axis, 1))], axis);
    return [g.emit("Gather", [source, g.initializer("inverse", ints(inverse))], { axis: attr.int(axis) }), null];
  }
  const positions = g.emit("Expand", [g.initializer("indices", ints(indices, shape)), g.ints(flat)]);
  return [scatterAdd(g, dims, axis, positions, grad), null];
};

/** GatherElements: back to where each element came from. */
export const gatherElementsGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null];
  const dims = c.dims(n.inputs[0]);
  const axis = positiveAxis(attrInt(n, "axis", 0), dims.length);
  return [scatterAdd(c.g, dims, axis, n.inputs[1], dy), null];
};

/** TopK: back to the places that its second output names. */
export const topKGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null];
  const dims = c.dims(n.inputs[0]);
  const axis = positiveAxis(attrInt(n, "axis", -1), dims.length);
  if (n.outputs[1]) return [scatterAdd(c.g, dims, axis, n.outputs[1], dy), null];
  const [, indices] = c.g.emitMany("TopK", n.inputs, n.attributes, { outputs: 2 });
  return [scatterAdd(c.g, dims, axis, indices, dy), null];
};

/** DepthToSpace and SpaceToDepth are reshapes around a transpose; the gradient is the opposite operator. */
export const depthToSpaceGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const block = attrInt(n, "blocksize", 1);
  const [batch, depth, h, w] = c.dims(n.inputs[0]);
  const columnRowDepth = n.attributes.mode?.type === "string" && n.attributes.mode.value === "CRD";
  const inner = depth / (block * block);
  const wide = c.g.reshape(dy, [batch, inner, h, block, w, block]);
  const back = c.g.transpose(wide, columnRowDepth ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]);
  return [c.g.reshape(back, [batch, depth, h, w])];
};

export const spaceToDepthGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  return [
    c.g.emit("DepthToSpace", [dy], { blocksize: attr.int(attrInt(n, "blocksize", 1)), mode: attr.string("DCR") }),
  ];
};
