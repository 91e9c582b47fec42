/**
 * The eye-state classifier: a MobileNetV2 (Sandler et al. 2018, table 2) scaled down to 32x32 crops. Batch normalisation
 * stays separate from the convolutions, as training, pruning and re-estimation want it.
 */

import { emptyGraph, GraphBuilder, type Ref } from "../../toolkit/graph/builder.js";
import type { Graph } from "../../toolkit/graph/graph.js";
import { attr } from "../../toolkit/graph/graph.js";
import { floats, sizeOf } from "../../toolkit/graph/tensor.js";
import { CROP_SIDE } from "./appearance.js";
import { type Random, randomStream } from "./random.js";

/** Stream family of the initial weights. */
const WEIGHT_FAMILY = 1002;
const BN_EPSILON = 1e-5;

/**
 * Inverted residual blocks: expansion, output channels, stride. Few and wide: a runtime that works in blocks of 16 channels and
 * pays some microseconds per call of an operator gains next to nothing from cutting a net of many narrow layers.
 */
const blocks: readonly (readonly [expand: number, channels: number, stride: number])[] = [
  [1, 32, 1],
  [4, 64, 2],
  [4, 64, 1],
];
const STEM_CHANNELS = 32;
const HEAD_CHANNELS = 128;

/** Convolution, batch normalisation and, for all but the linear bottlenecks, ReLU6. */
class Net {
  readonly g = new GraphBuilder(emptyGraph("eye-state"));

  constructor(private readonly random: Random) {}

  /** Normal weights of variance 2 / fan-in (He et al. 2015). */
  weights(name: string, dims: readonly number[]): Ref {
    const deviation = Math.sqrt(2 / sizeOf(dims.slice(1)));
    const values = Float32Array.from({ length: sizeOf(dims) }, () => deviation * this.random.normal());
    return this.g.initializer(name, floats(values, dims));
  }

  batchNorm(x: Ref, name: string, channels: number): Ref {
    const vector = (part: string, value: number) =>
      this.g.initializer(`${name}.${part}`, floats(new Float32Array(channels).fill(value)));
    const inputs = [x, vector("weight", 1), vector("bias", 0), vector("running_mean", 0), vector("running_var", 1)];
    return this.g.emit("BatchNormalization", inputs, { epsilon: attr.float(BN_EPSILON) }, { out: name, name });
  }

  conv(
    x: Ref,
    name: string,
    p: { from: number; to: number; kernel: 1 | 3; stride?: number; depthwise?: boolean; linear?: boolean },
  ): Ref {
    const { from, to, kernel, stride = 1 } = p;
    const weight = this.weights(`${name}.conv.weight`, [to, p.depthwise ? 1 : from, kernel, kernel]);
    const pad = (kernel - 1) / 2;
    const settings = {
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      ...(p.depthwise && { group: from }),
    };
    const y = this.g.conv(x, weight, "", settings, { out: `${name}.conv`, name: `${name}.conv` });
    const normalised = this.batchNorm(y, `${name}.bn`, to);
    return p.linear ? normalised : this.g.clip(normalised, 0, 6, { out: `${name}.relu6`, name: `${name}.relu6` });
  }

  invertedResidual(x: Ref, name: string, from: number, to: number, expand: number, stride: number): Ref {
    const inner = from * expand;
    let y = x;
    if (expand !== 1) y = this.conv(y, `${name}.expand`, { from, to: inner, kernel: 1 });
    y = this.conv(y, `${name}.depthwise`, { from: inner, to: inner, kernel: 3, stride, depthwise: true });
    y = this.conv(y, `${name}.project`, { from: inner, to, kernel: 1, linear: true });
    return stride === 1 && from === to ? this.g.add(x, y, { out: `${name}.add`, name: `${name}.add` }) : y;
  }
}

/**
 * The untrained classifier: input `image` [N, 3, 32, 32] (RGB, (v / 255 - 0.5) / 0.5), output `logits` [N, 2] (closed, open).
 *
 * @param seed Of the initial weights.
 */
export function buildEyeStateModel(seed: number): Graph {
  const net = new Net(randomStream(seed, WEIGHT_FAMILY, 0));
  const { g } = net;
  let x = g.input("image", ["N", 3, CROP_SIDE, CROP_SIDE]);
  x = net.conv(x, "stem", { from: 3, to: STEM_CHANNELS, kernel: 3, stride: 2 });
  let channels = STEM_CHANNELS;
  for (const [i, [expand, to, stride]] of blocks.entries()) {
    x = net.invertedResidual(x, `blocks.${i}`, channels, to, expand, stride);
    channels = to;
  }
  x = net.conv(x, "head", { from: channels, to: HEAD_CHANNELS, kernel: 1 });
  x = g.emit("GlobalAveragePool", [x], {}, { out: "pool", name: "pool" });
  x = g.emit("Flatten", [x], { axis: attr.int(1) }, { out: "features", name: "flatten" });
  const weight = net.weights("classifier.weight", [2, HEAD_CHANNELS]);
  const bias = g.initializer("classifier.bias", floats([0, 0]));
  const logits = g.emit("Gemm", [x, weight, bias], { transB: attr.int(1) }, { out: "logits", name: "classifier" });
  g.output(logits, { elemType: "float32", dims: ["N", 2] });
  return g.graph;
}
