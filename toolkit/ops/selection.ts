/** Operators that pick elements along axes: Slice and Gather. */
import { ModelError } from "../graph/errors.js";
import { at, attrInt, type OpNode } from "../graph/graph.js";
import { fromNumbers, type Tensor, toNumberArray, toNumbers } from "../graph/tensor.js";
import { axisOf, inputDims, inputType, intsOf, mapDim, unknownDimension } from "./dims.js";
import { move, perAxis, takeAxis, upTo } from "./layout.js";
import { frozenAtRunTime, moveIdList } from "./links.js";
import { gatherGradient, sliceGradient } from "./movementGradient.js";
import { movesIntegers } from "./precision.js";
import { rewriteInts } from "./rewrite.js";
import type { ChannelContext, ChannelIds, OpRule } from "./rule.js";

interface Range {
  axis: number;
  start: number;
  end: number;
  step: number;
}

/** The ranges of a Slice as written, attributes (opset < 10) or inputs; undefined when computed at run time. */
function slicesOf(n: OpNode, rank: number, constant: (i: number) => Tensor | undefined): Range[] | undefined {
  const [starts, ends, axes, steps] = ["starts", "ends", "axes", "steps"].map((name, i) =>
    intsOf(n, name, constant(i + 1)),
  );
  if (!starts || !ends || (n.inputs[3] && !axes) || (n.inputs[4] && !steps)) return undefined;
  return starts.map((start, i) => ({
    axis: axisOf(n, axes?.[i] ?? i, rank),
    start,
    end: ends[i],
    step: steps?.[i] ?? 1,
  }));
}

/** First position that a range selects on an axis of `length`, and how many it selects. */
function extent(r: Range, length: number): { start: number; count: number } {
  const clamp = (v: number, low: number, high: number) => Math.min(Math.max(v < 0 ? v + length : v, low), high);
  const forward = r.step > 0;
  const start = clamp(r.start, 0, forward ? length : length - 1);
  const end = forward ? clamp(r.end, 0, length) : clamp(r.end, -1, length - 1);
  return { start, count: Math.max(0, Math.ceil((end - start) / r.step)) };
}

/** Positions that a range selects on an axis of `length`. */
function positions(r: Range, length: number): Int32Array {
  const { start, count } = extent(r, length);
  return Int32Array.from({ length: count }, (_, i) => start + i * r.step);
}

/**
 * A step stays right after a cut when runs of as many channels as the step is long live or die together; a whole axis in
 * reverse stays so whatever is cut. Other steps freeze.
 */
function tieSteps(n: OpNode, c: ChannelContext, ids: ChannelIds, r: Range, length: number): void {
  const chosen = positions(r, length);
  if (r.step === -1 && chosen.length === length) return;
  const first = chosen[0] - (chosen[0] % Math.abs(r.step));
  const isWhole = r.step > 1 && length % r.step === 0 && first === 0 && chosen.length === length / r.step;
  const firstOfRun = Int32Array.from(ids, (_, i) => ids[i - (i % Math.abs(r.step))]);
  if (isWhole) c.unify(firstOfRun, ids);
  else c.freeze(ids, `${at(n)} takes every ${r.step}th of it`);
}

const Slice: OpRule = {
  gradient: sliceGradient,
  quantize: movesIntegers,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    if (!dims) return [{ elemType }];
    const ranges = slicesOf(n, dims.length, (i) => c.constant(i));
    if (!ranges) throw unknownDimension(n, "its start and end");
    const out = [...dims];
    for (const r of ranges) {
      const whole = r.start === 0 && r.step === 1 && r.end >= 2 ** 31 - 1;
      out[r.axis] = whole ? dims[r.axis] : mapDim(dims[r.axis], (d) => extent(r, d).count);
    }
    return [{ elemType, dims: out }];
  },
  movesElements: true,
  evaluate: (n, inputs) => {
    const [x] = inputs;
    const ranges = x && slicesOf(n, x.dims.length, (i) => inputs[i]);
    if (!x || !ranges) return undefined;
    const coordinates = x.dims.map(upTo);
    for (const r of ranges) coordinates[r.axis] = positions(r, x.dims[r.axis]);
    return [move(x, perAxis(x.dims, coordinates))];
  },
  channels: (n, c) => {
    const [x] = n.inputs;
    const dims = c.dims(x);
    const ranges = slicesOf(n, dims.length, (i) => c.constant(n.inputs[i]));
    if (!ranges) return frozenAtRunTime(n, c);
    for (const [axis, ids] of c.ids(x).entries()) {
      const r = ranges.find((e) => e.axis === axis);
      if (!ids || !r) {
        c.set(n.outputs[0], axis, ids);
        continue;
      }
      if (r.step !== 1) tieSteps(n, c, ids, r, dims[axis]);
      c.set(
        n.outputs[0],
        axis,
        Int32Array.from(positions(r, dims[axis]), (p) => ids[p]),
      );
    }
  },
  resize: (n, c) => {
    const [x] = n.inputs;
    const dims = c.dimsBefore(x);
    const ranges = slicesOf(n, dims.length, (i) => c.constant(n.inputs[i]));
    if (!ranges?.some((r) => c.kept(x, r.axis))) return n;
    for (const r of ranges) {
      const kept = c.kept(x, r.axis);
      if (!kept) continue;
      if (r.step < 0) continue;
      const [first = 0] = positions(r, dims[r.axis]);
      const offset = first % r.step;
      r.start = kept.filter((p) => p < first - offset).length + offset;
      // With a step, what is left are whole runs of `step` channels, from each of which one is taken (see tieSteps).
      r.end = r.start + c.dimsAfter(n.outputs[0])[r.axis] * r.step;
    }
    const starts = rewriteInts(
      n,
      c,
      "starts",
      1,
      ranges.map((r) => r.start),
    );
    return rewriteInts(
      starts,
      c,
      "ends",
      2,
      ranges.map((r) => r.end),
    );
  },
};

