/** The layers that the nets of the zoo are made of, each with freshly drawn weights and batch normalisation kept apart. */
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { emptyGraph, GraphBuilder, type Ref } from "../graph/builder.js";
import { UsageError } from "../graph/errors.js";
import { attr, type Graph } from "../graph/graph.js";
import { floats, sizeOf } from "../graph/tensor.js";

/** What every net of the zoo takes. */
export interface ZooOptions {
  /** Channels relative to the published net. Default 1. */
  widthMultiplier?: number;
  /** Blocks per stage relative to the published net, rounded up. Default 1. */
  depthMultiplier?: number;
  /** Height and width of the input. */
  inputSize?: number;
  classes?: number;
  /** Channels of the input. Default 3. */
  inputChannels?: number;
  /** Of the initial weights. Default 1. */
  seed?: number;
}

export type Activation = "relu" | "relu6" | "silu" | "none";

/** A value with the number of its channels. */
export interface Feature {
  ref: Ref;
  channels: number;
}

export interface ConvOptions {
  to: number;
  kernel: number;
  stride?: number;
  /** One filter per channel. */
  depthwise?: boolean;
  activation: Activation;
}

const BN_EPSILON = 1e-5;

/** A whole number above zero, or an error that names the option. */
export function positive(name: string, value: number, whole = true): number {
  if (!(value > 0) || (whole && !Number.isInteger(value))) {
    throw new UsageError(
      "zoo-options",
      `${name} must be ${whole ? "a whole number" : "a number"} above 0, got ${value}`,
    );
  }
  return value;
}

/**
 * The multiple of `divisor` nearest to `channels`, at least `divisor` and never more than a tenth below `channels`
 * (Sandler et al. 2018, reference code).
 */
export function makeDivisible(channels: number, divisor = 8): number {
  const near = Math.max(divisor, Math.floor((channels + divisor / 2) / divisor) * divisor);
  return near < 0.9 * channels ? near + divisor : near;
}

/** Appends named layers; weights are drawn in the order in which layers are added. */
export class LayerBuilder {
  readonly g: GraphBuilder;
  private readonly random: () => number;

  constructor(name: string, seed: number) {
    this.g = new GraphBuilder(emptyGraph(name));
    const generator = xoroshiro128plus(seed);
    // Box-Muller; 1 - u keeps the logarithm finite.
    this.random = () =>
      Math.sqrt(-2 * Math.log(1 - uniformFloat64(generator))) * Math.cos(2 * Math.PI * uniformFloat64(generator));
  }

  /** The graph input `image` [N, channels, size, size]. */
  image(channels: number, size: number): Feature {
    return { ref: this.g.input("image", ["N", channels, size, size]), channels };
  }

  /** Normal weights of the given deviation. */
  private weights(name: string, dims: readonly number[], deviation: number): Ref {
    const values = Float32Array.from({ length: sizeOf(dims) }, () => deviation * this.random());
    return this.g.initializer(name, floats(values, dims));
  }

  private filled(name: string, length: number, value: number): Ref {
    return this.g.initializer(name, floats(new Float32Array(length).fill(value)));
  }

  /** Convolution with "same" padding; weights of variance 2 / fan-out (He et al. 2015, backward form). */
  private bareConv(x: Feature, name: string, o: Omit<ConvOptions, "activation">, bias: boolean): Feature {
    const { to, kernel, stride = 1, depthwise = false } = o;
    const deviation = Math.sqrt(2 / ((kernel * kernel * to) / (depthwise ? x.channels : 1)));
    const weight = this.weights(`${name}.weight`, [to, depthwise ? 1 : x.channels, kernel, kernel], deviation);
    const begin = (kernel - 1) >> 1;
    const pads = [begin, begin, kernel - 1 - begin, kernel - 1 - begin];
    const settings = {
      strides: [stride, stride],
      ...(kernel > 1 ? { pads } : {}),
      ...(depthwise ? { group: x.channels } : {}),
    };
    const ref = this.g.conv(x.ref, weight, bias ? this.filled(`${name}.bias`, to, 0) : "", settings, {
      out: name,
      name,
    });
    return { ref, channels: to };
  }

  private batchNorm(x: Feature, name: string): Feature {
    const vector = (part: string, value: number): Ref => this.filled(`${name}.${part}`, x.channels, value);
    const inputs = [x.ref, vector("weight", 1), vector("bias", 0), vector("running_mean", 0), vector("running_var", 1)];
    const ref = this.g.emit("BatchNormalization", inputs, { epsilon: attr.float(BN_EPSILON) }, { out: name, name });
    return { ref, channels: x.channels };
  }

  activation(x: Feature, name: string, kind: Activation): Feature {
    const { g } = this;
    const as = (ref: Ref): Feature => ({ ref, channels: x.channels });
    switch (kind) {
      case "none":
        return x;
      case "relu":
        return as(g.relu(x.ref, { out: `${name}.relu`, name: `${name}.relu` }));
      case "relu6":
        return as(g.clip(x.ref, 0, 6, { out: `${name}.relu6`, name: `${name}.relu6` }));
      case "silu": {
        const gate = g.emit("Sigmoid", [x.ref], {}, { out: `${name}.sigmoid`, name: `${name}.sigmoid` });
        return as(g.mul(x.ref, gate, { out: `${name}.silu`, name: `${name}.silu` }));
      }
    }
  }

  /** Convolution, batch normalisation, activation. */
  conv(x: Feature, name: string, o: ConvOptions): Feature {
    return this.activation(
      this.batchNorm(this.bareConv(x, `${name}.conv`, o, false), `${name}.bn`),
      name,
      o.activation,
    );
  }

  add(a: Feature, b: Feature, name: string): Feature {
    return { ref: this.g.add(a.ref, b.ref, { out: `${name}.add`, name: `${name}.add` }), channels: a.channels };
  }

  /** Channels scaled by gates that depend on all of them (Hu et al. 2018), SiLU inside. */
  squeezeExcite(x: Feature, name: string, inner: number): Feature {
    const { g } = this;
    const pooled = g.emit("GlobalAveragePool", [x.ref], {}, { out: `${name}.pool`, name: `${name}.pool` });
    const narrow = this.bareConv(
      { ref: pooled, channels: x.channels },
      `${name}.reduce`,
      { to: inner, kernel: 1 },
      true,
    );
    const wide = this.bareConv(
      this.activation(narrow, `${name}.reduce`, "silu"),
      `${name}.expand`,
      { to: x.channels, kernel: 1 },
      true,
    );
    const gate = g.emit("Sigmoid", [wide.ref], {}, { out: `${name}.gate`, name: `${name}.gate` });
    return { ref: g.mul(x.ref, gate, { out: `${name}.scale`, name: `${name}.scale` }), channels: x.channels };
  }

  /** Global average, one dense layer (weights of deviation 0.01), output `logits` [N, classes]; returns the finished net. */
  classifier(x: Feature, classes: number): Graph {
    const { g } = this;
    const pooled = g.emit("GlobalAveragePool", [x.ref], {}, { out: "pool", name: "pool" });
    const flat = g.emit("Flatten", [pooled], { axis: attr.int(1) }, { out: "features", name: "flatten" });
    const weight = this.weights("classifier.weight", [classes, x.channels], 0.01);
    const logits = g.emit(
      "Gemm",
      [flat, weight, this.filled("classifier.bias", classes, 0)],
      { transB: attr.int(1) },
      { out: "logits", name: "classifier" },
    );
    g.output(logits, { elemType: "float32", dims: ["N", classes] });
    return g.graph;
  }
}
