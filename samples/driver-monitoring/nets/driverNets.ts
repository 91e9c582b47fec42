/** The two untrained nets, made of inverted residual blocks (Sandler et al. 2018), small enough for 30 pictures a second in WebAssembly. */
import { attr, type Graph } from "../../../toolkit/graph/graph.js";
import { floats } from "../../../toolkit/graph/tensor.js";
import { type Feature, LayerBuilder } from "../../../toolkit/zoo/layers.js";
import { invertedResidual } from "../../../toolkit/zoo/mobileNetV2.js";
import { ANSWERS, CROP, LOCATOR } from "../pipeline/layout.js";
import { randomStream } from "../random.js";

/** Stream family of the last layers' weights. */
const WEIGHT_FAMILY = 1020;

/** Weights of a layer that answers with numbers, drawn small so that training starts near the bias. */
function drawn(seed: number, index: number, dims: readonly number[], deviation: number) {
  const random = randomStream(seed, WEIGHT_FAMILY, index);
  const size = dims.reduce((a, b) => a * b, 1);
  return floats(
    Float32Array.from({ length: size }, () => deviation * random.normal()),
    dims,
  );
}

/**
 * Finds faces: input `image` [N, 3, 72, 96]; outputs `score` [N, 1, 9, 12], a logit per cell of 8x8 pixels, and `box` [N, 4, 9, 12],
 * the centre's offset from the cell's in cells and the logarithms of width and height over 24 pixels.
 */
export function buildLocator(seed: number): Graph {
  const net = new LayerBuilder("face-locator", seed);
  const { g } = net;
  let x: Feature = { ref: g.input("image", ["N", 3, LOCATOR.height, LOCATOR.width]), channels: 3 };
  x = net.conv(x, "stem", { to: 16, kernel: 3, stride: 2, activation: "relu6" });
  x = invertedResidual(net, x, "blocks.0", { to: 24, expand: 2, stride: 2 });
  x = invertedResidual(net, x, "blocks.1", { to: 24, expand: 2, stride: 1 });
  x = invertedResidual(net, x, "blocks.2", { to: 48, expand: 3, stride: 2 });
  x = invertedResidual(net, x, "blocks.3", { to: 48, expand: 3, stride: 1 });
  x = invertedResidual(net, x, "blocks.4", { to: 48, expand: 3, stride: 1 });
  x = net.conv(x, "head", { to: 64, kernel: 3, activation: "relu6" });
  for (const [i, [name, channels, bias]] of (
    [
      ["score", 1, -3],
      ["box", 4, 0],
    ] as const
  ).entries()) {
    const weight = g.initializer(`${name}.weight`, drawn(seed, i, [channels, x.channels, 1, 1], 0.02));
    const offset = g.initializer(`${name}.bias`, floats(new Float32Array(channels).fill(bias)));
    const y = g.conv(x.ref, weight, offset, {}, { out: name, name });
    g.output(y, { elemType: "float32", dims: ["N", channels, LOCATOR.rows, LOCATOR.columns] });
  }
  return g.graph;
}

/** Reads a face: input `image` [N, 3, 96, 96], output `face` [N, 28] in the order of `AT` (see `pipeline/layout.ts`). */
export function buildReader(seed: number): Graph {
  const net = new LayerBuilder("face-reader", seed);
  const { g } = net;
  let x: Feature = { ref: g.input("image", ["N", 3, CROP.side, CROP.side]), channels: 3 };
  x = net.conv(x, "stem", { to: 16, kernel: 3, stride: 2, activation: "relu6" });
  x = invertedResidual(net, x, "blocks.0", { to: 24, expand: 2, stride: 2 });
  x = invertedResidual(net, x, "blocks.1", { to: 24, expand: 3, stride: 1 });
  x = invertedResidual(net, x, "blocks.2", { to: 48, expand: 3, stride: 2 });
  x = invertedResidual(net, x, "blocks.3", { to: 48, expand: 3, stride: 1 });
  x = invertedResidual(net, x, "blocks.4", { to: 64, expand: 3, stride: 2 });
  x = invertedResidual(net, x, "blocks.5", { to: 64, expand: 3, stride: 1 });
  x = net.conv(x, "narrow", { to: 32, kernel: 1, activation: "relu6" });
  // Where things are in the crop matters, so nothing is pooled.
  const places = 32 * 6 * 6;
  const flat = g.emit("Flatten", [x.ref], { axis: attr.int(1) }, { out: "places", name: "flatten" });
  const gemm = (from: typeof flat, name: string, dims: readonly [number, number], deviation: number, index: number) =>
    g.emit(
      "Gemm",
      [
        from,
        g.initializer(`${name}.weight`, drawn(seed, index, dims, deviation)),
        g.initializer(`${name}.bias`, floats(new Float32Array(dims[0]))),
      ],
      { transB: attr.int(1) },
      { out: name, name },
    );
  const hidden = g.relu(gemm(flat, "hidden", [96, places], Math.sqrt(2 / places), 2), {
    out: "hidden.relu",
    name: "hidden.relu",
  });
  g.output(gemm(hidden, "face", [ANSWERS, 96], 0.02, 3), { elemType: "float32", dims: ["N", ANSWERS] });
  return g.graph;
}
