/** Signal processing: window functions, Fourier transforms, mel filters. */
import { attrInt, type Dim, type OpNode } from "../graph/graph.js";
import { toNumbers } from "../graph/tensor.js";
import { axisOf, inputDims, inputType, mapDim, unknownDimension } from "./dims.js";
import { elemTypeAttribute } from "./elemTypes.js";
import type { OpRule, ShapeContext } from "./rule.js";

const frozenBecause = "transforms along its axes";

/** A scalar input as a length; undefined when absent. Throws ModelError when it is there but not known. */
function lengthInput(n: OpNode, c: ShapeContext, i: number, what: string): Dim | undefined {
  if (!n.inputs[i]) return undefined;
  const value = c.shapeValue(i)?.[0];
  if (value === undefined) throw unknownDimension(n, what);
  return value;
}

/** Hann, Hamming and Blackman windows of a given size (opset 17). */
const window: OpRule = {
  shape: (n, c) => [
    { elemType: elemTypeAttribute(n, "output_datatype", "float32"), dims: [lengthInput(n, c, 0, "its size") ?? null] },
  ],
};

/** Bins of a transform that leaves out the mirrored half. */
const oneSided = (length: Dim): Dim => mapDim(length, (v) => Math.floor(v / 2) + 1);

/** The axis was an attribute (default 1) before opset 20, then an input (default -2). */
function dftAxis(n: OpNode, c: ShapeContext, rank: number): number {
  if (c.opset < 20) return axisOf(n, attrInt(n, "axis", 1), rank);
  const given = n.inputs[2] ? c.constant(2) : undefined;
  if (n.inputs[2] && !given) throw unknownDimension(n, "its axis");
  return axisOf(n, given ? toNumbers(given)[0] : -2, rank);
}

/** Discrete Fourier transform; the last axis holds real and imaginary parts (ONNX DFT-17, -20). */
const DFT: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const dims = inputDims(n, c, 0);
    const axis = dftAxis(n, c, dims.length);
    const half = attrInt(n, "onesided", 0) === 1;
    const inverse = attrInt(n, "inverse", 0) === 1;
    const given = lengthInput(n, c, 1, "the length of the transform");
    // Backwards from half of the bins, the signal is real and has (by default an even) full length.
    const full = given ?? (half && inverse ? mapDim(dims[axis], (v) => 2 * (v - 1)) : dims[axis]);
    const length = half && !inverse ? oneSided(full) : full;
    const parts = half && inverse ? 1 : 2;
    return [{ elemType, dims: dims.map((d, k) => (k === axis ? length : k === dims.length - 1 ? parts : d)) }];
  },
  frozenBecause,
};

/** Fourier transforms of overlapping frames: [batch, frames, bins, 2] (ONNX STFT-17). */
const STFT: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const [batch, length] = inputDims(n, c, 0);
    const step = lengthInput(n, c, 1, "its frame step");
    const frame = lengthInput(n, c, 3, "its frame length") ?? (n.inputs[2] ? inputDims(n, c, 2)[0] : length);
    const frames =
      typeof step === "number" && typeof frame === "number"
        ? mapDim(length, (v) => Math.floor((v - frame) / step) + 1)
        : null;
    const bins = attrInt(n, "onesided", 1) === 1 ? oneSided(frame) : frame;
    return [{ elemType, dims: [batch, frames, bins, 2] }];
  },
  frozenBecause,
};

/** Weights from spectrum bins to mel bands (ONNX MelWeightMatrix-17). */
const MelWeightMatrix: OpRule = {
  shape: (n, c) => {
    const bands = lengthInput(n, c, 0, "the number of bands") ?? null;
    const length = lengthInput(n, c, 1, "the length of the transform") ?? null;
    return [{ elemType: elemTypeAttribute(n, "output_datatype", "float32"), dims: [oneSided(length), bands] }];
  },
};

export const rules = {
  HannWindow: { ...window },
  HammingWindow: { ...window },
  BlackmanWindow: { ...window },
  DFT,
  STFT,
  MelWeightMatrix,
} satisfies Record<string, OpRule | OpRule[]>;
