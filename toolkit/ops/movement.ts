/** Operators that move, repeat, drop or join elements along axes: Transpose, Concat, Split, Slice, Gather, Pad, Expand, Tile. */
import { ModelError } from "../graph/errors.js";
import {
  at,
  attr,
  attrFloat,
  attrInt,
  attrInts,
  attrString,
  type Dim,
  type OpNode,
  withAttributes,
} from "../graph/graph.js";
import { ints, type Tensor, toNumberArray, toNumbers } from "../graph/tensor.js";
import { axisOf, constantInts, inputDims, inputType, intsOf, mapDim, sumDims, unknownDimension } from "./dims.js";
import { broadcastTo, concatenate, type Movement, move, perAxis, transpose, upTo } from "./layout.js";
import { passAxes } from "./links.js";
import {
  concatGradient,
  expandGradient,
  gatherGradient,
  padGradient,
  sliceGradient,
  splitGradient,
  transposeGradient,
} from "./movementGradient.js";
import { joinsIntegers, movesIntegers } from "./precision.js";
import type { OpRule, SliceContext } from "./rule.js";

const frozenAtRunTime = passAxes(() => false, "moves it by amounts that are computed at run time");

/** Gives the node new values for a list that is an attribute or input `i`. */
export function rewriteInts(n: OpNode, c: SliceContext, name: string, i: number, values: readonly number[]): OpNode {
  if (n.attributes[name]) return withAttributes(n, { [name]: attr.ints(values) });
  const old = c.constant(n.inputs[i]);
  c.setConstant(i, old?.elemType === "int32" ? { ...old, data: Int32Array.from(values) } : ints(values));
  return n;
}

const permOf = (n: OpNode, rank: number): readonly number[] =>
  attrInts(n, "perm") ?? Array.from({ length: rank }, (_, k) => rank - 1 - k);

const Transpose: OpRule = {
  gradient: transposeGradient,
  quantize: movesIntegers,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    return [{ elemType, dims: dims && permOf(n, dims.length).map((p) => dims[p]) }];
  },
  movesElements: true,
  evaluate: (n, [x]) => x && [move(x, transpose(x.dims, permOf(n, x.dims.length)))],
  channels: (n, c) => {
    const x = c.ids(n.inputs[0]);
    permOf(n, x.length).forEach((p, axis) => {
      c.set(n.outputs[0], axis, x[p]);
    });
  },
};

const Concat: OpRule = {
  gradient: concatGradient,
  quantize: joinsIntegers,
  shape: (n, c) => {
    const types = n.inputs.map((_, i) => inputType(n, c, i));
    const { elemType, dims } = types[0];
    if (!dims || types.some((t) => !t.dims)) return [{ elemType }];
    const axis = axisOf(n, attrInt(n, "axis", 1), dims.length);
    const out = dims.map((d, k): Dim => {
      const parts = types.map((t) => t.dims?.[k] ?? null);
      if (k === axis) return sumDims(parts);
      const known = parts.find((p) => typeof p === "number") ?? d;
      const odd = parts.find((p) => typeof p === "number" && p !== known);
      if (odd !== undefined) {
        throw new ModelError("shape-mismatch", `${at(n)}: inputs differ on axis ${k}: ${known} and ${odd}`, {
          where: at(n),
        });
      }
      return known;
    });
    return [{ elemType, dims: out }];
  },
  movesElements: true,
  evaluate: (n, inputs) => {
    if (inputs.some((t) => t === undefined)) return undefined;
    const parts = inputs as Tensor[];
    return [concatenate(parts, axisOf(n, attrInt(n, "axis", 1), parts[0].dims.length))];
  },
  channels: (n, c) => {
    const [y] = n.outputs;
    const rank = c.dims(y).length;
    const axis = axisOf(n, attrInt(n, "axis", 1), rank);
    for (let k = 0; k < rank; k++) {
      const parts = n.inputs.map((name) => (c.isParameter(name) ? null : c.ids(name)[k]));
      const live = parts.filter((p) => p !== null);
      if (live.length === 0) continue;
      if (k === axis) {
        const joined = parts.map((p, i) => {
          const name = n.inputs[i];
          return p ?? c.fixed(c.dims(name)[k], `${at(n)} takes it from "${name}", whose axis ${k} cannot be cut`);
        });
        c.set(y, k, Int32Array.from(joined.flatMap((p) => Array.from(p))));
      } else {
        for (const p of live.slice(1)) c.unify(live[0], p);
        if (live.length < parts.length)
          c.freeze(live[0], `${at(n)} joins it with a value whose axis ${k} cannot be cut`);
        c.set(y, k, live[0]);
      }
    }
  },
};

