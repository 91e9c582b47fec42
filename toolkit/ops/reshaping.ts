/** Operators that read the same elements under other axes: Reshape, Flatten, Squeeze, Unsqueeze, DepthToSpace, SpaceToDepth. */
import { ModelError } from "../graph/errors.js";
import { at, attr, attrInt, attrInts, attrString, type Dim, type OpNode, withAttributes } from "../graph/graph.js";
import { ints, type Tensor } from "../graph/tensor.js";
import {
  asDim,
  axisOf,
  constantInts,
  divide,
  inputDims,
  inputType,
  intsOf,
  mapDim,
  productOf,
  unknownDimension,
} from "./dims.js";
import { type Movement, move, transpose, withDims } from "./layout.js";
import { moveIdList, passAxes } from "./links.js";
import { depthToSpaceGradient, reshapeGradient, spaceToDepthGradient } from "./movementGradient.js";
import { movesIntegers } from "./precision.js";
import { reshapeIds } from "./reshapeLinks.js";
import { rewriteInts } from "./rewrite.js";
import type { ChannelContext, OpRule, ShapeContext } from "./rule.js";
import { reshapes } from "./scaling.js";

/** Output dims of a Reshape, with 0 (copy) and -1 (the rest) resolved. Throws ModelError when the sizes do not fit. */
function reshapeDims(n: OpNode, x: readonly Dim[], target: readonly Dim[]): Dim[] {
  const copies = attrInt(n, "allowzero", 0) === 0;
  const out = target.map((d, k): Dim => (d === 0 && copies ? (x[k] ?? null) : d));
  const free = out.indexOf(-1);
  const total = productOf(x);
  const rest = productOf(out.filter((_, k) => k !== free));
  const quotient = divide(total, rest);
  // With a dynamic dimension on either side, whether the sizes fit shows only at run time.
  const known = total?.symbols.length === 0 && rest?.symbols.length === 0;
  if (known && (free < 0 ? total.factor !== rest.factor : !quotient)) {
    throw new ModelError(
      "shape-mismatch",
      `${at(n)}: a value of shape [${x.join()}] cannot be reshaped to [${target.join()}]`,
      { where: at(n) },
    );
  }
  if (free >= 0) out[free] = asDim(quotient ?? null);
  return out;
}

const Reshape: OpRule = {
  scaling: reshapes,
  gradient: reshapeGradient,
  quantize: movesIntegers,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const target = attrInts(n, "shape") ?? c.shapeValue(1);
    if (!target) throw unknownDimension(n, `the shape "${n.inputs[1]}"`);
    return [
      {
        elemType,
        dims: dims ? reshapeDims(n, dims, target) : target.map((d) => (typeof d === "number" && d > 0 ? d : null)),
      },
    ];
  },
  movesElements: true,
  evaluate: (n, [x, shape]) => {
    const target = intsOf(n, "shape", shape);
    return x && target && [withDims(x, reshapeDims(n, x.dims, target) as number[])];
  },
  channels: (n, c) => {
    if (intsOf(n, "shape", c.constant(n.inputs[1] ?? ""))) return reshapeIds(n, c);
    passAxes(() => false, "reshapes it to a shape that is computed at run time (give dynamic dimensions a value)")(
      n,
      c,
    );
  },
  simplify: (n, c, constant) => {
    const x = c.input(0)?.dims;
    const target = c.constant(1) || !n.inputs[1] ? undefined : c.shapeValue(1);
    if (!x || !target || attrInt(n, "allowzero", 0) === 1) return n;
    const values = target.map((d, k) => (typeof d === "number" ? d : d !== null && d === x[k] ? 0 : undefined));
    const open = values.filter((v) => v === undefined).length;
    if (open > 1 || (open === 1 && values.includes(-1))) return n;
    const shape = constant(n.inputs[1], ints(values.map((v) => v ?? -1)));
    return { ...n, inputs: [n.inputs[0], shape] };
  },
  resize: (n, c) => {
    const target = intsOf(n, "shape", c.constant(n.inputs[1] ?? ""));
    const [y] = n.outputs;
    const [before, after] = [c.dimsBefore(y), c.dimsAfter(y)];
    if (!target || before.every((d, k) => d === after[k])) return n;
    const x = c.dimsAfter(n.inputs[0]);
    const values = target.map((d, k) => {
      if (d === -1 || (d === 0 && x[k] === after[k])) return d;
      return before[k] === after[k] ? d : after[k];
    });
    return rewriteInts(n, c, "shape", 1, values);
  },
};