const Gather: OpRule = {
  gradient: gatherGradient,
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const [dims, indices] = [inputDims(n, c, 0), inputDims(n, c, 1)];
    const axis = axisOf(n, attrInt(n, "axis", 0), dims.length);
    return [{ elemType, dims: [...dims.slice(0, axis), ...indices, ...dims.slice(axis + 1)] }];
  },
  movesElements: true,
  evaluate: (n, [x, indices]) => {
    if (!x || !indices) return undefined;
    const axis = axisOf(n, attrInt(n, "axis", 0), x.dims.length);
    const length = x.dims[axis];
    const chosen = toNumbers(indices).map((i) => (i < 0 ? i + length : i));
    if (chosen.some((i) => i < 0 || i >= length)) {
      throw new ModelError(
        "index-range",
        `${at(n)}: index ${toNumbers(indices).join()} is outside an axis of ${length}`,
        { where: at(n) },
      );
    }
    const moved = move(
      x,
      perAxis(
        x.dims,
        x.dims.map((d, k) => (k === axis ? chosen : upTo(d))),
      ),
    );
    return [{ ...moved, dims: [...x.dims.slice(0, axis), ...indices.dims, ...x.dims.slice(axis + 1)] }];
  },
  channels: (n, c) => {
    const [x, index] = n.inputs;
    const [y] = n.outputs;
    const dims = c.dims(x);
    const axis = axisOf(n, attrInt(n, "axis", 0), dims.length);
    const shift = c.dims(index).length - 1;
    if (c.isParameter(x)) {
      // An embedding: its vectors are new channels.
      const last = dims.length - 1;
      if (axis === last) return;
      const out = c.fresh(dims[last]);
      c.set(x, last, out);
      return c.set(y, last + shift, out);
    }
    const indices = c.constant(index);
    for (const [k, ids] of c.ids(x).entries()) {
      if (!ids) continue;
      if (k !== axis) c.set(y, k < axis ? k : k + shift, ids);
      else if (!indices) c.freeze(ids, `${at(n)} picks from it by an index that is computed at run time`);
      else if (indices.dims.length === 0) {
        // What is picked by name must stay; the rest may go.
        const [index] = toNumbers(indices);
        c.freeze(Int32Array.of(ids[index < 0 ? index + ids.length : index]), `${at(n)} picks it by index`);
      } else {
        const from = Int32Array.from(toNumbers(indices), (i) => (i < 0 ? i + ids.length : i));
        moveIdList(n, c, [ids], [ids.length], { dims: indices.dims, from }, (a, e) => c.set(y, axis + a, e));
      }
    }
  },
  resize: (n, c) => {
    const [x, index] = n.inputs;
    const axis = axisOf(n, attrInt(n, "axis", 0), c.dimsBefore(x).length);
    const length = c.dimsBefore(x)[axis];
    const kept = c.kept(x, axis);
    const indices = c.constant(index);
    if (!kept || !indices) return n;
    const position = new Map(Array.from(kept, (old, i) => [old, i]));
    let left = indices;
    indices.dims.forEach((_, a) => {
      const still = c.kept(n.outputs[0], axis + a);
      if (still) left = takeAxis(left, a, still);
    });
    const moved = toNumberArray(left).map((i) => position.get(i < 0 ? i + length : i) as number);
    c.setConstant(1, fromNumbers(indices.elemType, moved, left.dims));
    return n;
  },
};

export const rules = { Slice, Gather } satisfies Record<string, OpRule | OpRule[]>;
