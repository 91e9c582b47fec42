/** Gradients of operators that only move values: the movement run backwards. */

import type { Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, attr, attrInt, attrInts, type OpNode } from "../graph/graph.js";
import { ints, sizeOf, toNumberArray } from "../graph/tensor.js";
import { inversePermutation, padZeros, positiveAxis, range, scale, slice, unbroadcast, zeros } from "./algebra.js";
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
function constantInts(n: OpNode, i: number, c: GradientContext): number[] | undefined {
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

/** Constant padding: the gradient of the inside; negative pads give zeros back. */
export const padGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const mode = n.attributes.mode;
  if (mode?.type === "string" && mode.value !== "constant") {
    throw new ModelError(
      "gradient-missing",
      `${at(n)}: the gradient is known for mode "constant" only, got "${mode.value}"`,
      { where: at(n) },
    );
  }
  const rank = c.dims(n.inputs[0]).length;
  const given = constantInts(n, 1, c) ?? attrInts(n, "pads") ?? [];
  const axes = constantInts(n, 3, c)?.map((a) => positiveAxis(a, rank)) ?? range(rank);
  const pads = new Array<number>(2 * rank).fill(0);
  axes.forEach((axis, i) => {
    pads[axis] = -given[i];
    pads[rank + axis] = -given[axes.length + i];
  });
  return [padZeros(c.g, dy, pads)];
};

/** Expand: summed over what was repeated. */
export const expandGradient: GradientRule = (n, [dy], c) => [
  dy && unbroadcast(c.g, dy, c.dims(n.outputs[0]), c.dims(n.inputs[0])),
];

/** Gather with constant indices. */
export const gatherGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null, null];
  const { g } = c;
  const dims = c.dims(n.inputs[0]);
  const axis = positiveAxis(attrInt(n, "axis", 0), dims.length);
  const indices = constantInts(n, 1, c)!.map((i) => positiveAxis(i, dims[axis]));
  const flat = dims.with(axis, indices.length);
  const grad = g.reshape(dy, flat);
  if (new Set(indices).size === indices.length) {
    // Each position is read at most once: gather back, unread positions from a row of zeros.
    const inverse = new Array<number>(dims[axis]).fill(indices.length);
    indices.forEach((from, to) => {
      inverse[from] = to;
    });
    const source = indices.length === dims[axis] ? grad : g.concat([grad, zeros(g, dims.with(axis, 1))], axis);
    return [g.emit("Gather", [source, g.initializer("inverse", ints(inverse))], { axis: attr.int(axis) }), null];
  }
  const shape = dims.map((_, i) => (i === axis ? indices.length : 1));
  const positions = g.emit("Expand", [g.initializer("indices", ints(indices, shape)), g.ints(flat)]);
  return [
    g.emit("ScatterElements", [zeros(g, dims), positions, grad], {
      axis: attr.int(axis),
      reduction: attr.string("add"),
    }),
    null,
  ];
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

/** Nearest-neighbour Resize by whole factors: every pixel's copies are summed. */
export const resizeGradient: GradientRule = (n, [dy], c) => {
  if (!dy) return [null];
  const from = c.dims(n.inputs[0]);
  const to = c.dims(n.outputs[0]);
  const mode = n.attributes.mode;
  const nearest = !mode || (mode.type === "string" && mode.value === "nearest");
  if (!nearest || !from.every((d, i) => to[i] % d === 0)) {
    throw new ModelError(
      "gradient-missing",
      `${at(n)}: the gradient is known for nearest-neighbour enlargement by whole factors only, got [${from}] to [${to}]`,
      {
        where: at(n),
      },
    );
  }
  const wide = from.flatMap((d, i) => [d, to[i] / d]);
  const copies = from.map((_, i) => 2 * i + 1);
  return [c.g.reduceSum(c.g.reshape(dy, wide), copies, false)];
};

/** ReduceSum and ReduceMean. */
const reduction =
  (mean: boolean): GradientRule =>
  (n, [dy], c) => {
    if (!dy) return [null];
    const dims = c.dims(n.inputs[0]);
    const given = constantInts(n, 1, c) ?? attrInts(n, "axes");
    if (!given?.length && attrInt(n, "noop_with_empty_axes", 0) === 1) return [dy];
    const axes = new Set((given?.length ? given : range(dims.length)).map((a) => positiveAxis(a, dims.length)));
    const kept = dims.map((d, i) => (axes.has(i) ? 1 : d));
    const share = mean ? 1 / sizeOf(dims.filter((_, i) => axes.has(i))) : 1;
    return [c.g.emit("Expand", [c.g.reshape(scale(c.g, dy, share), kept), c.g.ints(dims)])];
  };

export const reduceSumGradient = reduction(false);
export const reduceMeanGradient = reduction(true);
