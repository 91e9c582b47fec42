/** Convolutions: plain, grouped, depthwise (with multiplier), transposed, and the runtime's fused form. */
import { ModelError } from "../graph/errors.js";
import { at, attr, attrInt, attrInts, attrString, type Dim, type OpNode, withAttributes } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { convGradient } from "./convolutionGradient.js";
import { convTransposeGradient, fusedConvGradient } from "./convTransposeGradient.js";
import { checkPerChannel, inputDims, inputType, mapDim, staticDims } from "./dims.js";
import { convLinear } from "./linearForm.js";
import { freezeAxes } from "./links.js";
import { compacted } from "./overKept.js";
import { weightFirst } from "./precision.js";
import type { ChannelContext, ChannelIds, OpRule, ShapeContext, SliceContext } from "./rule.js";
import { windowOf, windowOutput } from "./window.js";

/** Number of groups of a convolution. */
export const groupsOf = (n: OpNode): number => attrInt(n, "group", 1);

function checkChannels(n: OpNode, x: readonly Dim[], perGroup: Dim, groups: number): void {
  if (typeof x[1] !== "number" || typeof perGroup !== "number" || x[1] === perGroup * groups) return;
  const expected = groups === 1 ? `${perGroup}` : `${perGroup} x group ${groups} = ${perGroup * groups}`;
  throw new ModelError("channels-mismatch", `${at(n)}: the weight expects ${expected} input channels, got ${x[1]}`, {
    where: at(n),
    hint: "the weight's input axis times `group` must equal the input's channels",
  });
}

function convShape(n: OpNode, c: ShapeContext) {
  const { elemType, dims: x } = inputType(n, c, 0);
  const w = inputDims(n, c, 1);
  if (!x) return [{ elemType }];
  checkChannels(n, x, w[1], groupsOf(n));
  checkPerChannel(n, c, 2, w[0]);
  const kernel = attrInts(n, "kernel_shape") ?? staticDims(n, w.slice(2), "the kernel size");
  return [{ elemType, dims: [x[0], w[0], ...windowOutput(n, x.slice(2), windowOf(n, kernel))] }];
}

/** Each id repeated, as outputs of a depthwise convolution with a channel multiplier follow their input. */
const repeated = (ids: ChannelIds, times: number): ChannelIds =>
  Int32Array.from({ length: ids.length * times }, (_, i) => ids[Math.floor(i / times)]);

/** Unifies ids at the same offset of every block and returns the first block. Throws ModelError where blocks are not equal. */
export function tieBlocks(n: OpNode, c: ChannelContext, ids: ChannelIds, blocks: number): ChannelIds {
  const size = ids.length / blocks;
  if (!(Number.isInteger(size) && size > 0)) {
    throw new ModelError("channels-mismatch", `${at(n)}: ${ids.length} channels do not make ${blocks} equal groups`, {
      where: at(n),
    });
  }
  const first = ids.slice(0, size);
  for (let b = 1; b < blocks; b++) c.unify(first, ids.slice(b * size, (b + 1) * size));
  return first;
}

/**
 * Channel links of a convolution whose weight holds output channels (per group, if `transposed`) on `outAxis` and input
 * channels (per group, unless `transposed`) on the other of the first two axes.
 */
export function convChannels(transposed: boolean): (n: OpNode, c: ChannelContext) => void {
  return (n, c) => {
    const [x, w, bias] = n.inputs;
    const [y] = n.outputs;
    c.ids(x).forEach((ids, axis) => {
      if (!ids || axis < 2) return;
      const kernel = attrInts(n, "kernel_shape")?.[axis - 2] ?? c.dims(w)[axis];
      const stays = c.dims(x)[axis] === c.dims(y)[axis] && (attrInts(n, "strides")?.[axis - 2] ?? 1) === 1;
      if (!stays || (transposed && kernel > 1)) c.freeze(ids, `${at(n)} slides over it`);
      else {
        // A window that keeps the length slides over what a cut leaves (efficient channel attention).
        if (kernel > 1) c.renormalise(0, axis);
        c.set(y, axis, ids);
      }
    });
    const ids = c.ids(x)[1];
    const groups = groupsOf(n);
    const channels = c.dims(x)[1];
    if (!c.isParameter(w) || (bias && !c.isParameter(bias))) {
      freezeAxes(n, c, x, () => true, "has a weight that is computed at run time");
      freezeAxes(n, c, w, () => true, "uses it as a weight");
      return;
    }
    const [inAxis, outAxis] = transposed ? [0, 1] : [1, 0];
    const outChannels = transposed ? c.dims(w)[1] * groups : c.dims(w)[0];
    if (groups > 1 && groups === channels) {
      // Depthwise: an output channel has one input channel, and goes when that goes.
      if (!ids) return;
      const out = repeated(ids, outChannels / channels);
      c.set(w, 0, transposed ? ids : out);
      if (bias) c.set(bias, 0, out);
      c.set(y, 1, out);
      return;
    }
    const out = c.fresh(outChannels);
    const outBlock = groups > 1 ? tieBlocks(n, c, out, groups) : out;
    if (ids) {
      const inBlock = groups > 1 ? tieBlocks(n, c, ids, groups) : ids;
      c.contract(0, 1, { name: w, axis: inAxis });
      c.set(w, inAxis, transposed ? ids : inBlock);
    }
    c.set(w, outAxis, transposed ? outBlock : out);
    if (bias) c.set(bias, 0, out);
    c.set(y, 1, out);
  };
}

