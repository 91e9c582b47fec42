/** Operators that put elements back into a larger map, or cut and pad one around its centre. */
import { attrInts, type Dim } from "../graph/graph.js";
import { sizeOf, toNumberArray } from "../graph/tensor.js";
import { axisOf, inputDims, inputType, mapDim, unknownDimension } from "./dims.js";
import { freezeAxes } from "./links.js";
import type { OpRule } from "./rule.js";
import { windowOf } from "./window.js";

/** Maxima back to the places that MaxPool numbered (ONNX MaxUnpool-9, -11). */
const MaxUnpool: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const dims = inputDims(n, c, 0);
    if (n.inputs[2]) {
      const given = c.shapeValue(2);
      if (!given) throw unknownDimension(n, `the shape "${n.inputs[2]}"`);
      return [{ elemType, dims: given }];
    }
    const w = windowOf(n, attrInts(n, "kernel_shape") ?? []);
    const spatial = dims.slice(2).map((d, k) => {
      const pads = w.pads[k] + w.pads[k + w.kernel.length];
      return mapDim(d, (v) => (v - 1) * w.strides[k] + w.kernel[k] - pads);
    });
    return [{ elemType, dims: [...dims.slice(0, 2), ...spatial] }];
  },
  frozenBecause: "places elements by numbers that count all channels",
};

/** Sums columns of blocks into an image: [N, C * block, L] to [N, C, …] (ONNX Col2Im-18). */
const Col2Im: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const dims = inputDims(n, c, 0);
    const [image, block] = [c.shapeValue(1), c.constant(2)];
    if (!image || !block) throw unknownDimension(n, "its image and block shape");
    const taps = sizeOf(toNumberArray(block));
    return [{ elemType, dims: [dims[0], mapDim(dims[1], (v) => v / taps), ...image] }];
  },
  frozenBecause: "divides its channels into blocks",
};

/** Cuts or pads axes to a length, around the centre (ONNX CenterCropPad-18). */
const CenterCropPad: OpRule = {
  shape: (n, c) => {
    const { elemType } = inputType(n, c, 0);
    const dims = inputDims(n, c, 0);
    const target = c.shapeValue(1);
    if (!target) throw unknownDimension(n, `the shape "${n.inputs[1]}"`);
    const axes = attrInts(n, "axes")?.map((a) => axisOf(n, a, dims.length)) ?? dims.map((_, k) => k);
    const out: Dim[] = [...dims];
    axes.forEach((axis, i) => {
      out[axis] = target[i];
    });
    return [{ elemType, dims: out }];
  },
  channels: (n, c) => {
    const [x] = n.inputs;
    const named = attrInts(n, "axes")?.map((a) => axisOf(n, a, c.dims(x).length));
    const touched = (axis: number): boolean => named?.includes(axis) ?? true;
    freezeAxes(n, c, x, touched, "cuts or pads it around its centre");
    for (const [axis, ids] of c.ids(x).entries()) if (!touched(axis)) c.set(n.outputs[0], axis, ids);
  },
};

export const rules = { MaxUnpool, Col2Im, CenterCropPad } satisfies Record<string, OpRule | OpRule[]>;
