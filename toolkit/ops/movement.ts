/** Operators that reorder, join or divide axes: Transpose, Concat, Split. */
import { ModelError } from "../graph/errors.js";
import { at, attr, attrInt, attrInts, type Dim, type OpNode, withAttributes } from "../graph/graph.js";
import { ints, type Tensor } from "../graph/tensor.js";
import { axisOf, constantInts, inputType, intsOf, sumDims } from "./dims.js";
import { concatenate, move, perAxis, transpose, upTo } from "./layout.js";
import { tieAxis } from "./links.js";
import { concatGradient, splitGradient, transposeGradient } from "./movementGradient.js";
import { joinsIntegers, movesIntegers } from "./precision.js";
import { rewriteInts } from "./rewrite.js";
import type { OpRule } from "./rule.js";

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
          if (p) return p;
          const length = c.dims(name)[k];
          if (!c.isParameter(name))
            return c.fixed(length, `${at(n)} takes it from "${name}", whose axis ${k} cannot be cut`);
          const own = c.fresh(length);
          c.set(name, k, own);
          return own;
        });
        c.set(y, k, Int32Array.from(joined.flatMap((p) => Array.from(p))));
      } else {
        parts.forEach((p, i) => {
          if (p !== live[0]) tieAxis(n, c, n.inputs[i], k, live[0], "joins it with");
        });
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

export const rules = { Transpose, Concat, Split } satisfies Record<string, OpRule | OpRule[]>;
