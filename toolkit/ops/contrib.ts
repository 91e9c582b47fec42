/**
 * Operators that ONNX Runtime's optimiser fuses others into, in domain com.microsoft (ONNX Runtime, docs/ContribOperators.md):
 * what its `extended` level leaves of transformers and dense layers on a CPU.
 */
import type { Ref } from "../graph/builder.js";
import { attrFloat, attrInt, type OpNode, type ValueType } from "../graph/graph.js";
import { inputType } from "./dims.js";
import { broadcast, unary } from "./elementwise.js";
import { linkLetters } from "./letters.js";
import { rules as linear } from "./linear.js";
import { passAxes, tieAxis } from "./links.js";
import { standardised } from "./overKept.js";
import type { OpRule } from "./rule.js";

/** Gemm, then an activation. */
const FusedGemm: OpRule = { shape: linear.Gemm.shape, channels: linear.Gemm.channels, macs: linear.Gemm.macs };

const isTransposed = (n: OpNode, input: number): boolean => attrInt(n, input === 0 ? "transA" : "transB", 0) === 1;

/** The last two axes the other way round. */
const turned = <T>(list: readonly T[]): T[] => [...list.slice(0, -2), list[list.length - 1], list[list.length - 2]];

const batchesMove = (n: OpNode): boolean => attrInt(n, "transBatchA", 0) + attrInt(n, "transBatchB", 0) > 0;

/** alpha·A·B with either factor transposed in its last two axes, or (transBatch…) its batch axes moved behind its rows. */
const FusedMatMul: OpRule = {
  shape: (n, c): ValueType[] => {
    const input = (i: number): ValueType | undefined => {
      const t = c.input(i);
      if (!t?.dims || t.dims.length < 2) return t;
      let dims = [...t.dims];
      if (attrInt(n, i === 0 ? "transBatchA" : "transBatchB", 0) === 1)
        dims = [...dims.slice(1, -1), dims[0], dims[dims.length - 1]];
      return { ...t, dims: isTransposed(n, i) ? turned(dims) : dims };
    };
    return linear.MatMul.shape(n, { ...c, input });
  },
  channels: (n, c) => {
    const ranks = n.inputs.slice(0, 2).map((name) => c.dims(name).length);
    if (batchesMove(n) || ranks.some((r) => r < 2)) {
      passAxes(() => false, "moves its batches")(n, c);
      passAxes(() => false, "moves its batches")({ ...n, inputs: [n.inputs[1]] }, c);
      return;
    }
    const widest = Math.max(...ranks);
    const batch = (rank: number): string[] => Array.from({ length: rank - 2 }, (_, k) => `${widest - rank + k}`);
    const letters = ranks.map((rank, i) => {
      const plain = [...batch(rank), ...(i === 0 ? ["rows", "inner"] : ["inner", "columns"])];
      return isTransposed(n, i) ? turned(plain) : plain;
    });
    linkLetters(n, c, letters, [...batch(widest), "rows", "columns"]);
  },
  macs: (n, [a], [y]) => y.reduce((p, d) => p * d, 1) * a[a.length - (isTransposed(n, 0) ? 2 : 1)],
};

/** LayerNormalization of input + skip (+ bias); further outputs are its statistics and the sum. */
const SkipLayerNormalization: OpRule = {
  shape: (n, c): ValueType[] => {
    const x = inputType(n, c, 0);
    const statistics: ValueType = {
      elemType: "float32",
      dims: x.dims?.map((d, k, all) => (k < all.length - 1 ? d : 1)),
    };
    return [x, statistics, statistics, x].slice(0, n.outputs.length);
  },
  channels: (n, c) => {
    const [x, skip, ...vectors] = n.inputs;
    const dims = c.dims(x);
    const last = dims.length - 1;
    const [y, , , sum] = n.outputs;
    const other = c.dims(skip);
    c.ids(x).forEach((own, axis) => {
      const there = axis - (dims.length - other.length);
      const isWhole = there >= 0 && other[there] === dims[axis] && dims[axis] > 1;
      const ids = own ?? (isWhole && !c.isParameter(skip) ? c.ids(skip)[there] : null);
      if (!ids) return;
      tieAxis(n, c, x, axis, ids, "adds it to");
      if (isWhole) tieAxis(n, c, skip, there, ids, "adds");
      if (axis === last) for (const v of vectors) if (v) tieAxis(n, c, v, 0, ids, "scales or shifts it by");
      for (const out of [y, sum]) if (out) c.set(out, axis, ids);
    });
    c.renormalise(0, last);
  },
  overKept: (n, c) => {
    const [x, skip, scale, shift, bias] = n.inputs;
    const sum = [skip, bias].reduce<Ref>((s, e) => (e ? c.g.add(s, e) : s), x);
    const last = c.dims(x).length - 1;
    const epsilon = attrFloat(n, "epsilon", 1e-12);
    const { value, mean, inverseDeviation } = standardised({ ...n, inputs: [sum] }, c, [last], epsilon);
    const scaled = c.g.mul(value, scale);
    return [shift ? c.g.add(scaled, shift) : scaled, mean, inverseDeviation, sum];
  },
};

export const rules = {
  BiasGelu: { ...broadcast },
  FastGelu: { ...broadcast },
  FusedGemm,
  FusedMatMul,
  Gelu: { ...unary },
  QuickGelu: { ...unary },
  SkipLayerNormalization,
} satisfies Record<string, OpRule | OpRule[]>;