/** Lengths of the parts; undefined when they are not known. */
function splitLengths(n: OpNode, length: number, sizes: readonly number[] | undefined): number[] {
  if (sizes) return [...sizes];
  const parts = n.outputs.length;
  const each = Math.ceil(length / parts);
  return n.outputs.map((_, i) => Math.min(each, length - i * each));
}

const Split: OpRule = {
  gradient: splitGradient,
  quantize: movesIntegers,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    if (!dims) return n.outputs.map(() => ({ elemType }));
    const axis = axisOf(n, attrInt(n, "axis", 0), dims.length);
    const sizes = constantInts(n, c, "split", 1);
    const length = dims[axis];
    if (typeof length === "number" && sizes && sizes.reduce((s, v) => s + v, 0) !== length) {
      throw new ModelError(
        "shape-mismatch",
        `${at(n)}: parts ${sizes.join(" + ")} do not make up the axis of ${length}`,
        { where: at(n) },
      );
    }
    const lengths =
      sizes ?? (typeof length === "number" ? splitLengths(n, length, undefined) : n.outputs.map(() => null));
    return n.outputs.map((_, i) => ({ elemType, dims: dims.map((d, k) => (k === axis ? lengths[i] : d)) }));
  },
  movesElements: true,
  evaluate: (n, [x, split]) => {
    if (!x || (n.inputs[1] && !split)) return undefined;
    const axis = axisOf(n, attrInt(n, "axis", 0), x.dims.length);
    let start = 0;
    return splitLengths(n, x.dims[axis], intsOf(n, "split", split)).map((length) => {
      const part = Int32Array.from({ length }, (_, i) => start + i);
      start += length;
      return move(
        x,
        perAxis(
          x.dims,
          x.dims.map((d, k) => (k === axis ? part : upTo(d))),
        ),
      );
    });
  },
  channels: (n, c) => {
    const [x] = n.inputs;
    const axis = axisOf(n, attrInt(n, "axis", 0), c.dims(x).length);
    let start = 0;
    for (const y of n.outputs) {
      const length = y ? c.dims(y)[axis] : 0;
      c.ids(x).forEach((ids, k) => {
        if (y && ids) c.set(y, k, k === axis ? ids.slice(start, start + length) : ids);
      });
      start += length;
    }
  },
  resize: (n, c) => {
    const axis = axisOf(n, attrInt(n, "axis", 0), c.dimsBefore(n.inputs[0]).length);
    if (!c.kept(n.inputs[0], axis)) return n;
    const sizes = n.outputs.map((y) => c.dimsAfter(y)[axis]);
    if (n.attributes.split || n.inputs[1]) return rewriteInts(n, c, "split", 1, sizes);
    if (sizes.every((s) => s === sizes[0])) return n;
    if (c.opset < 13) return withAttributes(n, { split: attr.ints(sizes) });
    c.setConstant(1, ints(sizes));
    const { num_outputs: _, ...attributes } = n.attributes;
    return { ...n, attributes };
  },
};

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

/** Positions that a range selects on an axis of `length`. */
function positions(r: Range, length: number): Int32Array {
  const clamp = (v: number, low: number, high: number) => Math.min(Math.max(v < 0 ? v + length : v, low), high);
  const forward = r.step > 0;
  const start = clamp(r.start, 0, forward ? length : length - 1);
  const end = forward ? clamp(r.end, 0, length) : clamp(r.end, -1, length - 1);
  const count = Math.max(0, Math.ceil((end - start) / r.step));
  return Int32Array.from({ length: count }, (_, i) => start + i * r.step);
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
      out[r.axis] = whole ? dims[r.axis] : mapDim(dims[r.axis], (d) => positions(r, d).length);
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
      if (r.step !== 1) c.freeze(ids, `${at(n)} takes every ${r.step}th of it`);
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
      const [first = 0] = positions(r, dims[r.axis]);
      r.start = kept.filter((p) => p < first).length;
      r.end = r.start + c.dimsAfter(n.outputs[0])[r.axis];
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
      else if (indices?.dims.length !== 1) c.freeze(ids, `${at(n)} picks from it by index`);
      else
        c.set(
          y,
          axis,
          Int32Array.from(toNumbers(indices), (i) => ids[i < 0 ? i + ids.length : i]),
        );
    }
  },
  resize: (n, c) => {
    const [x, index] = n.inputs;
    const length = c.dimsBefore(x)[axisOf(n, attrInt(n, "axis", 0), c.dimsBefore(x).length)];
    const kept = c.kept(x, axisOf(n, attrInt(n, "axis", 0), c.dimsBefore(x).length));
    const indices = c.constant(index);
    if (!kept || !indices) return n;
    const position = new Map(Array.from(kept, (old, i) => [old, i]));
    const left = toNumberArray(indices).flatMap((i) => position.get(i < 0 ? i + length : i) ?? []);
    c.setConstant(1, {
      ...ints(left),
      ...(indices.elemType === "int32" ? { elemType: "int32" as const, data: Int32Array.from(left) } : {}),
    });
    return n;
  },
};