function flattenDims(n: OpNode, dims: readonly Dim[]): Dim[] {
  const axis = attrInt(n, "axis", 1);
  const split = axis < 0 ? axis + dims.length : axis;
  return [asDim(productOf(dims.slice(0, split))), asDim(productOf(dims.slice(split)))];
}

const Flatten: OpRule = {
  scaling: reshapes,
  gradient: reshapeGradient,
  quantize: movesIntegers,
  shape: (n, c) => [{ elemType: inputType(n, c, 0).elemType, dims: flattenDims(n, inputDims(n, c, 0)) }],
  movesElements: true,
  evaluate: (n, [x]) => x && [withDims(x, flattenDims(n, x.dims) as number[])],
  channels: reshapeIds,
};

/** Axes that a Squeeze removes; all of length 1 when none are named. */
function squeezedAxes(n: OpNode, dims: readonly Dim[], axes: readonly number[] | undefined): Set<number> {
  if (axes) return new Set(axes.map((a) => axisOf(n, a, dims.length)));
  return new Set(dims.flatMap((d, k) => (d === 1 ? [k] : [])));
}

const Squeeze: OpRule = {
  scaling: reshapes,
  gradient: reshapeGradient,
  quantize: movesIntegers,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    if (!dims) return [{ elemType }];
    const gone = squeezedAxes(n, dims, constantInts(n, c, "axes", 1));
    for (const k of gone) {
      if (typeof dims[k] === "number" && dims[k] !== 1) {
        throw new ModelError("shape-mismatch", `${at(n)}: axis ${k} has length ${dims[k]}, only 1 can be squeezed`, {
          where: at(n),
        });
      }
    }
    return [{ elemType, dims: dims.filter((_, k) => !gone.has(k)) }];
  },
  // Axes that are 1 only after a cut, or for a batch of 1, are not meant: the ones that are get written down.
  simplify: (n, c, constant) => {
    const dims = c.input(0)?.dims;
    if (!dims || n.attributes.axes || n.inputs[1]) return n;
    const axes = [...squeezedAxes(n, dims, undefined)];
    if (c.opset < 13) return withAttributes(n, { axes: attr.ints(axes) });
    return { ...n, inputs: [n.inputs[0], constant(`${n.name}_axes`, ints(axes))] };
  },
  movesElements: true,
  evaluate: (n, [x, axes]) => {
    if (!x || (n.inputs[1] && !axes)) return undefined;
    const gone = squeezedAxes(n, x.dims, intsOf(n, "axes", axes));
    return [
      withDims(
        x,
        x.dims.filter((_, k) => !gone.has(k)),
      ),
    ];
  },
  channels: (n, c) => {
    const [x] = n.inputs;
    const gone = squeezedAxes(n, c.dims(x), intsOf(n, "axes", c.constant(n.inputs[1] ?? "")));
    let axis = 0;
    c.ids(x).forEach((ids, k) => {
      if (!gone.has(k)) c.set(n.outputs[0], axis++, ids);
      else if (ids) c.freeze(ids, `${at(n)} drops its axis`);
    });
  },
};

/** Input axis per output axis, -1 for new ones. */
function unsqueezedAxes(n: OpNode, rank: number, axes: readonly number[]): number[] {
  const total = rank + axes.length;
  const added = new Set(axes.map((a) => axisOf(n, a, total)));
  let next = 0;
  return Array.from({ length: total }, (_, k) => (added.has(k) ? -1 : next++));
}

function unsqueezeAxes(n: OpNode, constant: Tensor | undefined): readonly number[] {
  const axes = intsOf(n, "axes", constant);
  if (!axes) throw unknownDimension(n, "the list of axes");
  return axes;
}

