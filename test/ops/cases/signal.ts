import { attr } from "../../../toolkit/graph/graph.js";
import { ints, scalar } from "../../../toolkit/graph/tensor.js";
import type { Cases } from "../case.js";

const uncut = (dims: readonly number[]) => ({ live: dims, channels: null });
const one = (v: number) => ints([v], []);
const shaped = { shape: attr.ints([2, 3, 4]) };

export const signal: Cases = {
  HannWindow: [
    { name: "10", inputs: [one(10)] },
    { name: "float64", inputs: [one(7)], attributes: { output_datatype: attr.int(11) } },
  ],
  HammingWindow: [{ name: "10", inputs: [one(10)] }],
  BlackmanWindow: [{ name: "10", inputs: [one(10)] }],
  DFT: [
    { name: "real signal, opset 17", inputs: [uncut([2, 10, 1])] },
    { name: "one-sided, opset 17", inputs: [uncut([2, 10, 1])], attributes: { onesided: attr.int(1) } },
    { name: "padded, opset 20", opset: 20, inputs: [uncut([2, 10, 3, 2]), one(16), one(1)] },
    {
      name: "default axis, opset 20",
      opset: 20,
      inputs: [uncut([2, 10, 4, 1])],
      attributes: { onesided: attr.int(1) },
    },
  ],
  STFT: [
    { name: "one-sided", inputs: [uncut([2, 128, 1]), one(8), null, one(16)] },
    {
      name: "by its window",
      inputs: [uncut([2, 128, 1]), one(8), { parameter: [20] }],
      attributes: { onesided: attr.int(0) },
    },
  ],
  MelWeightMatrix: [{ name: "8 bands", inputs: [one(8), one(16), one(8192), scalar(0), scalar(4096)] }],
};

export const random: Cases = {
  RandomNormal: [{ name: "of a shape", inputs: [], attributes: shaped }],
  RandomUniform: [{ name: "float64", inputs: [], attributes: { ...shaped, dtype: attr.int(11) } }],
  RandomNormalLike: [{ name: "like a map", inputs: [{ live: [1, 6, 4, 3] }], frozen: true }],
  RandomUniformLike: [{ name: "float64", inputs: [uncut([3, 2])], attributes: { dtype: attr.int(11) } }],
  Bernoulli: [{ name: "another type", inputs: [uncut([3, 2])], range: [0.1, 0.9], attributes: { dtype: attr.int(9) } }],
  Multinomial: [{ name: "5 of each row", inputs: [uncut([3, 7])], attributes: { sample_size: attr.int(5) } }],
};