/** Begins and ends per axis; undefined when computed at run time. Opset < 11: attributes; 18: an `axes` input. */
function padsOf(
  n: OpNode,
  rank: number,
  constant: (i: number) => Tensor | undefined,
): [number[], number[]] | undefined {
  const pads = attrInts(n, "paddings") ?? intsOf(n, "pads", constant(1));
  const axes = constant(3);
  if (!pads || (n.inputs[3] && !axes)) return undefined;
  const list = axes ? toNumberArray(axes).map((a) => axisOf(n, a, rank)) : Array.from({ length: rank }, (_, k) => k);
  const begins = new Array<number>(rank).fill(0);
  const ends = new Array<number>(rank).fill(0);
  list.forEach((axis, i) => {
    begins[axis] = pads[i];
    ends[axis] = pads[i + list.length];
  });
  return [begins, ends];
}

/** Source coordinate of every padded coordinate. */
function paddedPositions(length: number, begin: number, end: number, mode: string): Int32Array {
  return Int32Array.from({ length: length + begin + end }, (_, i) => {
    const p = i - begin;
    if (p >= 0 && p < length) return p;
    if (mode === "edge") return Math.min(Math.max(p, 0), length - 1);
    if (mode === "wrap") return ((p % length) + length) % length;
    if (mode === "reflect")
      return length === 1
        ? 0
        : length - 1 - Math.abs(length - 1 - (((p % (2 * length - 2)) + 2 * length - 2) % (2 * length - 2)));
    return -1;
  });
}

const Pad: OpRule = {
  gradient: padGradient,
  quantize: { activations: [0], passThrough: true, onIntegers: { fill: 2 } },
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    if (!dims) return [{ elemType }];
    const pads = padsOf(n, dims.length, (i) => c.constant(i));
    if (!pads) throw unknownDimension(n, "its pads");
    return [
      {
        elemType,
        dims: dims.map((d, k) => (pads[0][k] + pads[1][k] === 0 ? d : mapDim(d, (v) => v + pads[0][k] + pads[1][k]))),
      },
    ];
  },
  evaluate: (n, inputs) => {
    const [x, , value] = inputs;
    const pads = x && padsOf(n, x.dims.length, (i) => inputs[i]);
    if (!x || !pads || (n.inputs[2] && !value)) return undefined;
    const mode = attrString(n, "mode", "constant");
    const fill = value ? toNumbers(value)[0] : attrFloat(n, "value", 0);
    return [
      move(
        x,
        perAxis(
          x.dims,
          x.dims.map((d, k) => paddedPositions(d, pads[0][k], pads[1][k], mode)),
        ),
        fill,
      ),
    ];
  },
  channels: (n, c) => {
    const [x] = n.inputs;
    const pads = padsOf(n, c.dims(x).length, (i) => c.constant(n.inputs[i]));
    if (!pads) return frozenAtRunTime(n, c);
    for (const [axis, ids] of c.ids(x).entries()) {
      const [begin, end] = [pads[0][axis], pads[1][axis]];
      if (!ids || (begin === 0 && end === 0)) {
        c.set(n.outputs[0], axis, ids);
      } else if (begin < 0 || end < 0 || attrString(n, "mode", "constant") !== "constant") {
        c.freeze(
          ids,
          `${at(n)} pads it with ${begin < 0 || end < 0 ? "negative amounts" : "copies of its own elements"}`,
        );
      } else {
        // Constant channels may go like any other, together with what they are added to.
        const added = c.fresh(begin + end);
        c.set(n.outputs[0], axis, Int32Array.from([...added.slice(0, begin), ...ids, ...added.slice(begin)]));
      }
    }
  },
  resize: (n, c) => {
    const [x] = n.inputs;
    const [y] = n.outputs;
    const before = c.dimsBefore(x);
    const pads = padsOf(n, before.length, (i) => c.constant(n.inputs[i]));
    if (!pads || !before.some((_, axis) => c.kept(y, axis))) return n;
    before.forEach((length, axis) => {
      const kept = c.kept(y, axis);
      if (!kept) return;
      const begin = pads[0][axis];
      pads[0][axis] = kept.filter((p) => p < begin).length;
      pads[1][axis] = kept.filter((p) => p >= begin + length).length;
    });
    const axes = c.constant(n.inputs[3] ?? "");
    const list = axes ? toNumberArray(axes).map((a) => axisOf(n, a, before.length)) : before.map((_, k) => k);
    return rewriteInts(n, c, "pads", 1, [...list.map((a) => pads[0][a]), ...list.map((a) => pads[1][a])]);
  },
};

