/** Poolings over windows and over whole feature maps. */
import { attrInts, type OpNode, type ValueType } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { inputType } from "./dims.js";
import { passAxes } from "./links.js";
import {
  averagePoolGradient,
  globalAveragePoolGradient,
  globalMaxPoolGradient,
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

const globalPool: OpRule = {
  shape: globalShape,
  channels: perChannel,
  macs: (_, [x]) => sizeOf(x),
};

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
  LpPool: { ...pool },
  GlobalAveragePool: { ...globalPool, scaling: commutesWithShifts, quantize: mapsIntegers, gradient: globalAveragePoolGradient },
  GlobalMaxPool: { ...globalPool, scaling: commutesWithShifts, gradient: globalMaxPoolGradient },
  GlobalLpPool: { ...globalPool },
} satisfies Record<string, OpRule | OpRule[]>;
