/** Small calls of every differentiable operator, by operator type. */
import type { GraphBuilder } from "../../toolkit/graph/builder.js";
import { type Attribute, attr } from "../../toolkit/graph/graph.js";
import { floats, ints } from "../../toolkit/graph/tensor.js";
import type { GradientCase } from "../support/gradientCheck.js";

type Values = GradientCase["values"];

/** One input `x` [2, 3, 4], one output. */
const unary = (
  opType: string,
  range: readonly [number, number],
  avoid: number[] = [],
  attributes: Record<string, Attribute> = {},
  opset?: number,
): GradientCase => ({
  name: opType + (Object.keys(attributes).length ? ` ${Object.keys(attributes).join()}` : ""),
  inputs: { x: [2, 3, 4] },
  values: { x: range },
  avoid,
  opset,
  build: (g) => g.emit(opType, ["x"], attributes),
});

/** Two inputs in several broadcast relations. */
const binary = (opType: string, values: Values = {}): GradientCase[] =>
  (
    [
      [
        [2, 3, 4],
        [2, 3, 4],
      ],
      [
        [2, 3, 4],
        [3, 1],
      ],
      [[4], [2, 3, 4]],
      [
        [2, 1, 4],
        [1, 3, 1],
      ],
      [[2, 3], []],
    ] as const
  ).map(([a, b]) => ({
    name: `${opType} [${a}] with [${b}]`,
    inputs: { a, b },
    values,
    build: (g) => g.emit(opType, ["a", "b"]),
  }));

interface ConvShape {
  name: string;
  x: number[];
  w: number[];
  bias?: boolean;
  strides?: number[];
  pads?: number[];
  dilations?: number[];
  group?: number;
  autoPad?: string;
  outputPadding?: number[];
}

const convolution = (opType: string, s: ConvShape): GradientCase => ({
  name: `${opType} ${s.name}`,
  inputs: { x: s.x, w: s.w, ...(s.bias ? { b: [opType === "Conv" ? s.w[0] : s.w[1] * (s.group ?? 1)] } : {}) },
  // Linear in each input, so that a large step is exact and drowns float32 rounding.
  step: 0.5,
  build: (g) => {
    const a: Record<string, Attribute> = {};
    if (s.strides) a.strides = attr.ints(s.strides);
    if (s.pads) a.pads = attr.ints(s.pads);
    if (s.dilations) a.dilations = attr.ints(s.dilations);
    if (s.group) a.group = attr.int(s.group);
    if (s.autoPad) a.auto_pad = attr.string(s.autoPad);
    if (s.outputPadding) a.output_padding = attr.ints(s.outputPadding);
    return g.emit(opType, s.bias ? ["x", "w", "b"] : ["x", "w"], a);
  },
});

const pool = (opType: string, name: string, x: number[], attributes: Record<string, Attribute>): GradientCase => ({
  name: `${opType} ${name}`,
  inputs: { x },
  values: opType === "MaxPool" ? { x: "spread" } : {},
  step: opType === "MaxPool" ? 0.02 : 0.5,
  build: (g) => g.emit(opType, ["x"], attributes),
});

const batchNorm = (g: GraphBuilder, attributes: Record<string, Attribute> = {}): string =>
  g.emit("BatchNormalization", ["x", "scale", "bias", g.const([0.1, -0.2, 0.3]), g.const([0.5, 1, 2])], {
    epsilon: attr.float(1e-3),
    ...attributes,
  });

const batchNormInputs = { x: [4, 3, 5, 5], scale: [3], bias: [3] };

const reduce = (opType: string, attributes: boolean): GradientCase[] =>
  [
    { axes: [1], keep: 1 },
    { axes: [-1, 0], keep: 0 },
  ].map(({ axes, keep }) => ({
    name: `${opType} axes ${axes} keepdims ${keep}`,
    inputs: { x: [2, 3, 4] },
    build: (g) =>
      attributes
        ? g.emit(opType, ["x"], { axes: attr.ints(axes), keepdims: attr.int(keep) })
        : g.emit(opType, ["x", g.ints(axes)], { keepdims: attr.int(keep) }),
  }));

/** Rows without a zero, with one and with two; `y` is what is added to them and differentiated. */
const productOfZeros: GradientCase = {
  name: "ReduceProd with zeros",
  inputs: { y: [3, 4] },
  values: { y: [0, 0] },
  build: (g) => {
    const rows = g.const([2, 0.5, -1, 3, 2, 0, -1, 3, 0, 0.5, 0, 3], [3, 4]);
    return g.emit("ReduceProd", [g.add(rows, "y")], { axes: attr.ints([1]) });
  },
};

const slice = (name: string, starts: number[], ends: number[], axes: number[], steps: number[]): GradientCase => ({
  name: `Slice ${name}`,
  inputs: { x: [3, 8, 5] },
  build: (g) => g.emit("Slice", ["x", g.ints(starts), g.ints(ends), g.ints(axes), g.ints(steps)]),
});

