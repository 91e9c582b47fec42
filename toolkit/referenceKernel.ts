/** One small model that never changes: what it takes, beside a model under test, tells how fast the device is at the moment. */
import type { Feeds } from "../runners/index.js";
import { emptyGraph, GraphBuilder } from "./graph/builder.js";
import { floats } from "./graph/tensor.js";
import { writeModel } from "./onnx/index.js";

const CHANNELS = 32;
const SIZE = 28;

/** A 3x3 convolution of 32 channels at 28x28 and a Relu, about 7 million multiply-accumulates, with an input for it. */
export function referenceKernel(): { model: Uint8Array; feeds: Feeds } {
  const g = new GraphBuilder(emptyGraph("reference"));
  const dims = [1, CHANNELS, SIZE, SIZE];
  const values = (length: number) => Float32Array.from({ length }, (_, i) => ((i * 37) % 101) / 101 - 0.5);
  const weight = g.initializer("weight", floats(values(CHANNELS * CHANNELS * 9), [CHANNELS, CHANNELS, 3, 3]));
  g.output(g.relu(g.conv(g.input("x", dims), weight, "", { pads: [1, 1, 1, 1], strides: [1, 1] })));
  const data = values(CHANNELS * SIZE * SIZE);
  return { model: writeModel(g.graph), feeds: { x: { elemType: "float32", dims, data } } };
}
