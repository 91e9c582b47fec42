/** Normalisations: batch, instance, layer, group, local response. */
import { attrFloat, attrInt, type OpNode, type ValueType } from "../graph/graph.js";
import { type Tensor, toNumbers } from "../graph/tensor.js";
import { axisOf, inputDims, inputType } from "./dims.js";
import { freezeAxes, passAxes } from "./links.js";
import { batchNormalizationGradient } from "./normalizationGradient.js";
import type { ChannelAffine, ChannelContext, OpRule, ShapeContext } from "./rule.js";

/** One parameter value per channel on axis 1, for every input after the first. */
function perChannelParameters(n: OpNode, c: ChannelContext): void {
  const ids = c.ids(n.inputs[0])[1];
  passAxes(() => true, "")({ ...n, outputs: n.outputs.slice(0, 1) }, c);
  if (!ids) return;
  for (const name of n.inputs.slice(1)) {
    if (!name) continue;
    if (c.isParameter(name)) c.set(name, 0, ids);
    else freezeAxes(n, c, n.inputs[0], (axis) => axis === 1, `scales it by "${name}", which is computed at run time`);
  }
}

/** Outputs beyond the first are statistics per channel (training forms of old and new operator sets). */
function batchNormShape(n: OpNode, c: ShapeContext): ValueType[] {
  const x = inputType(n, c, 0);
  const channels = x.dims?.[1] ?? null;
  return n.outputs.map((_, i) => (i === 0 ? x : { elemType: x.elemType, dims: [channels] }));
}

/** Scale and shift of a batch norm in inference form with constant parameters, in float64. */
export function batchNormAffine(n: OpNode, constant: (name: string) => Tensor | undefined): ChannelAffine | undefined {
  if (attrInt(n, "training_mode", 0) !== 0 || n.outputs.slice(1).some((o) => o !== "")) return undefined;
  const parameters = n.inputs.slice(1, 5).map(constant);
  if (parameters.length < 4 || parameters.some((t) => t === undefined)) return undefined;
  const [gamma, beta, mean, variance] = parameters.map((t) => toNumbers(t!));
  const epsilon = attrFloat(n, "epsilon", 1e-5);
  const scale = gamma.map((v, c) => v / Math.sqrt(variance[c] + epsilon));
  return { scale, shift: beta.map((v, c) => v - mean[c] * scale[c]) };
}

/** y = scale·(x − mean)/sqrt(var + epsilon) + bias, per channel. Inference form. */
const BatchNormalization: OpRule = {
  scaling: { kind: "normalizes", scale: 1, shift: 2, dataAxis: () => 1 },
  gradient: batchNormalizationGradient,
  parameters: [
    { input: 1, decay: false },
    { input: 2, decay: false },
  ],
  shape: batchNormShape,
  channels: perChannelParameters,
  affine: batchNormAffine,
  runningStatistics: { scale: 1, mean: 3, variance: 4 },
};

const InstanceNormalization: OpRule = {
  scaling: { kind: "normalizes", scale: 1, shift: 2, dataAxis: () => 1 },
  shape: (n, c) => [inputType(n, c, 0)],
  channels: perChannelParameters,
};

const LayerNormalization: OpRule = {
  scaling: {
    kind: "normalizes",
    scale: 1,
    shift: 2,
    dataAxis: (n, rank) => (axisOf(n, attrInt(n, "axis", -1), rank) === rank - 1 ? rank - 1 : -1),
  },
  shape: (n, c) => {
    const x = inputType(n, c, 0);
    if (!x.dims) return n.outputs.map(() => ({ elemType: x.elemType }));
    const axis = axisOf(n, attrInt(n, "axis", -1), x.dims.length);
    const reduced = x.dims.map((d, k) => (k < axis ? d : 1));
    return n.outputs.map((_, i) => (i === 0 ? x : { elemType: "float32" as const, dims: reduced }));
  },
  channels: (n, c) => {
    const axis = axisOf(n, attrInt(n, "axis", -1), c.dims(n.inputs[0]).length);
    passAxes((k) => k < axis, "normalises over it, so removing one channel changes the others")(
      { ...n, outputs: n.outputs.slice(0, 1) },
      c,
    );
  },
};

const GroupNormalization: OpRule = {
  shape: (n, c) => [inputType(n, c, 0)],
  channels: passAxes((k) => k === 0, "normalises over it, so removing one channel changes the others"),
};

const overChannels = passAxes((k) => k !== 1, "normalises over neighbouring channels");

const LRN: OpRule = {
  shape: (n, c) => [inputType(n, c, 0)],
  channels: overChannels,
};

const LpNormalization: OpRule = {
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => {
    const axis = axisOf(n, attrInt(n, "axis", -1), c.dims(n.inputs[0]).length);
    passAxes((k) => k !== axis, "normalises over it, so removing one channel changes the others")(n, c);
  },
};

const MeanVarianceNormalization: OpRule = {
  shape: (n, c) => {
    inputDims(n, c, 0);
    return [inputType(n, c, 0)];
  },
  frozenBecause: "normalises over a set of axes",
};

export const rules = {
  BatchNormalization,
  InstanceNormalization,
  LayerNormalization,
  GroupNormalization,
  LRN,
  LpNormalization,
  MeanVarianceNormalization,
} satisfies Record<string, OpRule | OpRule[]>;
