import { attr } from "../../../toolkit/graph/graph.js";
import type { Cases } from "../case.js";

const ints = attr.ints;

export const convolution: Cases = {
  Conv: [
    {
      name: "stride and pads",
      inputs: [{ live: [2, 8, 9, 9] }, { parameter: [12, 8, 3, 3] }],
      attributes: { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) },
    },
    {
      name: "bias, opset 7",
      opset: 7,
      inputs: [{ live: [1, 6, 7, 5] }, { parameter: [4, 6, 1, 1] }, { parameter: [4] }],
    },
    {
      name: "depthwise",
      inputs: [{ live: [1, 6, 5, 5] }, { parameter: [6, 1, 3, 3] }, { parameter: [6] }],
      attributes: { group: attr.int(6) },
    },
    {
      name: "depthwise with multiplier",
      inputs: [{ live: [1, 6, 5, 5] }, { parameter: [18, 1, 3, 3] }],
      attributes: { group: attr.int(6) },
    },
    {
      name: "grouped",
      inputs: [{ live: [1, 8, 5, 5] }, { parameter: [12, 4, 3, 3] }, { parameter: [12] }],
      attributes: { group: attr.int(2) },
    },
    {
      name: "dilated",
      inputs: [{ live: [1, 4, 9, 9] }, { parameter: [5, 4, 3, 3] }],
      attributes: { dilations: ints([2, 3]), pads: ints([2, 0, 1, 3]) },
    },
    {
      name: "SAME_UPPER",
      inputs: [{ live: [1, 4, 7, 8] }, { parameter: [5, 4, 3, 2] }],
      attributes: { auto_pad: attr.string("SAME_UPPER"), strides: ints([2, 2]) },
    },
    {
      name: "SAME_LOWER",
      inputs: [{ live: [1, 4, 7, 8] }, { parameter: [5, 4, 3, 3] }],
      attributes: { auto_pad: attr.string("SAME_LOWER") },
    },
    {
      name: "VALID",
      inputs: [{ live: [1, 4, 7, 8] }, { parameter: [5, 4, 3, 3] }],
      attributes: { auto_pad: attr.string("VALID") },
    },
    { name: "one spatial axis", inputs: [{ live: [2, 4, 9] }, { parameter: [5, 4, 3] }] },
    {
      name: "weight made at run time",
      inputs: [{ live: [1, 4, 5, 5] }, { live: [5, 4, 3, 3], channels: null }],
      frozen: true,
    },
  ],
  ConvTranspose: [
    {
      name: "stride and output padding",
      inputs: [{ live: [1, 6, 5, 5] }, { parameter: [6, 4, 3, 3] }, { parameter: [4] }],
      attributes: { strides: ints([2, 2]), pads: ints([1, 1, 1, 1]), output_padding: ints([1, 1]) },
    },
    {
      name: "grouped",
      opset: 11,
      inputs: [{ live: [1, 6, 4, 4] }, { parameter: [6, 3, 2, 2] }, { parameter: [6] }],
      attributes: { group: attr.int(2), strides: ints([2, 2]) },
    },
    {
      name: "depthwise",
      inputs: [{ live: [1, 4, 4, 4] }, { parameter: [4, 1, 2, 2] }],
      attributes: { group: attr.int(4), strides: ints([2, 2]) },
    },
    {
      name: "output shape",
      inputs: [{ live: [1, 3, 4, 4] }, { parameter: [3, 2, 3, 3] }],
      attributes: { strides: ints([2, 2]), output_shape: ints([8, 8]) },
    },
    {
      name: "SAME_UPPER",
      inputs: [{ live: [1, 3, 4, 4] }, { parameter: [3, 2, 3, 3] }],
      attributes: { strides: ints([2, 2]), auto_pad: attr.string("SAME_UPPER") },
    },
  ],
};

export const fusedConvolution: Cases = {
  FusedConv: [
    {
      name: "with activation",
      domain: "com.microsoft",
      inputs: [{ live: [1, 6, 5, 5] }, { parameter: [4, 6, 3, 3] }, { parameter: [4] }],
      attributes: { activation: attr.string("Relu") },
    },
  ],
};
