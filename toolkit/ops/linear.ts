/** Matrix products. */
import { ModelError } from "../graph/errors.js";
import { at, attrFloat, attrInt, type Dim, type OpNode } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { broadcastDims, inputDims, inputType } from "./dims.js";
import { gemmed, multiplied } from "./integerKernel.js";
import { gemmLinear, matMulLinear } from "./linearForm.js";
import { gemmGradient, matmulGradient } from "./linearGradient.js";
import { freezeAxes, tieAxis } from "./links.js";
import type { ChannelContext, ChannelIds, OpRule } from "./rule.js";

function checkInner(n: OpNode, a: Dim, b: Dim): void {
  if (typeof a === "number" && typeof b === "number" && a !== b) {
    throw new ModelError("channels-mismatch", `${at(n)}: the left factor has ${a} columns, the right one ${b} rows`, {
      where: at(n),
      hint: "the inner dimensions of a matrix product must agree",
    });
  }
}

/** Links the summed axis of both factors. Parameters are cut along; two activations are unified. */
function linkInner(n: OpNode, c: ChannelContext, a: number, aAxis: number, b: number, bAxis: number): void {
  const [left, right] = [n.inputs[a], n.inputs[b]];
  for (const [i, axis, other, otherAxis] of [
    [a, aAxis, right, bAxis],
    [b, bAxis, left, aAxis],
  ] as const) {
    const ids = c.isParameter(n.inputs[i]) ? null : c.ids(n.inputs[i])[axis];
    if (!ids) continue;
    c.contract(i, axis, c.isParameter(other) ? { name: other, axis: otherAxis } : undefined);
    if (c.isParameter(other)) c.set(other, otherAxis, ids);
    else {
      const partner = c.ids(other)[otherAxis];
      if (partner) c.unify(ids, partner);
      else c.freeze(ids, `${at(n)} multiplies it with "${other}", which cannot be cut`);
    }
  }
}

/** Ids of a result axis that comes from one factor alone: new channels of a parameter, or those of an activation. */
function outerIds(c: ChannelContext, name: string, axis: number): ChannelIds | null {
  if (!c.isParameter(name)) return c.ids(name)[axis];
  const ids = c.fresh(c.dims(name)[axis]);
  c.set(name, axis, ids);
  return ids;
}

/** Gemm: alpha·A·B + beta·C, with optional transposes. Sources: ONNX Gemm-7, -9, -11, -13. */
/** What dense layers with a constant right-hand side have in common: channels are on the last axis. */
const dense = {
  kind: "contracts",
  weight: 1,
  groups: () => 1,
  dataAxis: (rank: number) => rank - 1,
  padded: () => false,
} as const;

const Gemm: OpRule = {
  gradient: gemmGradient,
  parameters: [
    { input: 1, decay: true },
    { input: 2, decay: false },
  ],
  quantize: {
    activations: [0],
    weight: { input: 1, axis: (n) => (attrInt(n, "transB", 0) ? 0 : 1) },
    bias: 2,
    floatOutput: true,
    kernel: gemmed,
    // QGemm has no beta, and alpha would have to go into the scales.
    when: (n) => attrFloat(n, "alpha", 1) === 1 && attrFloat(n, "beta", 1) === 1 && attrInt(n, "transA", 0) === 0,
  },
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const [a, b] = [inputDims(n, c, 0), inputDims(n, c, 1)];
    const [ta, tb] = [attrInt(n, "transA", 0), attrInt(n, "transB", 0)];
    checkInner(n, a[ta ? 0 : 1], b[tb ? 1 : 0]);
    return [{ elemType, dims: [a[ta ? 1 : 0], b[tb ? 0 : 1]] }];
  },
  channels: (n, c) => {
    const [a, b, bias] = n.inputs;
    const [ta, tb] = [attrInt(n, "transA", 0), attrInt(n, "transB", 0)];
    linkInner(n, c, 0, ta ? 0 : 1, 1, tb ? 1 : 0);
    const rows = outerIds(c, a, ta ? 1 : 0);
    const columns = outerIds(c, b, tb ? 0 : 1);
    if (rows) c.set(n.outputs[0], 0, rows);
    if (columns) c.set(n.outputs[0], 1, columns);
    if (!bias) return;
    const dims = c.dims(bias);
    const last = dims.length - 1;
    for (const [axis, ids] of [
      [last, columns],
      [last - 1, rows],
    ] as const) {
      if (ids && axis >= 0 && dims[axis] === ids.length) tieAxis(n, c, bias, axis, ids, "adds");
      else if (axis >= 0) freezeAxes(n, c, bias, (k) => k === axis && dims[k] > 1, "adds it to what cannot be cut");
    }
  },
  linear: gemmLinear,
  scaling: {
    ...dense,
    bias: 2,
    applies: (n) => gemmLinear.applies(n, [0, 0]),
    inputAxis: gemmLinear.inputAxis,
    outputAxis: gemmLinear.outputAxis,
  },
  macs: (n, [a], [y]) => sizeOf(y) * a[attrInt(n, "transA", 0) ? 0 : 1],
};

