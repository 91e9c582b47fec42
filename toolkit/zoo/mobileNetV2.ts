/** MobileNetV2: Sandler, Howard, Zhu, Zhmoginov, Chen, "Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2. */
import type { Graph } from "../graph/graph.js";
import { type Feature, LayerBuilder, makeDivisible, positive, type ZooOptions } from "./layers.js";

/** Blocks of equal width; the first one has the stride. */
export interface InvertedResidualStage {
  /** Factor by which a block widens its input inside. */
  expand: number;
  channels: number;
  blocks: number;
  stride: number;
  /** Of the depthwise convolutions. Default 3, as in the paper. */
  kernel?: 3 | 5 | 7;
}

export interface MobileNetV2Options extends ZooOptions {
  /** `imagenet` (default): the paper's strides, input 224. `cifar`: stem and second stage keep the size, input 32. */
  stem?: "imagenet" | "cifar";
  /** In place of the paper's seven stages, before the multipliers. */
  stages?: readonly InvertedResidualStage[];
  /** Channels before the global pool, not narrowed by a `widthMultiplier` below 1. Default 1280. */
  headChannels?: number;
}

const stage = (expand: number, channels: number, blocks: number, stride: number): InvertedResidualStage => ({
  expand,
  channels,
  blocks,
  stride,
});

/** The stages of the paper; the second one's stride is 1 for small images. */
const published = (secondStride: number): readonly InvertedResidualStage[] => [
  stage(1, 16, 1, 1),
  stage(6, 24, 2, secondStride),
  stage(6, 32, 3, 2),
  stage(6, 64, 4, 2),
  stage(6, 96, 3, 1),
  stage(6, 160, 3, 2),
  stage(6, 320, 1, 1),
];

const STEM_CHANNELS = 32;

/** One block of the paper, figure 3b: widened, filtered per channel, narrowed; the input added where size and channels stay. */
export function invertedResidual(
  net: LayerBuilder,
  x: Feature,
  name: string,
  o: { to: number; expand: number; stride: number; kernel?: number },
): Feature {
  const inner = x.channels * o.expand;
  let y = x;
  if (o.expand !== 1) y = net.conv(y, `${name}.expand`, { to: inner, kernel: 1, activation: "relu6" });
  y = net.conv(y, `${name}.depthwise`, {
    to: inner,
    kernel: o.kernel ?? 3,
    stride: o.stride,
    depthwise: true,
    activation: "relu6",
  });
  y = net.conv(y, `${name}.project`, { to: o.to, kernel: 1, activation: "none" });
  return o.stride === 1 && x.channels === o.to ? net.add(x, y, name) : y;
}

/**
 * An untrained MobileNetV2: input `image` [N, 3, size, size], output `logits` [N, classes] (1000; 10 with the CIFAR stem).
 * Widths are multiples of 8. At its defaults it has the 3.50 million parameters and 301 million multiply-adds of the paper.
 */
export function mobileNetV2(o: MobileNetV2Options = {}): Graph {
  const { stem = "imagenet", widthMultiplier = 1, depthMultiplier = 1, headChannels = 1280, seed = 1 } = o;
  const small = stem === "cifar";
  const { inputSize = small ? 32 : 224, classes = small ? 10 : 1000, inputChannels = 3 } = o;
  positive("widthMultiplier", widthMultiplier, false);
  positive("depthMultiplier", depthMultiplier, false);
  const net = new LayerBuilder("mobilenetv2", seed);
  let x = net.image(positive("inputChannels", inputChannels), positive("inputSize", inputSize));
  const width = (channels: number): number => makeDivisible(channels * widthMultiplier);
  x = net.conv(x, "stem", { to: width(STEM_CHANNELS), kernel: 3, stride: small ? 1 : 2, activation: "relu6" });
  let index = 0;
  for (const s of o.stages ?? published(small ? 1 : 2)) {
    const blocks = Math.ceil(positive("blocks", s.blocks) * depthMultiplier);
    for (let i = 0; i < blocks; i++) {
      const stride = i === 0 ? s.stride : 1;
      x = invertedResidual(net, x, `blocks.${index++}`, { ...s, to: width(s.channels), stride });
    }
  }
  const head = makeDivisible(headChannels * Math.max(1, widthMultiplier));
  x = net.conv(x, "head", { to: head, kernel: 1, activation: "relu6" });
  return net.classifier(x, positive("classes", classes));
}
