/** Poolings over windows and over whole feature maps. */
import { attrInts, type OpNode, type ValueType } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { inputType } from "./dims.js";
import { passAxes } from "./links.js";
import { fillRemoved, meanOverKept } from "./overKept.js";
import {
  averagePoolGradient,
  globalAveragePoolGradient,
  globalLpPoolGradient,
  globalMaxPoolGradient,
  lpPoolGradient,
  maxPoolGradient,
} from "./poolingGradient.js";
import { mapsIntegers, movesIntegers } from "./precision.js";
import type { OpRule, ShapeContext } from "./rule.js";
import { commutes, commutesWithShifts } from "./scaling.js";
import { windowOf, windowOutput } from "./window.js";

function poolShape(n: OpNode, c: ShapeContext): ValueType[] {
  const { elemType, dims } = inputType(n, c, 0);
  if (!dims) return n.outputs.map((_, i) => ({ elemType: i === 0 ? elemType : ("int64" as const) }));
  const w = windowOf(n, attrInts(n, "kernel_shape") ?? []);
  const out = [...dims.slice(0, 2), ...windowOutput(n, dims.slice(2), w)];
  // The second output of MaxPool holds indices into the flattened input.
  return n.outputs.map((_, i) => ({ elemType: i === 0 ? elemType : ("int64" as const), dims: out }));
}

function globalShape(n: OpNode, c: ShapeContext): ValueType[] {
  const { elemType, dims } = inputType(n, c, 0);
  return [{ elemType, dims: dims?.map((d, k) => (k < 2 ? d : 1)) }];
}

const perChannel = passAxes((axis) => axis < 2, "pools over it");

const pool: OpRule = {
  shape: poolShape,
  channels: perChannel,
  macs: (n, _, [y]) => sizeOf(y) * sizeOf(attrInts(n, "kernel_shape") ?? []),
};

const from2 = (rank: number): number[] => Array.from({ length: Math.max(0, rank - 2) }, (_, k) => k + 2);

/** Pools over all axes from 2 on; where a cut has taken some of them, over what is left. */
const globalPool = (left: "sums" | NonNullable<OpRule["overKept"]>): OpRule => ({
  shape: globalShape,
  channels: (n, c) => {
    const ids = c.ids(n.inputs[0]);
    for (const axis of from2(ids.length)) left === "sums" ? c.contract(0, axis) : c.renormalise(0, axis);
    for (const axis of [0, 1]) c.set(n.outputs[0], axis, ids[axis]);
  },
  ...(left === "sums" ? {} : { overKept: left }),
  macs: (_, [x]) => sizeOf(x),
});

const meanOfLeft: OpRule["overKept"] = (n, c) => [meanOverKept(c, n.inputs[0], from2(c.dims(n.inputs[0]).length))];

const MaxPool: OpRule = {
  scaling: commutesWithShifts,
  gradient: maxPoolGradient,
  quantize: movesIntegers,
  ...pool,
  channels: (n, c) => {
    // Indices name places in the uncut input.
    if (n.outputs[1]) passAxes((axis) => axis === 0, "numbers its elements")(n, c);
    else perChannel(n, c);
  },
};

export const rules = {
  MaxPool,
  AveragePool: { ...pool, scaling: commutes, quantize: mapsIntegers, gradient: averagePoolGradient },
  LpPool: { ...pool, gradient: lpPoolGradient },
  GlobalAveragePool: {
    ...globalPool(meanOfLeft),
    scaling: commutesWithShifts,
    quantize: mapsIntegers,
    gradient: globalAveragePoolGradient,
  },
  GlobalMaxPool: {
    ...globalPool(fillRemoved(Number.NEGATIVE_INFINITY)),
    scaling: commutesWithShifts,
    gradient: globalMaxPoolGradient,
  },
  GlobalLpPool: { ...globalPool("sums"), gradient: globalLpPoolGradient },
} satisfies Record<string, OpRule | OpRule[]>;