/** A depthwise convolution has as many groups as channels are left. */
export function resizeGroups(n: OpNode, c: SliceContext): OpNode {
  const before = c.dimsBefore(n.inputs[0])[1];
  const groups = groupsOf(n);
  if (groups === 1 || groups !== before) return n;
  return withAttributes(n, { group: attr.int(c.dimsAfter(n.inputs[0])[1]) });
}

/** Both convolutions take up factors of their input and give their output its own. */
const contracts = (inputAxis: number, outputAxis: number): OpRule["scaling"] => ({
  kind: "contracts",
  weight: 1,
  bias: 2,
  applies: () => true,
  inputAxis: () => inputAxis,
  outputAxis: () => outputAxis,
  groups: groupsOf,
  dataAxis: () => 1,
  // A transposed convolution crops its output; its borders sum fewer taps.
  padded: (n) =>
    n.opType === "ConvTranspose" ||
    !["NOTSET", "VALID"].includes(attrString(n, "auto_pad", "NOTSET")) ||
    (attrInts(n, "pads") ?? []).some((p) => p !== 0),
});

/** Convolution (ONNX Conv-1, Conv-11): weight [out, in/group, k…]. */
export const Conv: OpRule = {
  scaling: contracts(1, 0),
  gradient: convGradient,
  parameters: [
    { input: 1, decay: true },
    { input: 2, decay: false },
  ],
  shape: convShape,
  channels: convChannels(false),
  overKept: compacted,
  quantize: weightFirst,
  resize: resizeGroups,
  linear: convLinear,
  macs: (_, [, w], [y]) => sizeOf(y) * sizeOf(w.slice(1)),
};

function convTransposeShape(n: OpNode, c: ShapeContext) {
  const { elemType, dims: x } = inputType(n, c, 0);
  const w = inputDims(n, c, 1);
  if (!x) return [{ elemType }];
  const groups = groupsOf(n);
  checkChannels(
    n,
    x,
    mapDim(w[0], (v) => v / groups),
    groups,
  );
  const kernel = attrInts(n, "kernel_shape") ?? staticDims(n, w.slice(2), "the kernel size");
  const g = windowOf(n, kernel);
  const outputPadding = attrInts(n, "output_padding") ?? kernel.map(() => 0);
  const outputShape = attrInts(n, "output_shape");
  const same = attrString(n, "auto_pad", "NOTSET").startsWith("SAME");
  const spatial = x.slice(2).map((d, k) => {
    if (outputShape) return outputShape[outputShape.length - kernel.length + k];
    return mapDim(d, (length) => {
      if (same) return length * g.strides[k];
      const pads = g.autoPad === "VALID" ? 0 : g.pads[k] + g.pads[k + kernel.length];
      return g.strides[k] * (length - 1) + outputPadding[k] + (kernel[k] - 1) * g.dilations[k] + 1 - pads;
    });
  });
  return [{ elemType, dims: [x[0], mapDim(w[1], (v) => v * groups), ...spatial] }];
}

/** Transposed convolution (ONNX ConvTranspose-1, -11): weight [in, out/group, k…]. */
export const ConvTranspose: OpRule = {
  scaling: contracts(0, 1),
  gradient: convTransposeGradient,
  parameters: [
    { input: 1, decay: true },
    { input: 2, decay: false },
  ],
  shape: convTransposeShape,
  channels: convChannels(true),
  resize: resizeGroups,
  macs: (_, [x, w]) => sizeOf(x) * sizeOf(w.slice(1)),
};

/** com.microsoft.FusedConv: Conv, then an optional addition of input 3, then an activation. */
const FusedConv: OpRule = {
  gradient: fusedConvGradient,
  parameters: [
    { input: 1, decay: true },
    { input: 2, decay: false },
  ],
  shape: convShape,
  resize: resizeGroups,
  macs: Conv.macs,
  channels: (n, c) => {
    convChannels(false)(n, c);
    if (!n.inputs[3]) return;
    const [out, added] = [c.ids(n.outputs[0])[1], c.ids(n.inputs[3])[1]];
    if (out && added) c.unify(out, added);
    else if (out ?? added) c.freeze((out ?? added) as ChannelIds, `${at(n)} adds it to channels that cannot be cut`);
  },
};

export const rules = { Conv, ConvTranspose } satisfies Record<string, OpRule | OpRule[]>;

/** Operators of the com.microsoft domain. */
export const contribRules = { FusedConv } satisfies Record<string, OpRule | OpRule[]>;