const Expand: OpRule = {
  gradient: expandGradient,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const shape = c.shapeValue(1);
    if (!shape) throw unknownDimension(n, `the shape "${n.inputs[1]}"`);
    if (!dims) return [{ elemType }];
    const rank = Math.max(dims.length, shape.length);
    const out = Array.from({ length: rank }, (_, k): Dim => {
      const a = dims[k - (rank - dims.length)] ?? (k < rank - dims.length ? 1 : null);
      const b = shape[k - (rank - shape.length)] ?? (k < rank - shape.length ? 1 : null);
      return b === 1 ? a : a === 1 ? b : (a ?? b);
    });
    return [{ elemType, dims: out }];
  },
  movesElements: true,
  evaluate: (_, [x, shape]) => {
    if (!x || !shape) return undefined;
    const to = toNumberArray(shape);
    const rank = Math.max(to.length, x.dims.length);
    const dims = Array.from({ length: rank }, (_, k) =>
      Math.max(x.dims[k - (rank - x.dims.length)] ?? 1, to[k - (rank - to.length)] ?? 1),
    );
    return [move(x, broadcastTo(x.dims, dims))];
  },
  channels: (n, c) => {
    const [x] = n.inputs;
    const dims = c.dims(x);
    const out = c.dims(n.outputs[0]);
    if (!c.constant(n.inputs[1])) return frozenAtRunTime(n, c);
    c.ids(x).forEach((ids, axis) => {
      const to = axis + out.length - dims.length;
      if (ids && out[to] === dims[axis]) c.set(n.outputs[0], to, ids);
    });
  },
  simplify: (n, c, constant) => {
    const x = c.input(0)?.dims;
    const shape = c.constant(1) ? undefined : c.shapeValue(1);
    if (!x || !shape) return n;
    const lead = shape.length - x.length;
    // A dynamic length that the input has already needs no asking for: 1 leaves it as it is.
    const values = shape.map((d, k) => (typeof d === "number" ? d : d !== null && d === x[k - lead] ? 1 : undefined));
    if (values.includes(undefined)) return n;
    return { ...n, inputs: [n.inputs[0], constant(n.inputs[1], ints(values as number[]))] };
  },
  resize: (n, c) => {
    const shape = c.constant(n.inputs[1]);
    const [before, after] = [c.dimsBefore(n.outputs[0]), c.dimsAfter(n.outputs[0])];
    if (!shape || before.every((d, k) => d === after[k])) return n;
    const old = toNumberArray(shape);
    const lead = before.length - old.length;
    c.setConstant(1, ints(old.map((v, k) => (before[k + lead] === after[k + lead] ? v : after[k + lead]))));
    return n;
  },
};

function tiling(n: OpNode, dims: readonly number[], repeats: readonly number[]): Movement {
  if (repeats.length !== dims.length) {
    throw new ModelError("shape-mismatch", `${at(n)}: ${repeats.length} repeats for a value of rank ${dims.length}`, {
      where: at(n),
    });
  }
  return perAxis(
    dims,
    dims.map((d, k) => Int32Array.from({ length: d * repeats[k] }, (_, i) => i % d)),
  );
}

const Tile: OpRule = {
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const repeats = c.constant(1);
    if (!repeats) throw unknownDimension(n, `the repeats "${n.inputs[1]}"`);
    const r = toNumberArray(repeats);
    return [{ elemType, dims: dims?.map((d, k) => (r[k] === 1 ? d : mapDim(d, (v) => v * r[k]))) }];
  },
  movesElements: true,
  evaluate: (n, [x, repeats]) => x && repeats && [move(x, tiling(n, x.dims, toNumberArray(repeats)))],
  channels: (n, c) => {
    const repeats = c.constant(n.inputs[1]);
    if (!repeats) return frozenAtRunTime(n, c);
    const r = toNumberArray(repeats);
    c.ids(n.inputs[0]).forEach((ids, axis) => {
      if (ids)
        c.set(
          n.outputs[0],
          axis,
          Int32Array.from({ length: ids.length * r[axis] }, (_, i) => ids[i % ids.length]),
        );
    });
  },
};

export const rules = { Transpose, Concat, Split, Slice, Gather, Pad, Expand, Tile } satisfies Record<
  string,
  OpRule | OpRule[]
>;