/** Resize of the two last axes of [2, 2, height, width]. */
const resize = (
  name: string,
  [height, width]: readonly [number, number],
  o: {
    mode?: string;
    scales?: readonly number[];
    sizes?: readonly number[];
    transformation?: string;
    nearest?: string;
    attributes?: Record<string, Attribute>;
  },
): GradientCase => ({
  name: `Resize ${name}`,
  inputs: { x: [2, 2, height, width] },
  step: 0.5,
  build: (g) => {
    const scales = o.scales ? g.initializer("scales", floats([1, 1, ...o.scales])) : "";
    return g.emit("Resize", ["x", "", scales, o.sizes ? g.ints([2, 2, ...o.sizes]) : ""], {
      mode: attr.string(o.mode ?? "nearest"),
      coordinate_transformation_mode: attr.string(o.transformation ?? "half_pixel"),
      ...(o.nearest ? { nearest_mode: attr.string(o.nearest) } : {}),
      ...o.attributes,
    });
  },
});

const INT64_MAX = Number.MAX_SAFE_INTEGER;

/**
 * Rounding passes its gradient straight through. Differences over whole steps see exactly that, away from the ends of the
 * range; the gradients of scales are tested apart (quantizeGradient.test.ts).
 */
const fakeQuantized: GradientCase = {
  name: "Quantize and Dequantize, partly beyond the range",
  inputs: { x: [2, 3, 4] },
  values: { x: [-3, 3] },
  avoid: [-2, 2],
  step: 2 / 64,
  build(g) {
    const zero = g.initializer("zero", { elemType: "uint8", dims: [], data: Uint8Array.of(128) });
    const grid = [g.const(1 / 64), zero];
    return g.emit("DequantizeLinear", [g.emit("QuantizeLinear", ["x", ...grid]), ...grid]);
  },
};

