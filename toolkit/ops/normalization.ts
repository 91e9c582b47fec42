/** Normalisations: batch, instance, layer, group, local response. */
import type { Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import { at, attr, attrFloat, attrInt, attrInts, type OpNode, type ValueType, withAttributes } from "../graph/graph.js";
import { type Tensor, toNumbers } from "../graph/tensor.js";
import { axisOf, checkPerChannel, inputDims, inputType } from "./dims.js";
import { passAxes, tieAxis } from "./links.js";
import {
  batchNormalizationGradient,
  groupNormalizationGradient,
  instanceNormalizationGradient,
  layerNormalizationGradient,
  lpNormalizationGradient,
  lrnGradient,
  meanVarianceNormalizationGradient,
  rmsNormalizationGradient,
} from "./normalizationGradient.js";
import { alongAxis, compacted, meanOverKept, standardised } from "./overKept.js";
import type { ChannelAffine, ChannelContext, ChannelIds, KeptContext, OpRule, ShapeContext } from "./rule.js";

/** One parameter value per channel on axis 1, for every input after the first. */
function perChannelParameters(n: OpNode, c: ChannelContext): void {
  const ids = c.ids(n.inputs[0])[1];
  passAxes(() => true, "")({ ...n, outputs: n.outputs.slice(0, 1) }, c);
  if (!ids) return;
  for (const name of n.inputs.slice(1)) if (name) tieAxis(n, c, name, 0, ids, "scales or shifts it by");
}

/** Passes the ids of input 0 to output 0; on `axes`, the node takes its statistics over what a cut leaves. */
function normalisesOver(n: OpNode, c: ChannelContext, axes: readonly number[]): void {
  for (const axis of axes) c.renormalise(0, axis);
  passAxes(() => true, "")({ ...n, outputs: n.outputs.slice(0, 1) }, c);
}

const from = (axis: number, rank: number): number[] => Array.from({ length: rank - axis }, (_, k) => axis + k);

/** Outputs beyond the first are statistics per channel (training forms of old and new operator sets). */
function batchNormShape(n: OpNode, c: ShapeContext): ValueType[] {
  const x = inputType(n, c, 0);
  const channels = x.dims?.[1] ?? null;
  if (x.dims) for (const i of [1, 2, 3, 4]) checkPerChannel(n, c, i, channels);
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

/** Learned scale and shift, which weight decay leaves alone. */
const scaleAndShift: OpRule["parameters"] = [
  { input: 1, decay: false },
  { input: 2, decay: false },
];

/** y = scale·(x − mean)/sqrt(var + epsilon) + bias, per channel. Inference form. */
const BatchNormalization: OpRule = {
  scaling: { kind: "normalizes", scale: 1, shift: 2, dataAxis: () => 1 },
  gradient: batchNormalizationGradient,
  parameters: scaleAndShift,
  shape: batchNormShape,
  channels: (n, c) => {
    const isTraining = attrInt(n, "training_mode", 0) !== 0 || n.outputs.slice(1).some((y) => y !== "");
    if (isTraining) passAxes(() => false, "takes statistics of the batch")({ ...n, outputs: [] }, c);
    else perChannelParameters(n, c);
  },
  affine: batchNormAffine,
  runningStatistics: { scale: 1, mean: 3, variance: 4 },
};

const InstanceNormalization: OpRule = {
  gradient: instanceNormalizationGradient,
  parameters: scaleAndShift,
  scaling: { kind: "normalizes", scale: 1, shift: 2, dataAxis: () => 1 },
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => {
    normalisesOver(n, c, from(2, c.dims(n.inputs[0]).length));
    perChannelParameters(n, c);
  },
  prefersWhole: (_, input, rank) => (input === 0 ? from(2, rank) : []),
  overKept: (n, c) => {
    const rank = c.dims(n.inputs[0]).length;
    const { value } = standardised(n, c, from(2, rank), attrFloat(n, "epsilon", 1e-5));
    return [scaledAndShifted(c, value, alongAxis(c, n.inputs[1], 1, rank), alongAxis(c, n.inputs[2], 1, rank))];
  },
};

const LayerNormalization: OpRule = {
  gradient: layerNormalizationGradient,
  parameters: scaleAndShift,
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
    const dims = c.dims(n.inputs[0]);
    const axis = axisOf(n, attrInt(n, "axis", -1), dims.length);
    normalisesOver(n, c, from(axis, dims.length));
    const ids = c.ids(n.inputs[0]);
    for (const y of n.outputs.slice(1)) if (y) for (let k = 0; k < axis; k++) c.set(y, k, ids[k]);
    for (const name of n.inputs.slice(1)) {
      if (!name) continue;
      const own = c.dims(name);
      own.forEach((length, k) => {
        const e = ids[k + dims.length - own.length];
        if (e && length > 1) tieAxis(n, c, name, k, e, "scales or shifts it by");
      });
    }
  },
  overKept: (n, c) => {
    const rank = c.dims(n.inputs[0]).length;
    const axes = from(axisOf(n, attrInt(n, "axis", -1), rank), rank);
    const { value, mean, inverseDeviation } = standardised(n, c, axes, attrFloat(n, "epsilon", 1e-5));
    return [scaledAndShifted(c, value, n.inputs[1], n.inputs[2]), mean, inverseDeviation];
  },
};

function scaledAndShifted(c: KeptContext, x: Ref, scale: Ref, shift: Ref | undefined): Ref {
  const scaled = c.g.mul(x, scale);
  return shift ? c.g.add(scaled, shift) : scaled;
}

/** LayerNormalization without the mean (opset 23): x / sqrt(mean(x²) + epsilon) · scale. */
const RMSNormalization: OpRule = {
  gradient: rmsNormalizationGradient,
  parameters: [{ input: 1, decay: false }],
  shape: (n, c) => [inputType(n, c, 0)],
  channels: LayerNormalization.channels,
  overKept: (n, c) => {
    const [x, scale] = n.inputs;
    const rank = c.dims(x).length;
    const axes = from(axisOf(n, attrInt(n, "axis", -1), rank), rank);
    const square = meanOverKept(c, c.g.mul(x, x), axes);
    const deviation = c.g.sqrt(c.g.add(square, c.number(attrFloat(n, "epsilon", 1e-5))));
    return [c.g.mul(c.g.div(x, deviation), scale)];
  },
};

/**
 * One group normalises over its channels like LayerNormalization. Several groups are cut as wholes: what is left keeps
 * its statistics exactly, and there are fewer groups. Opset 18 has one scale and bias per group, 21 one per channel.
 */
const GroupNormalization: OpRule = {
  gradient: groupNormalizationGradient,
  parameters: scaleAndShift,
  shape: (n, c) => {
    const [groups, channels] = [attrInt(n, "num_groups", 1), inputType(n, c, 0).dims?.[1]];
    if (groups < 1 || (typeof channels === "number" && channels % groups !== 0))
      throw new ModelError(
        "channels-mismatch",
        `${at(n)}: ${channels ?? "the"} channels do not make ${groups} groups`,
        {
          where: at(n),
        },
      );
    return [inputType(n, c, 0)];
  },
  channels: (n, c) => {
    const ids = c.ids(n.inputs[0])[1];
    const groups = attrInt(n, "num_groups", 1);
    if (groups === 1) normalisesOver(n, c, from(1, c.dims(n.inputs[0]).length));
    else passAxes((axis) => axis < 2, "normalises over it in groups of channels")(n, c);
    if (!ids) return;
    const perGroup = groups === 1 ? null : tieWithinBlocks(c, ids, groups);
    for (const name of n.inputs.slice(1)) {
      const length = c.dims(name)[0];
      if (length === ids.length) tieAxis(n, c, name, 0, ids, "scales or shifts it by");
      else if (perGroup && length === groups) tieAxis(n, c, name, 0, perGroup, "scales or shifts it by");
    }
  },
  resize: (n, c) => {
    const groups = attrInt(n, "num_groups", 1);
    const [x] = n.inputs;
    if (groups === 1 || !c.kept(x, 1)) return n;
    return withAttributes(n, { num_groups: attr.int((groups * c.dimsAfter(x)[1]) / c.dimsBefore(x)[1]) });
  },
  overKept: (n, c) => {
    const rank = c.dims(n.inputs[0]).length;
    const { value } = standardised(n, c, from(1, rank), attrFloat(n, "epsilon", 1e-5));
    return [scaledAndShifted(c, value, alongAxis(c, n.inputs[1], 1, rank), alongAxis(c, n.inputs[2], 1, rank))];
  },
};

/** Ids of whole groups of channels: those of one group live or die together. Returns one id per group. */
function tieWithinBlocks(c: ChannelContext, ids: ChannelIds, groups: number): ChannelIds {
  const size = ids.length / groups;
  const first = Int32Array.from({ length: groups }, (_, g) => ids[g * size]);
  c.unify(
    Int32Array.from(ids, (_, i) => first[Math.floor(i / size)]),
    ids,
  );
  return first;
}

/** The neighbours of a channel are those that a cut leaves. */
const LRN: OpRule = {
  gradient: lrnGradient,
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => normalisesOver(n, c, [1]),
  overKept: compacted,
};

/** A removed channel counts as zero in the norm, as in the cut net. */
const LpNormalization: OpRule = {
  gradient: lpNormalizationGradient,
  shape: (n, c) => [inputType(n, c, 0)],
  channels: (n, c) => {
    c.contract(0, axisOf(n, attrInt(n, "axis", -1), c.dims(n.inputs[0]).length));
    passAxes(() => true, "")(n, c);
  },
};

const MeanVarianceNormalization: OpRule = {
  gradient: meanVarianceNormalizationGradient,
  shape: (n, c) => {
    inputDims(n, c, 0);
    return [inputType(n, c, 0)];
  },
  channels: (n, c) => normalisesOver(n, c, attrInts(n, "axes") ?? [0, 2, 3]),
  overKept: (n, c) => {
    const rank = c.dims(n.inputs[0]).length;
    const axes = (attrInts(n, "axes") ?? [0, 2, 3]).map((a) => axisOf(n, a, rank));
    // The operator's own epsilon: ONNX MeanVarianceNormalization-13, function body.
    return [standardised(n, c, axes, 1e-9).value];
  },
};

export const rules = {
  BatchNormalization,
  InstanceNormalization,
  LayerNormalization,
  RMSNormalization,
  GroupNormalization,
  LRN,
  LpNormalization,
  MeanVarianceNormalization,
} satisfies Record<string, OpRule | OpRule[]>;