const Unsqueeze: OpRule = {
  scaling: reshapes,
  gradient: reshapeGradient,
  quantize: movesIntegers,
  shape: (n, c) => {
    const { elemType, dims } = inputType(n, c, 0);
    const axes = unsqueezeAxes(n, c.constant(1));
    return [{ elemType, dims: dims && unsqueezedAxes(n, dims.length, axes).map((k) => (k < 0 ? 1 : dims[k])) }];
  },
  movesElements: true,
  evaluate: (n, [x, axes]) => {
    if (!x || (n.inputs[1] && !axes)) return undefined;
    return [
      withDims(
        x,
        unsqueezedAxes(n, x.dims.length, unsqueezeAxes(n, axes)).map((k) => (k < 0 ? 1 : x.dims[k])),
      ),
    ];
  },
  channels: (n, c) => {
    const ids = c.ids(n.inputs[0]);
    const axes = unsqueezeAxes(n, c.constant(n.inputs[1] ?? ""));
    unsqueezedAxes(n, ids.length, axes).forEach((k, axis) => {
      if (k >= 0) c.set(n.outputs[0], axis, ids[k]);
    });
  },
};

/** DCR: the block index is the outer part of the channel axis; CRD: the inner part. */
function depthToSpace(n: OpNode, [batch, channels, height, width]: readonly number[]): Movement {
  const b = attrInt(n, "blocksize", 1);
  const depth = channels / (b * b);
  const dims = [batch, depth, height * b, width * b];
  const m =
    attrString(n, "mode", "DCR") === "CRD"
      ? transpose([batch, depth, b, b, height, width], [0, 1, 4, 2, 5, 3])
      : transpose([batch, b, b, depth, height, width], [0, 3, 4, 1, 5, 2]);
  return { dims, from: m.from };
}

function spaceToDepth(n: OpNode, [batch, channels, height, width]: readonly number[]): Movement {
  const b = attrInt(n, "blocksize", 1);
  // The mode came with opset 28.
  const perm = attrString(n, "mode", "DCR") === "CRD" ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4];
  const m = transpose([batch, channels, height / b, b, width / b, b], perm);
  return { dims: [batch, channels * b * b, height / b, width / b], from: m.from };
}

function blockShape(n: OpNode, c: ShapeContext, toSpace: boolean) {
  const { elemType, dims } = inputType(n, c, 0);
  if (!dims) return [{ elemType }];
  const b = attrInt(n, "blocksize", 1);
  const by = (d: Dim, f: number, what: string) =>
    mapDim(d, (v) => {
      if (f >= 1 || Number.isInteger(v * f)) return v * f;
      throw new ModelError("shape-mismatch", `${at(n)}: ${what} ${v} is not a multiple of ${Math.round(1 / f)}`, {
        where: at(n),
      });
    });
  const [depth, space] = toSpace ? [1 / (b * b), b] : [b * b, 1 / b];
  return [
    {
      elemType,
      dims: [dims[0], by(dims[1], depth, "channel count"), by(dims[2], space, "height"), by(dims[3], space, "width")],
    },
  ];
}

/** Runs a block rearrangement on the ids of a picture of `side` x `side`; the channel axis keeps them. */
function blockIds(n: OpNode, c: ChannelContext, movement: typeof depthToSpace, side: number): void {
  const ids = c.ids(n.inputs[0]);
  passAxes((axis) => axis === 1, "rearranges it")({ ...n, outputs: [] }, c);
  const small = [1, c.dims(n.inputs[0])[1], side, side];
  moveIdList(n, c, [null, ids[1], null, null], small, movement(n, small), (axis, e) => c.set(n.outputs[0], axis, e), 1);
}

const DepthToSpace: OpRule = {
  gradient: depthToSpaceGradient,
  quantize: movesIntegers,
  shape: (n, c) => blockShape(n, c, true),
  movesElements: true,
  evaluate: (n, [x]) => x && [move(x, depthToSpace(n, x.dims))],
  channels: (n, c) => blockIds(n, c, depthToSpace, 1),
};

const SpaceToDepth: OpRule = {
  gradient: spaceToDepthGradient,
  quantize: movesIntegers,
  shape: (n, c) => blockShape(n, c, false),
  movesElements: true,
  evaluate: (n, [x]) => x && [move(x, spaceToDepth(n, x.dims))],
  channels: (n, c) => blockIds(n, c, spaceToDepth, attrInt(n, "blocksize", 1)),
};

export const rules = { Reshape, Flatten, Squeeze, Unsqueeze, DepthToSpace, SpaceToDepth } satisfies Record<
  string,
  OpRule | OpRule[]
>;