/** Operator type -> cases. A rule with a gradient but without a case here fails the completeness test. */
export const gradientCases: Record<string, GradientCase[]> = {
  Relu: [unary("Relu", [-1, 1], [0])],
  LeakyRelu: [unary("LeakyRelu", [-1, 1], [0]), unary("LeakyRelu", [-1, 1], [0], { alpha: attr.float(0.3) })],
  PRelu: [[3, 1], [1]].map((dims) => ({
    name: `PRelu slope [${dims}]`,
    inputs: { x: [2, 3, 4], slope: dims },
    avoid: [0],
    build: (g) => g.emit("PRelu", ["x", "slope"]),
  })),
  QuantizeLinear: [fakeQuantized],
  DequantizeLinear: [fakeQuantized],
  Elu: [unary("Elu", [-2, 2], [0], { alpha: attr.float(0.7) })],
  Sigmoid: [unary("Sigmoid", [-3, 3])],
  HardSigmoid: [
    unary("HardSigmoid", [-4, 4], [-2.5, 2.5]),
    unary("HardSigmoid", [-4, 4], [-3, 3], { alpha: attr.float(1 / 6) }),
  ],
  HardSwish: [unary("HardSwish", [-5, 5], [-3, 3])],
  Softplus: [unary("Softplus", [-3, 3])],
  Tanh: [unary("Tanh", [-2, 2])],
  Selu: [unary("Selu", [-2, 2], [0]), unary("Selu", [-2, 2], [0], { alpha: attr.float(1.5), gamma: attr.float(0.8) })],
  Celu: [unary("Celu", [-2, 2], [0]), unary("Celu", [-2, 2], [0], { alpha: attr.float(0.4) })],
  Mish: [unary("Mish", [-3, 3], [], {}, 18)],
  Softsign: [unary("Softsign", [-2, 2], [0])],
  ThresholdedRelu: [
    unary("ThresholdedRelu", [-2, 2], [1]),
    unary("ThresholdedRelu", [-2, 2], [0.3], { alpha: attr.float(0.3) }),
  ],
  Sin: [unary("Sin", [-3, 3])],
  Cos: [unary("Cos", [-3, 3])],
  Tan: [unary("Tan", [-1, 1])],
  Atan: [unary("Atan", [-2, 2])],
  Erf: [unary("Erf", [-2, 2])],
  Gelu: [unary("Gelu", [-3, 3], [], {}, 20), unary("Gelu", [-3, 3], [], { approximate: attr.string("tanh") }, 20)],
  Exp: [unary("Exp", [-2, 2])],
  Log: [unary("Log", [0.3, 3])],
  Sqrt: [unary("Sqrt", [0.3, 3])],
  Reciprocal: [unary("Reciprocal", [0.5, 3])],
  Abs: [unary("Abs", [-2, 2], [0])],
  Neg: [unary("Neg", [-2, 2])],
  Identity: [unary("Identity", [-2, 2])],
  Dropout: [unary("Dropout", [-2, 2])],
  Cast: [unary("Cast", [-2, 2], [], { to: attr.int(1) })],
  CastLike: [{ name: "CastLike", inputs: { x: [2, 3] }, build: (g) => g.emit("CastLike", ["x", g.const([1])]) }],
  Clip: [
    {
      name: "Clip to 0..6",
      inputs: { x: [2, 3, 8] },
      values: { x: [-3, 9] },
      avoid: [0, 6],
      build: (g) => g.clip("x", 0, 6),
    },
    {
      name: "Clip to -1..0.5",
      inputs: { x: [2, 3, 8] },
      values: { x: [-2, 2] },
      avoid: [-1, 0.5],
      build: (g) => g.clip("x", -1, 0.5),
    },
    { name: "Clip from below", inputs: { x: [2, 3, 4] }, avoid: [0], build: (g) => g.emit("Clip", ["x", g.const(0)]) },
    {
      name: "Clip from above",
      inputs: { x: [2, 3, 4] },
      avoid: [0.25],
      build: (g) => g.emit("Clip", ["x", "", g.const(0.25)]),
    },
  ],
  Add: binary("Add"),
  Sub: binary("Sub"),
  Mul: binary("Mul"),
  Div: binary("Div", { b: [0.5, 2] }),
  Pow: binary("Pow", { a: [0.5, 2], b: [-2, 3] }),
  Max: binary("Max", { a: [-1, 1], b: [-1, 1] }),
  Min: binary("Min", { a: [-1, 1], b: [-1, 1] }),
  Sum: [
    { name: "Sum of three", inputs: { a: [2, 3, 4], b: [3, 1], c: [] }, build: (g) => g.emit("Sum", ["a", "b", "c"]) },
  ],
  Mean: [
    {
      name: "Mean of three",
      inputs: { a: [2, 3, 4], b: [3, 1], c: [1] },
      build: (g) => g.emit("Mean", ["a", "b", "c"]),
    },
  ],
  Where: [
    {
      name: "Where",
      inputs: { a: [2, 3, 4], b: [4] },
      build: (g) =>
        g.emit("Where", [
          g.initializer("condition", { elemType: "bool", dims: [3, 1], data: Uint8Array.of(1, 0, 1) }),
          "a",
          "b",
        ]),
    },
  ],
  Conv: [
    convolution("Conv", { name: "3x3 with bias", x: [2, 3, 6, 5], w: [4, 3, 3, 3], pads: [1, 1, 1, 1], bias: true }),
    convolution("Conv", { name: "3x3 unpadded", x: [2, 3, 6, 5], w: [4, 3, 3, 3] }),
    convolution("Conv", {
      name: "3x3 stride 2",
      x: [2, 3, 7, 8],
      w: [4, 3, 3, 3],
      pads: [1, 1, 1, 1],
      strides: [2, 2],
    }),
    convolution("Conv", {
      name: "3x3 stride 2 over even sides",
      x: [1, 2, 8, 8],
      w: [3, 2, 3, 3],
      pads: [1, 1, 1, 1],
      strides: [2, 2],
    }),
    convolution("Conv", { name: "stride 3, kernel 2", x: [1, 2, 9, 8], w: [3, 2, 2, 2], strides: [3, 3] }),
    convolution("Conv", { name: "asymmetric pads", x: [2, 2, 6, 6], w: [3, 2, 3, 3], pads: [0, 1, 2, 0] }),
    convolution("Conv", {
      name: "asymmetric pads and strides",
      x: [2, 2, 7, 6],
      w: [3, 2, 3, 2],
      pads: [0, 1, 1, 0],
      strides: [2, 1],
    }),
    convolution("Conv", { name: "dilated", x: [2, 2, 8, 8], w: [3, 2, 3, 3], pads: [2, 2, 2, 2], dilations: [2, 2] }),
    convolution("Conv", {
      name: "dilated with stride",
      x: [1, 2, 9, 9],
      w: [3, 2, 3, 3],
      pads: [2, 2, 2, 2],
      dilations: [2, 2],
      strides: [2, 2],
    }),
    convolution("Conv", {
      name: "pads wider than the kernel reaches",
      x: [1, 2, 4, 4],
      w: [3, 2, 2, 2],
      pads: [2, 3, 2, 1],
    }),
    convolution("Conv", {
      name: "in two groups",
      x: [2, 4, 5, 5],
      w: [6, 2, 3, 3],
      pads: [1, 1, 1, 1],
      group: 2,
      bias: true,
    }),
    convolution("Conv", {
      name: "in two groups, stride 2",
      x: [2, 4, 5, 5],
      w: [6, 2, 3, 3],
      pads: [1, 1, 1, 1],
      group: 2,
      strides: [2, 2],
    }),
    convolution("Conv", {
      name: "depthwise",
      x: [2, 5, 6, 6],
      w: [5, 1, 3, 3],
      pads: [1, 1, 1, 1],
      group: 5,
      bias: true,
    }),
    convolution("Conv", {
      name: "depthwise, stride 2",
      x: [2, 5, 6, 6],
      w: [5, 1, 3, 3],
      pads: [1, 1, 1, 1],
      group: 5,
      strides: [2, 2],
    }),
    convolution("Conv", {
      name: "depthwise, two outputs per channel",
      x: [2, 3, 5, 5],
      w: [6, 1, 3, 3],
      pads: [1, 1, 1, 1],
      group: 3,
    }),
    convolution("Conv", {
      name: "as many groups as outputs, two inputs each",
      x: [2, 6, 5, 5],
      w: [3, 2, 3, 3],
      group: 3,
    }),
    convolution("Conv", { name: "1x1", x: [2, 3, 4, 4], w: [5, 3, 1, 1] }),
    convolution("Conv", { name: "1x1 with many channels on few pixels", x: [2, 24, 1, 2], w: [24, 24, 1, 1] }),
    convolution("Conv", { name: "1x1 stride 2", x: [2, 3, 5, 6], w: [4, 3, 1, 1], strides: [2, 2] }),
    convolution("Conv", { name: "1x1 padded", x: [1, 3, 4, 4], w: [4, 3, 1, 1], pads: [1, 1, 1, 1] }),
    convolution("Conv", {
      name: "SAME_UPPER, stride 2",
      x: [1, 2, 7, 8],
      w: [3, 2, 3, 3],
      strides: [2, 2],
      autoPad: "SAME_UPPER",
    }),
    convolution("Conv", { name: "SAME_LOWER", x: [1, 2, 5, 5], w: [3, 2, 2, 2], autoPad: "SAME_LOWER" }),
    {
      ...convolution("Conv", { name: "large enough to be unrolled in parts", x: [3, 4, 250, 250], w: [2, 4, 3, 3] }),
      sampled: 4,
    },
    convolution("Conv", { name: "over one axis", x: [2, 3, 9], w: [4, 3, 3], pads: [1, 0], strides: [2], bias: true }),
    convolution("Conv", { name: "over one axis, in groups", x: [2, 4, 9], w: [6, 2, 3], pads: [1, 1], group: 2 }),
    convolution("Conv", {
      name: "over three axes",
      x: [2, 2, 4, 5, 3],
      w: [3, 2, 3, 2, 2],
      pads: [1, 0, 1, 1, 1, 0],
      bias: true,
    }),
    convolution("Conv", {
      name: "over three axes, stride 2, depthwise",
      x: [1, 3, 5, 4, 6],
      w: [3, 1, 3, 3, 3],
      pads: [1, 1, 1, 1, 1, 1],
      strides: [2, 2, 2],
      group: 3,
    }),
  ],
  ConvTranspose: [
    convolution("ConvTranspose", {
      name: "2x2 stride 2",
      x: [2, 3, 4, 4],
      w: [3, 2, 2, 2],
      strides: [2, 2],
      bias: true,
    }),
    convolution("ConvTranspose", {
      name: "3x3 with pads",
      x: [2, 3, 5, 4],
      w: [3, 2, 3, 3],
      strides: [2, 2],
      pads: [1, 1, 1, 1],
      outputPadding: [1, 1],
    }),
    convolution("ConvTranspose", { name: "in groups", x: [1, 4, 4, 4], w: [4, 3, 3, 3], group: 2, pads: [1, 1, 1, 1] }),
    convolution("ConvTranspose", {
      name: "in groups with output padding and bias",
      x: [2, 4, 3, 4],
      w: [4, 2, 3, 3],
      group: 2,
      strides: [2, 3],
      pads: [1, 0, 0, 1],
      outputPadding: [1, 2],
      bias: true,
    }),
    convolution("ConvTranspose", { name: "dilated", x: [1, 2, 4, 4], w: [2, 3, 3, 3], dilations: [2, 2] }),
    convolution("ConvTranspose", { name: "over one axis", x: [2, 3, 5], w: [3, 2, 4], strides: [2], pads: [1, 1] }),
    convolution("ConvTranspose", {
      name: "over three axes",
      x: [1, 2, 2, 3, 2],
      w: [2, 2, 2, 3, 2],
      strides: [2, 1, 2],
    }),
    ...["SAME_UPPER", "SAME_LOWER"].map((autoPad) =>
      convolution("ConvTranspose", { name: autoPad, x: [1, 2, 4, 3], w: [2, 2, 3, 3], strides: [2, 2], autoPad }),
    ),
    {
      ...convolution("ConvTranspose", { name: "to a given shape", x: [1, 2, 4, 3], w: [2, 2, 3, 3] }),
      build: (g) =>
        g.emit("ConvTranspose", ["x", "w"], { strides: attr.ints([2, 2]), output_shape: attr.ints([8, 6]) }),
    },
  ],
  FusedConv: (
    [
      ["", []],
      ["Relu", []],
      ["Sigmoid", []],
      ["Tanh", []],
      ["LeakyRelu", [0.2]],
      ["Clip", [-0.2, 0.9]],
      ["HardSigmoid", [0.2, 0.5]],
    ] as const
  ).flatMap(([activation, parameters]) =>
    [false, true].map((sum) => ({
      name: `FusedConv ${activation || "without activation"}${sum ? " after an addition" : ""}`,
      inputs: { x: [1, 2, 3, 3], w: [2, 2, 2, 2], b: [2], ...(sum ? { z: [1, 2, 2, 2] } : {}) },
      step: 2e-3,
      build: (g: GraphBuilder) => {
        g.graph.opsets.set("com.microsoft", 1);
        const attributes: Record<string, Attribute> = {};
        if (activation) attributes.activation = attr.string(activation);
        if (parameters.length) attributes.activation_params = { type: "floats", value: parameters };
        return g.emit("FusedConv", ["x", "w", "b", ...(sum ? ["z"] : [])], attributes, { domain: "com.microsoft" });
      },
    })),
  ),
  Gemm: [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ].map(([transA, transB]) => ({
    name: `Gemm transA ${transA} transB ${transB}`,
    inputs: { a: transA ? [4, 3] : [3, 4], b: transB ? [5, 4] : [4, 5], c: transA ? [5] : [3, 1] },
    build: (g) =>
      g.emit("Gemm", ["a", "b", "c"], {
        transA: attr.int(transA),
        transB: attr.int(transB),
        alpha: attr.float(0.5),
        beta: attr.float(2),
      }),
  })),
  MatMul: (
    [
      [
        [3, 4],
        [4, 5],
      ],
      [
        [2, 3, 4],
        [4, 5],
      ],
      [
        [2, 3, 4],
        [2, 4, 5],
      ],
      [
        [3, 4],
        [2, 4, 5],
      ],
      [
        [2, 1, 3, 4],
        [5, 4, 2],
      ],
      [[4], [4, 5]],
      [[2, 3, 4], [4]],
      [[4], [4]],
    ] as const
  ).map(([a, b]) => ({ name: `MatMul [${a}] by [${b}]`, inputs: { a, b }, build: (g) => g.matmul("a", "b") })),
  BatchNormalization: [
    { name: "BatchNormalization with stored statistics", inputs: batchNormInputs, build: (g) => batchNorm(g) },
    {
      name: "BatchNormalization with stored statistics as inputs",
      inputs: { ...batchNormInputs, mean: [3], variance: [3] },
      values: { variance: [0.5, 2] },
      build: (g) => g.emit("BatchNormalization", ["x", "scale", "bias", "mean", "variance"]),
    },
    ...[0, 0.9].map((momentum) => ({
      name: `BatchNormalization on the batch's statistics, momentum ${momentum}`,
      inputs: batchNormInputs,
      build: (g: GraphBuilder) =>
        g.emitMany(
          "BatchNormalization",
          ["x", "scale", "bias", g.const([0.1, -0.2, 0.3]), g.const([0.5, 1, 2])],
          { training_mode: attr.int(1), momentum: attr.float(momentum), epsilon: attr.float(1e-3) },
          { outputs: 3 },
        )[0],
    })),
    {
      name: "BatchNormalization over features",
      inputs: { x: [6, 3], scale: [3], bias: [3] },
      build: (g) => batchNorm(g),
    },
  ],
  LayerNormalization: [
    {
      name: "LayerNormalization over the last axis",
      inputs: { x: [2, 3, 6], scale: [6], bias: [6] },
      build: (g) => g.emit("LayerNormalization", ["x", "scale", "bias"]),
    },
    {
      name: "LayerNormalization over two axes, without a bias",
      inputs: { x: [3, 2, 4], scale: [2, 4] },
      build: (g) => g.emit("LayerNormalization", ["x", "scale"], { axis: attr.int(1), epsilon: attr.float(0.01) }),
    },
  ],
  RMSNormalization: [
    {
      name: "RMSNormalization",
      inputs: { x: [2, 3, 6], scale: [6] },
      opset: 23,
      build: (g) => g.emit("RMSNormalization", ["x", "scale"], { epsilon: attr.float(0.01) }),
    },
  ],
  InstanceNormalization: [
    {
      name: "InstanceNormalization",
      inputs: { x: [2, 3, 4, 3], scale: [3], bias: [3] },
      build: (g) => g.emit("InstanceNormalization", ["x", "scale", "bias"], { epsilon: attr.float(0.01) }),
    },
  ],
  GroupNormalization: [
    {
      name: "GroupNormalization, parameters per channel",
      inputs: { x: [2, 6, 3, 2], scale: [6], bias: [6] },
      opset: 21,
      // Statistics in float64; the default takes them in float32, whatever the input.
      build: (g) =>
        g.emit("GroupNormalization", ["x", "scale", "bias"], { num_groups: attr.int(2), stash_type: attr.int(11) }),
    },
    {
      name: "GroupNormalization, parameters per group",
      inputs: { x: [2, 6, 3, 2], scale: [3], bias: [3] },
      opset: 18,
      build: (g) => g.emit("GroupNormalization", ["x", "scale", "bias"], { num_groups: attr.int(3) }),
    },
  ],
  LpNormalization: [1, 2].map((p) => ({
    name: `LpNormalization p ${p}`,
    inputs: { x: [2, 4, 3] },
    avoid: [0],
    build: (g) => g.emit("LpNormalization", ["x"], { axis: attr.int(1), p: attr.int(p) }),
  })),
  LRN: [3, 5].map((size) => ({
    name: `LRN over ${size} channels`,
    inputs: { x: [2, 6, 2, 2] },
    values: { x: [0.5, 2] as const },
    build: (g) =>
      g.emit("LRN", ["x"], {
        size: attr.int(size),
        alpha: attr.float(0.5),
        beta: attr.float(0.6),
        bias: attr.float(2),
      }),
  })),
  MeanVarianceNormalization: [
    {
      name: "MeanVarianceNormalization",
      inputs: { x: [2, 3, 4, 2] },
      build: (g) => g.emit("MeanVarianceNormalization", ["x"]),
    },
    {
      name: "MeanVarianceNormalization over one axis",
      inputs: { x: [2, 5, 3] },
      build: (g) => g.emit("MeanVarianceNormalization", ["x"], { axes: attr.ints([1]) }),
    },
  ],
  LpPool: [1, 2, 3].map((p) => ({
    ...pool("LpPool", `p ${p}`, [2, 3, 5, 6], {
      kernel_shape: attr.ints([2, 3]),
      strides: attr.ints([2, 1]),
      pads: attr.ints([0, 1, 1, 1]),
      p: attr.int(p),
    }),
    values: { x: [0.3, 1.5] as const },
    step: 5e-3,
  })),
  GlobalLpPool: [1, 2, 3].map((p) => ({
    ...pool("GlobalLpPool", `p ${p}`, [2, 3, 4, 3], { p: attr.int(p) }),
    avoid: [0],
    step: 5e-3,
  })),
  GlobalAveragePool: [pool("GlobalAveragePool", "", [2, 3, 4, 5], {})],
  GlobalMaxPool: [{ ...pool("GlobalMaxPool", "", [2, 3, 4, 5], {}), values: { x: "spread" }, step: 0.02 }],
  AveragePool: [
    pool("AveragePool", "2x2", [2, 3, 6, 6], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) }),
    pool("AveragePool", "3x3 with pads left out", [2, 3, 6, 5], {
      kernel_shape: attr.ints([3, 3]),
      strides: attr.ints([2, 2]),
      pads: attr.ints([1, 1, 1, 1]),
    }),
    pool("AveragePool", "3x3 with pads counted", [2, 3, 6, 5], {
      kernel_shape: attr.ints([3, 3]),
      pads: attr.ints([1, 1, 1, 1]),
      count_include_pad: attr.int(1),
    }),
    pool("AveragePool", "overlapping", [1, 2, 7, 7], { kernel_shape: attr.ints([3, 3]) }),
    pool("AveragePool", "over one axis", [2, 3, 7], {
      kernel_shape: attr.ints([3]),
      strides: attr.ints([2]),
      pads: attr.ints([1, 1]),
    }),
    pool("AveragePool", "over three axes", [1, 2, 4, 3, 4], {
      kernel_shape: attr.ints([2, 3, 2]),
      strides: attr.ints([2, 1, 1]),
      pads: attr.ints([0, 1, 0, 0, 1, 0]),
    }),
    pool("AveragePool", "with ceil_mode", [1, 2, 6, 6], {
      kernel_shape: attr.ints([3, 3]),
      strides: attr.ints([2, 2]),
      ceil_mode: attr.int(1),
    }),
  ],
  MaxPool: [
    pool("MaxPool", "2x2", [2, 3, 6, 6], { kernel_shape: attr.ints([2, 2]), strides: attr.ints([2, 2]) }),
    pool("MaxPool", "3x3 overlapping with pads", [2, 3, 7, 6], {
      kernel_shape: attr.ints([3, 3]),
      strides: attr.ints([2, 2]),
      pads: attr.ints([1, 1, 1, 1]),
    }),
    pool("MaxPool", "stride 1", [1, 2, 5, 5], { kernel_shape: attr.ints([3, 3]) }),
    pool("MaxPool", "over one axis", [2, 3, 8], { kernel_shape: attr.ints([3]), strides: attr.ints([2]) }),
    pool("MaxPool", "over three axes", [1, 2, 4, 4, 3], { kernel_shape: attr.ints([2, 2, 2]) }),
    pool("MaxPool", "with ceil_mode", [1, 2, 6, 6], {
      kernel_shape: attr.ints([3, 3]),
      strides: attr.ints([2, 2]),
      ceil_mode: attr.int(1),
    }),
  ],
  Softmax: [1, -1].map((axis) => ({
    name: `Softmax axis ${axis}`,
    inputs: { x: [2, 3, 4] },
    build: (g) => g.emit("Softmax", ["x"], { axis: attr.int(axis) }),
  })),
  LogSoftmax: [1, -1].map((axis) => ({
    name: `LogSoftmax axis ${axis}`,
    inputs: { x: [2, 3, 4] },
    build: (g) => g.emit("LogSoftmax", ["x"], { axis: attr.int(axis) }),
  })),
  ReduceSum: [
    ...reduce("ReduceSum", false),
    {
      name: "ReduceSum of all",
      inputs: { x: [2, 3] },
      build: (g) => g.emit("ReduceSum", ["x"], { keepdims: attr.int(0) }),
    },
  ],
  ReduceMean: [
    ...reduce("ReduceMean", true),
    ...reduce("ReduceMean", false).map((c) => ({ ...c, name: `${c.name}, opset 18`, opset: 18 })),
  ],
  ...Object.fromEntries(
    (
      [
        ["ReduceMax", "spread"],
        ["ReduceMin", "spread"],
        ["ReduceProd", [0.5, 1.5]],
        ["ReduceL1", [-1, 1]],
        ["ReduceL2", [-1, 1]],
        ["ReduceSumSquare", [-1, 1]],
        ["ReduceLogSum", [0.5, 2]],
        ["ReduceLogSumExp", [-1, 1]],
      ] as const
    ).map(([opType, x]) => [
      opType,
      [...reduce(opType, true), ...reduce(opType, false).map((c) => ({ ...c, name: `${c.name}, opset 18`, opset: 18 }))]
        .map((c): GradientCase => ({ ...c, values: { x }, avoid: [0], step: 5e-3 }))
        .concat(opType === "ReduceProd" ? [productOfZeros] : []),
    ]),
  ),
  TopK: [0, 1].map((largest) => ({
    name: `TopK, ${largest ? "largest" : "smallest"}`,
    inputs: { x: [3, 5, 2] },
    values: { x: "spread" as const },
    build: (g) =>
      g.emitMany("TopK", ["x", g.ints([2])], { axis: attr.int(1), largest: attr.int(largest) }, { outputs: 2 })[0],
  })),
  CumSum: [0, 1].flatMap((exclusive) =>
    [0, 1].map((reverse) => ({
      name: `CumSum exclusive ${exclusive} reverse ${reverse}`,
      inputs: { x: [2, 5, 2] },
      build: (g: GraphBuilder) =>
        g.emit("CumSum", ["x", g.ints(1)], { exclusive: attr.int(exclusive), reverse: attr.int(reverse) }),
    })),
  ),
  Trilu: [
    { name: "Trilu, upper", inputs: { x: [2, 4, 5] }, build: (g) => g.emit("Trilu", ["x"]) },
    {
      name: "Trilu, lower, second diagonal",
      inputs: { x: [4, 5] },
      build: (g) => g.emit("Trilu", ["x", g.ints(1)], { upper: attr.int(0) }),
    },
  ],
  Einsum: (
    [
      ["bij,bjk->bik", [2, 3, 4], [2, 4, 5]],
      ["bhid,bhjd->bhij", [2, 2, 3, 4], [2, 2, 5, 4]],
      ["...ij,jk", [2, 3, 4], [4, 5]],
      ["ij,ij->", [3, 4], [3, 4]],
      ["ijk,jl->il", [3, 4, 2], [4, 5]],
    ] as const
  ).map(([equation, a, b]) => ({
    name: `Einsum ${equation}`,
    inputs: { a, b },
    build: (g) => g.emit("Einsum", ["a", "b"], { equation: attr.string(equation) }),
  })),
  Tile: [{ name: "Tile", inputs: { x: [2, 3, 2] }, build: (g) => g.emit("Tile", ["x", g.ints([1, 3, 2])]) }],
  GatherElements: [
    {
      name: "GatherElements with repeats",
      inputs: { x: [3, 4] },
      build: (g) =>
        g.emit("GatherElements", ["x", g.initializer("i", ints([0, 3, 3, 2, 1, -1], [2, 3]))], { axis: attr.int(1) }),
    },
  ],
  Reshape: [{ name: "Reshape", inputs: { x: [2, 3, 4] }, build: (g) => g.reshape("x", [0, -1]) }],
  Flatten: [
    { name: "Flatten", inputs: { x: [2, 3, 4] }, build: (g) => g.emit("Flatten", ["x"], { axis: attr.int(1) }) },
  ],
  Squeeze: [{ name: "Squeeze", inputs: { x: [2, 1, 4, 1] }, build: (g) => g.emit("Squeeze", ["x", g.ints([1, -1])]) }],
  Unsqueeze: [{ name: "Unsqueeze", inputs: { x: [2, 4] }, build: (g) => g.emit("Unsqueeze", ["x", g.ints([0, 3])]) }],
  Transpose: [
    { name: "Transpose", inputs: { x: [2, 3, 4] }, build: (g) => g.transpose("x", [1, 2, 0]) },
    { name: "Transpose reversing all axes", inputs: { x: [2, 3, 4] }, build: (g) => g.emit("Transpose", ["x"]) },
  ],
  Concat: [{ name: "Concat", inputs: { a: [2, 3, 4], b: [2, 1, 4] }, build: (g) => g.concat(["a", "b", "a"], -2) }],
  Split: [
    {
      name: "Split",
      inputs: { x: [2, 6, 2] },
      build: (g) => g.emitMany("Split", ["x", g.ints([1, 3, 2])], { axis: attr.int(1) }, { outputs: 3 }),
    },
    {
      name: "Split with an unused part",
      inputs: { x: [2, 6, 2] },
      build: (g) => g.emitMany("Split", ["x", g.ints([1, 3, 2])], { axis: attr.int(1) }, { outputs: 3 }).slice(1),
    },
  ],
  Slice: [
    slice("in the middle", [1, 2], [3, 4], [1, -1], [1, 1]),
    slice("with steps", [1], [INT64_MAX], [1], [3]),
    slice("from the end", [-3], [-1], [1], [1]),
    slice("backwards", [-1, 4], [-INT64_MAX, 0], [1, 2], [-2, -1]),
  ],
  Pad: [
    { name: "Pad", inputs: { x: [2, 3, 4] }, build: (g) => g.emit("Pad", ["x", g.ints([0, 1, 2, 1, 0, 1])]) },
    {
      name: "Pad that cuts",
      inputs: { x: [2, 5, 4] },
      build: (g) => g.emit("Pad", ["x", g.ints([0, -1, 2, 0, -1, -1])]),
    },
    ...["edge", "reflect", "wrap"].map((mode) => ({
      name: `Pad ${mode}`,
      inputs: { x: [2, 4, 5] },
      opset: 19,
      build: (g: GraphBuilder) => g.emit("Pad", ["x", g.ints([0, 2, 1, 0, 3, 2])], { mode: attr.string(mode) }),
    })),
  ],
  Expand: [{ name: "Expand", inputs: { x: [3, 1] }, build: (g) => g.emit("Expand", ["x", g.ints([2, 3, 4])]) }],
  Gather: [
    {
      name: "Gather, a permutation",
      inputs: { x: [2, 4, 3] },
      build: (g) => g.emit("Gather", ["x", g.initializer("i", ints([2, 0, 3, 1]))], { axis: attr.int(1) }),
    },
    {
      name: "Gather of some",
      inputs: { x: [2, 4, 3] },
      build: (g) => g.emit("Gather", ["x", g.initializer("i", ints([3, -3]))], { axis: attr.int(1) }),
    },
    {
      name: "Gather with repeats",
      inputs: { x: [2, 4, 3] },
      build: (g) =>
        g.emit("Gather", ["x", g.initializer("i", ints([0, 1, 1, 0, 1, 3], [2, 3]))], { axis: attr.int(1) }),
    },
    {
      name: "Gather of one",
      inputs: { x: [5, 3] },
      build: (g) => g.emit("Gather", ["x", g.initializer("i", ints([2], []))], { axis: attr.int(0) }),
    },
    {
      name: "Gather at places computed while the net runs",
      inputs: { x: [2, 4, 3] },
      build: (g) => {
        const places = g.emit("Abs", [g.initializer("i", ints([-1, 3, -1]))]);
        return g.emit("Gather", ["x", places], { axis: attr.int(1) });
      },
    },
  ],
  DepthToSpace: ["DCR", "CRD"].map((mode) => ({
    name: `DepthToSpace ${mode}`,
    inputs: { x: [2, 8, 2, 3] },
    build: (g) => g.emit("DepthToSpace", ["x"], { blocksize: attr.int(2), mode: attr.string(mode) }),
  })),
  SpaceToDepth: [
    {
      name: "SpaceToDepth",
      inputs: { x: [2, 3, 4, 6] },
      build: (g) => g.emit("SpaceToDepth", ["x"], { blocksize: attr.int(2) }),
    },
  ],
  Resize: [
    resize("nearest by 2 and 3", [4, 5], { scales: [2, 3], transformation: "asymmetric", nearest: "floor" }),
    ...["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"].flatMap((transformation) => [
      resize(`linear up, ${transformation}`, [3, 4], { mode: "linear", scales: [2, 2.5], transformation }),
      resize(`linear down, ${transformation}`, [7, 6], { mode: "linear", sizes: [3, 4], transformation }),
      resize(`nearest by odd factors, ${transformation}`, [5, 4], { scales: [1.6, 0.75], transformation }),
    ]),
    ...["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"].map((nearest) =>
      resize(`nearest, ${nearest}`, [4, 4], { scales: [1.5, 2], transformation: "asymmetric", nearest }),
    ),
    resize("cubic", [5, 6], { mode: "cubic", scales: [1.7, 2] }),
    resize("cubic, what lies outside left out", [5, 6], {
      mode: "cubic",
      scales: [1.7, 2],
      attributes: { cubic_coeff_a: attr.float(-0.5), exclude_outside: attr.int(1) },
    }),
  ],
};
