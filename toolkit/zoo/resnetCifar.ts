/** Residual nets for small images: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2. */
import { UsageError } from "../graph/errors.js";
import { attr, type Graph } from "../graph/graph.js";
import { floats, ints } from "../graph/tensor.js";
import { type Feature, LayerBuilder, positive, type ZooOptions } from "./layers.js";

export interface ResnetCifarOptions extends ZooOptions {
  /** Weight layers, 6n + 2: 20, 32, 44, 56, 110. Default 20. */
  layers?: number;
  /**
   * How a block that halves the map and doubles the channels skips: a 1x1 convolution (default; its channels can be pruned
   * freely), or the paper's parameter-free form, every second pixel and zeros for the new channels.
   */
  shortcut?: "projection" | "pad";
}

/** Every second pixel of `x`, followed by channels of zeros: option A of the paper. */
function padShortcut(net: LayerBuilder, x: Feature, name: string, to: number): Feature {
  const { g } = net;
  const far = Number.MAX_SAFE_INTEGER;
  const thin = g.emit(
    "Slice",
    [x.ref, g.ints([0, 0]), g.ints([far, far]), g.ints([2, 3]), g.ints([2, 2])],
    {},
    { out: `${name}.every2nd`, name: `${name}.every2nd` },
  );
  const before = (to - x.channels) >> 1;
  const pads = g.initializer(`${name}.pads`, ints([0, before, 0, 0, 0, to - x.channels - before, 0, 0]));
  const ref = g.emit(
    "Pad",
    [thin, pads, g.initializer(`${name}.zero`, floats([0], []))],
    { mode: attr.string("constant") },
    { out: `${name}.pad`, name: `${name}.pad` },
  );
  return { ref, channels: to };
}

/**
 * An untrained ResNet for small images: input `image` [N, 3, 32, 32], output `logits` [N, 10]. Three stages of 16, 32 and 64
 * channels times `widthMultiplier`. With `shortcut: "pad"` and 20 layers it has the paper's 0.27 million parameters.
 */
export function resnetCifar(o: ResnetCifarOptions = {}): Graph {
  const { layers = 20, widthMultiplier = 1, depthMultiplier = 1, shortcut = "projection" } = o;
  const { inputSize = 32, inputChannels = 3, classes = 10, seed = 1 } = o;
  if (!Number.isInteger((layers - 2) / 6) || layers < 8) {
    throw new UsageError("zoo-options", `a residual net for small images has 6n + 2 layers, got ${layers}`, {
      hint: "choose 20, 32, 44, 56 or 110",
    });
  }
  positive("widthMultiplier", widthMultiplier, false);
  positive("depthMultiplier", depthMultiplier, false);
  const blocks = Math.ceil(((layers - 2) / 6) * depthMultiplier);
  const net = new LayerBuilder(`resnet${6 * blocks + 2}`, seed);
  let x = net.image(positive("inputChannels", inputChannels), positive("inputSize", inputSize));
  const width = (stage: number): number => Math.max(1, Math.round(16 * 2 ** stage * widthMultiplier));
  x = net.conv(x, "stem", { to: width(0), kernel: 3, activation: "relu" });
  for (let stage = 0; stage < 3; stage++) {
    const to = width(stage);
    for (let block = 0; block < blocks; block++) {
      const name = `layer${stage + 1}.${block}`;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const inner = net.conv(x, `${name}.conv1`, { to, kernel: 3, stride, activation: "relu" });
      const branch = net.conv(inner, `${name}.conv2`, { to, kernel: 3, activation: "none" });
      const skip =
        stride === 1
          ? x
          : shortcut === "pad"
            ? padShortcut(net, x, `${name}.shortcut`, to)
            : net.conv(x, `${name}.shortcut`, { to, kernel: 1, stride, activation: "none" });
      x = net.activation(net.add(branch, skip, name), name, "relu");
    }
  }
  return net.classifier(x, positive("classes", classes));
}
