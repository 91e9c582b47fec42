/** EfficientNet: Tan and Le, "Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, table 1. */
import type { Graph } from "../graph/graph.js";
import { type Feature, LayerBuilder, makeDivisible, positive, type ZooOptions } from "./layers.js";

/** Blocks of equal width; the first one has the stride. */
export interface MbconvStage {
  expand: number;
  kernel: 3 | 5;
  channels: number;
  blocks: number;
  stride: number;
}

export interface EfficientNetOptions extends ZooOptions {
  /** `imagenet` (default): the paper's strides, input 224. `cifar`: stem and second stage keep the size, input 32. */
  stem?: "imagenet" | "cifar";
  /** In place of B0's seven stages, before the multipliers. */
  stages?: readonly MbconvStage[];
  /** Hidden channels of squeeze-and-excitation per channel of the block's input; 0 leaves it out. Default 1/4. */
  squeezeRatio?: number;
  /** Channels before the global pool, before the multiplier. Default 1280. */
  headChannels?: number;
}

const stage = (expand: number, kernel: 3 | 5, channels: number, blocks: number, stride: number): MbconvStage => ({
  expand,
  kernel,
  channels,
  blocks,
  stride,
});

/** B0; the second stage's stride is 1 for small images. */
const published = (secondStride: number): readonly MbconvStage[] => [
  stage(1, 3, 16, 1, 1),
  stage(6, 3, 24, 2, secondStride),
  stage(6, 5, 40, 2, 2),
  stage(6, 3, 80, 3, 2),
  stage(6, 5, 112, 3, 1),
  stage(6, 5, 192, 4, 2),
  stage(6, 3, 320, 1, 1),
];

const STEM_CHANNELS = 32;

/** Inverted residual with squeeze-and-excitation and SiLU. Stochastic depth is left to training. */
function mbconv(
  net: LayerBuilder,
  x: Feature,
  name: string,
  o: { to: number; expand: number; kernel: number; stride: number; squeezeRatio: number },
): Feature {
  const inner = makeDivisible(x.channels * o.expand);
  let y = x;
  if (o.expand !== 1) y = net.conv(y, `${name}.expand`, { to: inner, kernel: 1, activation: "silu" });
  y = net.conv(y, `${name}.depthwise`, {
    to: inner,
    kernel: o.kernel,
    stride: o.stride,
    depthwise: true,
    activation: "silu",
  });
  if (o.squeezeRatio > 0) {
    y = net.squeezeExcite(y, `${name}.se`, Math.max(1, Math.floor(x.channels * o.squeezeRatio)));
  }
  y = net.conv(y, `${name}.project`, { to: o.to, kernel: 1, activation: "none" });
  return o.stride === 1 && x.channels === o.to ? net.add(y, x, name) : y;
}

/**
 * An untrained EfficientNet: input `image` [N, 3, size, size], output `logits` [N, classes] (1000; 10 with the CIFAR stem). At its
 * defaults it is B0 (5.29 million parameters); B1 to B7 are the paper's pairs of width and depth multiplier (B1: 1.0, 1.1;
 * B2: 1.1, 1.2; B3: 1.2, 1.4; …) with their input sizes.
 */
export function efficientNet(o: EfficientNetOptions = {}): Graph {
  const { stem = "imagenet", widthMultiplier = 1, depthMultiplier = 1, headChannels = 1280 } = o;
  const { squeezeRatio = 0.25, seed = 1, inputChannels = 3 } = o;
  const small = stem === "cifar";
  const { inputSize = small ? 32 : 224, classes = small ? 10 : 1000 } = o;
  positive("widthMultiplier", widthMultiplier, false);
  positive("depthMultiplier", depthMultiplier, false);
  const net = new LayerBuilder("efficientnet", seed);
  let x = net.image(positive("inputChannels", inputChannels), positive("inputSize", inputSize));
  const width = (channels: number): number => makeDivisible(channels * widthMultiplier);
  x = net.conv(x, "stem", { to: width(STEM_CHANNELS), kernel: 3, stride: small ? 1 : 2, activation: "silu" });
  let index = 0;
  for (const s of o.stages ?? published(small ? 1 : 2)) {
    const blocks = Math.ceil(positive("blocks", s.blocks) * depthMultiplier);
    for (let i = 0; i < blocks; i++) {
      const stride = i === 0 ? s.stride : 1;
      x = mbconv(net, x, `blocks.${index++}`, { ...s, to: width(s.channels), stride, squeezeRatio });
    }
  }
  x = net.conv(x, "head", { to: width(headChannels), kernel: 1, activation: "silu" });
  return net.classifier(x, positive("classes", classes));
}
