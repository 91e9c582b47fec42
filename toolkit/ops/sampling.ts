/** Sampling of feature maps at computed places: grids, deformed kernels, regions of interest. */
import { attrInt, attrInts, attrString, type OpNode, type ValueType } from "../graph/graph.js";
import { sizeOf } from "../graph/tensor.js";
import { convChannels, resizeGroups, tieBlocks } from "./convolution.js";
import { inputDims, inputType, staticDims, unknownDimension } from "./dims.js";
import { freezeAxes, passAxes } from "./links.js";
import type { ChannelContext, OpRule, ShapeContext } from "./rule.js";
import { windowOf, windowOutput } from "./window.js";

/** Channels of input 0 pass; what the other inputs hold are places, not features. */
function channelsOfFirst(n: OpNode, c: ChannelContext): void {
  passAxes((axis) => axis === 1, "samples it at computed places")(n, c);
  for (const name of n.inputs.slice(1)) if (name) freezeAxes(n, c, name, () => true, "reads places from it");
}

/** Interpolates [N, C, …] at the places of a grid [N, …, r] (ONNX GridSample-16, -20). */
const GridSample: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const [x, grid] = [inputDims(n, c, 0), inputDims(n, c, 1)];
    return [{ elemType, dims: [x[0], x[1], ...grid.slice(1, -1)] }];
  },
  channels: channelsOfFirst,
  macs: (_n, _x, [y]) => sizeOf(y),
};

/** Grid of an affine map, theta [N, r, r+1], for an output of the given size (ONNX AffineGrid-20). */
const AffineGrid: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const size = c.shapeValue(1);
    if (!size) throw unknownDimension(n, `the size "${n.inputs[1]}"`);
    return [{ elemType, dims: [size[0], ...size.slice(2), size.length - 2] }];
  },
  frozenBecause: "reads a matrix from it",
};

/** Convolution whose taps are moved by an offset per position (ONNX DeformConv-19). */
const DeformConv: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const [x, w] = [inputDims(n, c, 0), inputDims(n, c, 1)];
    const kernel = attrInts(n, "kernel_shape") ?? staticDims(n, w.slice(2), "the kernel size");
    return [{ elemType, dims: [x[0], w[0], ...windowOutput(n, x.slice(2), windowOf(n, kernel))] }];
  },
  channels: (n, c) => {
    const [x, w, offset, bias, mask] = n.inputs;
    for (const name of [offset, mask]) if (name) freezeAxes(n, c, name, () => true, "reads places from it");
    // Channels are divided among the offsets in equal blocks.
    const ids = c.ids(x)[1];
    if (ids) tieBlocks(n, c, ids, attrInt(n, "offset_group", 1));
    convChannels(false)({ ...n, inputs: bias ? [x, w, bias] : [x, w] }, c);
  },
  resize: resizeGroups,
  macs: (_, [, w], [y]) => sizeOf(y) * sizeOf(w.slice(1)),
};

/** One map per region: [R, C, height, width]; `size` gives the last two. */
const perRegion =
  (size: (n: OpNode) => readonly number[]) =>
  (n: OpNode, c: ShapeContext): ValueType[] => {
    const { elemType } = inputType(n, c, 0);
    const [x, regions] = [inputDims(n, c, 0), inputDims(n, c, 1)];
    return [{ elemType, dims: [regions[0], x[1], ...size(n)] }];
  };

/** Pools regions by interpolation (ONNX RoiAlign-10, -16). */
const RoiAlign: OpRule = {
  shape: perRegion((n) => [attrInt(n, "output_height", 1), attrInt(n, "output_width", 1)]),
  channels: channelsOfFirst,
  macs: (n, _, [y]) => sizeOf(y) * Math.max(1, attrInt(n, "sampling_ratio", 0)) ** 2,
};

/** Pools regions by their maxima (ONNX MaxRoiPool-1). */
const MaxRoiPool: OpRule = {
  shape: perRegion((n) => attrInts(n, "pooled_shape") ?? []),
  channels: channelsOfFirst,
  macs: (_, [x]) => sizeOf(x),
};

/** Index triples (batch, class, box) of the boxes that stay: how many shows only at run time (ONNX NonMaxSuppression-10). */
const NonMaxSuppression: OpRule = {
  shape: () => [{ elemType: "int64", dims: [null, 3] }],
  frozenBecause: "chooses boxes by their scores",
};

/** A picture from the bytes of an image file: its size shows only at run time (ONNX ImageDecoder-20). */
const ImageDecoder: OpRule = {
  shape: (n) => {
    const channels = attrString(n, "pixel_format", "RGB") === "Grayscale" ? 1 : 3;
    return [{ elemType: "uint8", dims: [null, null, channels] }];
  },
  frozenBecause: "reads the bytes of a file",
};

export const rules = {
  GridSample,
  AffineGrid,
  DeformConv,
  RoiAlign,
  MaxRoiPool,
  NonMaxSuppression,
  ImageDecoder,
} satisfies Record<string, OpRule | OpRule[]>;
