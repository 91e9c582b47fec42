/** Operators that make axes longer: Pad, Expand, Tile. */
import { ModelError } from "../graph/errors.js";
import { at, attrFloat, attrInts, attrString, type Dim, type OpNode } from "../graph/graph.js";
import { ints, type Tensor, toNumberArray, toNumbers } from "../graph/tensor.js";
import { axisOf, inputType, intsOf, mapDim, unknownDimension } from "./dims.js";
import { broadcastTo, type Movement, move, perAxis } from "./layout.js";
import { frozenAtRunTime } from "./links.js";
import { expandGradient, padGradient, tileGradient } from "./movementGradient.js";
import { rewriteInts } from "./rewrite.js";
import type { OpRule } from "./rule.js";

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
  scaling: {
    kind: "commutes",
    when: (n, axis, rank, constant) => {
      const pads = padsOf(n, rank, (i) => constant(n.inputs[i] ?? ""));
      if (pads?.[0][axis] !== 0 || pads[1][axis] !== 0) return false;
      if (attrString(n, "mode", "constant") !== "constant") return true;
      const fill = n.inputs[2] ? constant(n.inputs[2]) : undefined;
      return fill ? toNumbers(fill)[0] === 0 : !n.inputs[2] && attrFloat(n, "value", 0) === 0;
    },
  },
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
      if (typeof a === "number" && typeof b === "number" && a !== b && a !== 1 && b !== 1)
        throw new ModelError("shape-mismatch", `${at(n)}: an axis of ${a} cannot be expanded to ${b}`, {
          where: at(n),
        });
      return b === 1 ? a : a === 1 ? b : (a ?? b);
    });
    return [{ elemType, dims: out }];
  },
  movesElements: true,
  evaluate: (_, [x, shape]) => {
    if (!x || !shape) return undefined;
    const to = toNumberArray(shape);
    const rank = Math.max(to.length, x.dims.length);
    const dims = Array.from({ length: rank }, (_, k) => {
      const a = x.dims[k - (rank - x.dims.length)] ?? 1;
      return a === 1 ? (to[k - (rank - to.length)] ?? 1) : a;
    });
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
  gradient: tileGradient,
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

export const rules = { Pad, Expand, Tile } satisfies Record<string, OpRule | OpRule[]>;