/** Dims of a product with NumPy semantics: leading axes broadcast, vectors promoted. Throws ModelError where it has none. */
export function matMulDims(n: OpNode, a: readonly Dim[], b: readonly Dim[]): Dim[] {
  if (a.length === 0 || b.length === 0) {
    throw new ModelError("shape-mismatch", `${at(n)}: a scalar has no matrix product`, { where: at(n) });
  }
  const [left, right] = [a.length === 1 ? [1, ...a] : a, b.length === 1 ? [...b, 1] : b];
  checkInner(n, left[left.length - 1], right[right.length - 2]);
  const batch = broadcastDims(n, [left.slice(0, -2), right.slice(0, -2)]) ?? [];
  const rows = a.length === 1 ? [] : [left[left.length - 2]];
  const columns = b.length === 1 ? [] : [right[right.length - 1]];
  return [...batch, ...rows, ...columns];
}

/** MatMul with NumPy semantics: leading axes broadcast, vectors promoted. */
const MatMul: OpRule = {
  gradient: matmulGradient,
  parameters: [
    { input: 0, decay: true },
    { input: 1, decay: true },
  ],
  quantize: { activations: [0], weight: { input: 1, axis: () => 1, rank: 2 }, floatOutput: true, kernel: multiplied },
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    return [{ elemType, dims: matMulDims(n, inputDims(n, c, 0), inputDims(n, c, 1)) }];
  },
  channels: (n, c) => {
    const [a, b] = n.inputs;
    const [y] = n.outputs;
    const [da, db] = [c.dims(a).length, c.dims(b).length];
    const rank = c.dims(y).length;
    linkInner(n, c, 0, da - 1, 1, Math.max(0, db - 2));
    if (db > 1) {
      const columns = outerIds(c, b, db - 1);
      if (columns) c.set(y, rank - 1, columns);
    }
    if (da > 1) {
      const rows = outerIds(c, a, da - 2);
      if (rows) c.set(y, rank - (db > 1 ? 2 : 1), rows);
    }
    // Leading axes select whole matrices; heads are cut together or not at all.
    const lead = rank - (da > 1 ? 1 : 0) - (db > 1 ? 1 : 0);
    for (let axis = 0; axis < lead; axis++) {
      const sides = [
        { name: a, own: axis - (lead - (da - 2)), rank: da },
        { name: b, own: axis - (lead - (db - 2)), rank: db },
      ].filter(({ name, own, rank: r }) => own >= 0 && own < r - 2 && c.dims(name)[own] === c.dims(y)[axis]);
      const ids = sides.map(({ name, own }) => (c.isParameter(name) ? null : c.ids(name)[own])).find((e) => e !== null);
      if (!ids) continue;
      for (const { name, own } of sides) tieAxis(n, c, name, own, ids, "pairs it with the matrices of");
      c.set(y, axis, ids);
    }
  },
  linear: matMulLinear,
  scaling: { ...dense, bias: -1, applies: () => true, inputAxis: () => 0, outputAxis: () => 1 },
  macs: (_, [a], [y]) => sizeOf(y) * (a[a.length - 1] ?? 1),
};

export const rules = { Gemm, MatMul } satisfies Record<string, OpRule | OpRule[]>;
