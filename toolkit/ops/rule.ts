/**
 * What edgefit can know about an operator. Engines (shape inference, grouping, slicing, autodiff, quantisation) never
 * name an operator: they ask its rule. A field that is absent means "not known", and the safe thing happens: without
 * `channels` every touched channel is frozen with a reason, without `gradient` training through the node is refused,
 * without `quantize` the node stays float.
 */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import type { Dim, OpNode, ValueType } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";
import type { IntegerKernel } from "./integerKernel.js";

/** What a shape rule may ask. */
export interface ShapeContext {
  /** Version of the operator set that the node belongs to. */
  opset: number;
  /** Type of input `i`; undefined when the optional input is absent. Throws ModelError when a required type is unknown. */
  input(i: number): ValueType | undefined;
  /** Value of input `i` when it is known without running the net (initializers and shape arithmetic). */
  constant(i: number): Tensor | undefined;
  /**
   * Input `i` read as a shape: like `constant`, but elements that are dynamic dimensions of the net come out as their
   * symbolic names. Undefined when nothing is known about it.
   */
  shapeValue(i: number): readonly Dim[] | undefined;
}

/** Position on an axis -> id of the channel that lives there. Ids are shared by whatever must live or die together. */
export type ChannelIds = Int32Array;

/** One entry per axis of a value; null marks an axis that cannot be cut at this place. */
export type AxisIds = readonly (ChannelIds | null)[];

/** What a channel-link rule may ask and say (style of "equivalence classes of channel ids"). */
export interface ChannelContext {
  opset: number;
  /** Static dims of a value or initializer of the node; a dynamic batch reads as 1. */
  dims(name: string): readonly number[];
  constant(name: string): Tensor | undefined;
  /** Whether the name is a parameter that slicing may cut: an initializer, or computed from initializers alone. */
  isParameter(name: string): boolean;
  /**
   * Ids on every axis of an input or parameter; all null where nothing is known to be cuttable. A parameter has ids on
   * every axis longer than 1; those that nothing ties to channels are dropped in the end.
   */
  ids(name: string): AxisIds;
  /** `length` new ids, made by this node on an axis where it is free to produce fewer channels. */
  fresh(length: number): ChannelIds;
  /** Declares that positions of two id lists live or die together; lengths must agree. */
  unify(a: ChannelIds, b: ChannelIds): void;
  /** Sets (or unifies with what was set) the ids on an axis of an output or a parameter. */
  set(name: string, axis: number, ids: ChannelIds | null): void;
  /** Whether two ids are known to live and die together. */
  same(a: number, b: number): boolean;
  /** Ids of an axis that cannot be cut, where a rule needs ids all the same (one part of a Concat). */
  fixed(length: number, reason: string): ChannelIds;
  /**
   * Declares that the node sums over the ids on an axis of input `i`, so that a removed channel is one that contributes
   * nothing; `weight` says where the matching coefficients are.
   */
  contract(i: number, axis: number, weight?: { name: string; axis: number }): void;
  /**
   * Declares that the node takes a statistic (mean, maximum, normalisation) over the ids on an axis of input `i`, which
   * a cut takes over what is left. Needs the rule's `overKept`. See docs/architecture.md, "What a cut means at a
   * normalisation".
   */
  renormalise(i: number, axis: number): void;
  /** Axes of a value that one of its readers would rather see whole (`prefersWhole`). */
  betterWhole(name: string): ReadonlySet<number>;
  /** Freezes ids: they can never be removed, and `inspect` shows the reason. */
  freeze(ids: ChannelIds, reason: string): void;
}

/** What a rule is told that emits itself at full size with its statistics over the kept channels alone. */
export interface KeptContext {
  g: GraphBuilder;
  opset: number;
  /** Static dims of a value of the node; a dynamic batch reads as 1. */
  dims(name: string): readonly number[];
  constant(name: string): Tensor | undefined;
  /** Kept positions on an axis of input 0, ascending; undefined where all are. */
  positions(axis: number): Int32Array | undefined;
  /** How many positions of an axis of input 0 are kept. */
  kept(axis: number): number;
  /** 1 where every position of input 0 is kept, 0 elsewhere, in its element type; broadcasts against it. */
  mask: Ref;
  /** A constant of the element type of input 0. */
  number(v: number): Ref;
}

/** After slicing: what an operator must rewrite in itself. Old lengths and kept positions are read per value and axis. */
export interface SliceContext {
  opset: number;
  /** Kept positions on an axis of a value, ascending; undefined when nothing was cut there. */
  kept(name: string, axis: number): Int32Array | undefined;
  /** Dims of a value before the cut; a dynamic batch reads as 1. */
  dimsBefore(name: string): readonly number[];
  dimsAfter(name: string): readonly number[];
  constant(name: string): Tensor | undefined;
  /** Gives input `i` a constant of its own (an initializer shared with other nodes is left alone); an absent one is added. */
  setConstant(i: number, value: Tensor): void;
}

/** Builder handed to gradient rules: it emits into the training graph and knows the static shape of every forward value. */
export interface GradientContext {
  g: GraphBuilder;
  opset: number;
  /** Static dims of a forward value of the node (the batch is fixed in a training graph). */
  dims(name: string): readonly number[];
  constant(name: string): Tensor | undefined;
  /** Which inputs need a gradient; rules may skip the others by returning null in their place. */
  needs(i: number): boolean;
}

/** How a node takes part in static INT8. */
export interface QuantizeRule {
  /** Inputs that are quantised as activations. */
  activations: readonly number[];
  /** Input index of a weight quantised symmetrically, with the axis of its output channels; `rank` where only that rank will do. */
  weight?: { input: number; axis: (n: OpNode) => number; rank?: number };
  /** Input index of a bias stored as int32 at scale sx*sw. */
  bias?: number;
  /** The operator only moves or compares values, so output and input share scale and zero point (MaxPool, Reshape, …). */
  passThrough?: boolean;
  /** The operator disappears into its producer's output range (Relu, Clip after Conv). Needs `clamp`. */
  foldsIntoProducer?: boolean;
  /** The interval that the operator clamps to; undefined when it is not known beforehand. */
  clamp?(n: OpNode, constant: (name: string) => Tensor | undefined): readonly [number, number] | undefined;
  /** The runtime's integer kernel can give a float result directly (Gemm, MatMul), so a float reader costs no extra node. */
  floatOutput?: boolean;
  /**
   * With `passThrough`: ONNX Runtime leaves the pairs around the operator in place, so it is written on the integers
   * themselves. `fill` is the input with the value of new elements (Pad); absent there means 0, whose code is the zero point.
   */
  onIntegers?: { fill: number };
  /** The call of the QOperator format; absent: the operator itself takes integers, or stays float in that format. */
  kernel?: IntegerKernel;
  /** Which calls have an integer kernel; absent: all. */
  when?(n: OpNode): boolean;
  /** The output range is known beforehand (Softmax, Sigmoid: 0..1). */
  outputRange?: readonly [number, number];
}

/**
 * How least squares sees an operator y = W x (+ b) with constant W: a matrix product over the positions of a map.
 * Columns of the matrix are channel-major: channel c of the input owns columns c*taps .. (c+1)*taps-1.
 */
export interface LinearRule {
  /** Input indices of the data, the weight and the bias. */
  data: number;
  weight: number;
  bias: number;
  /** Whether this node has the form (a grouped convolution has not). */
  applies(n: OpNode, weightDims: readonly number[]): boolean;
  /** Axis of the weight that carries input channels, and the one that carries outputs. */
  inputAxis(n: OpNode): number;
  outputAxis(n: OpNode): number;
  /** Positions per image of the output, [height, width]; [1] for a vector. */
  positions(outputDims: readonly number[]): readonly number[];
  /** Emits x as a matrix [columns, positions of the batch], every `thin`-th position in each direction from `thin >> 1` on. */
  unfold(
    n: OpNode,
    g: GraphBuilder,
    x: Ref,
    xDims: readonly number[],
    weightDims: readonly number[],
    thin: number,
  ): Ref;
  /** Emits y (or any value of its shape) as a matrix [outputs, positions], thinned the same way. */
  outputs(n: OpNode, g: GraphBuilder, y: Ref, yDims: readonly number[], thin: number): Ref;
  /** Weight as [outputs, columns], row-major; `fromMatrix` is its inverse for the given weight dims. */
  toMatrix(n: OpNode, w: Tensor): Float64Array;
  fromMatrix(n: OpNode, m: Float64Array, dims: readonly number[]): Tensor;
}

/** Per-channel scale and shift of an operator such as inference-time BatchNormalization: y_c = scale_c * x_c + shift_c. */
export interface ChannelAffine {
  scale: Float64Array;
  shift: Float64Array;
}

/**
 * What becomes of positive factors s_c on the channels of a value. Passes that move scale or offset from one layer to
 * another without changing the function (cross-layer equalisation, bias absorption) ask this. Absent: nothing gets past.
 */
export type ScalingRule =
  /**
   * y = W x + b with constant W, which takes up the factors of x and gives y factors of its own. One of the weight's axes may
   * hold all channels and the other those of one group; `dataAxis` is the axis of x and y that holds channels.
   */
  | {
      kind: "contracts";
      weight: number;
      bias: number;
      applies(n: OpNode): boolean;
      inputAxis(n: OpNode): number;
      outputAxis(n: OpNode): number;
      groups(n: OpNode): number;
      dataAxis(rank: number): number;
      /** Whether elements beyond the edge of x are read as zeros. */
      padded(n: OpNode): boolean;
    }
  /** f(s x) = s f(x) in the first input; others are parameters that do not change with s. */
  | {
      kind: "commutes";
      /** Whether this call does, for channels on `axis` of a value of `rank` axes. Absent: always. */
      when?(n: OpNode, axis: number, rank: number, constant: (name: string) => Tensor | undefined): boolean;
      /** Whether f(x - c) = f(x) - c as well; with `rectifies` only where x >= c >= 0. */
      shifts?(n: OpNode): boolean;
      rectifies?: true;
    }
  /** Clamps to constant bounds in inputs 1 and 2, which scale along. */
  | { kind: "clamps" }
  /** All inputs and the output carry the same factors; constant inputs take them up. */
  | { kind: "sums" }
  /** One input is constant; the other carries the factors. */
  | { kind: "multiplies" }
  | { kind: "reshapes" }
  /** Scales and shifts what it normalised by constants per channel, which give the output factors; its input has none. */
  | { kind: "normalizes"; scale: number; shift: number; dataAxis(n: OpNode, rank: number): number };

/** An input of an operator that holds a trainable parameter. */
export interface ParameterSlot {
  input: number;
  /** True for weights that multiply, false for biases and normalisation parameters. */
  decay: boolean;
  /** Only vectors count (at most one axis longer than 1, and not a scalar): tells an added bias or a scale per channel from other constants. */
  vectorOnly?: boolean;
}

export interface OpRule {
  /** First opset of the default domain for which this rule holds; the table picks the greatest `since` <= opset. Default 1. */
  since?: number;
  /** Types of the outputs. Throws ModelError naming both numbers when the inputs do not fit. */
  shape(n: OpNode, c: ShapeContext): ValueType[];
  /** Outputs that follow from the types of the inputs alone (Shape, Size); dimensions that are not numbers stay symbolic. */
  fromTypes?(n: OpNode, types: readonly (ValueType | undefined)[], opset: number): (readonly Dim[])[] | undefined;
  /** `evaluate` only moves elements and computes none, so it may be run on ids and on symbolic dimensions. */
  movesElements?: boolean;
  /** The operator on small constants: shape arithmetic, and movement of ids. Undefined: cannot be evaluated here. */
  evaluate?(n: OpNode, inputs: (Tensor | undefined)[], opset: number): Tensor[] | undefined;
  /**
   * False: the call is never replaced by its value, even where all it reads is constant: it draws random numbers, or unpacks
   * weights that are stored small on purpose. Default true.
   */
  folds?: false;
  /**
   * The same call with shapes that it computes at run time from a dynamic batch given as constants (Reshape to [N, -1]
   * where axis 0 is N: [0, -1]); `constant` makes an initializer. The node itself where there is nothing to gain.
   */
  simplify?(n: OpNode, c: ShapeContext, constant: (base: string, value: Tensor) => string): OpNode;
  channels?(n: OpNode, c: ChannelContext): void;
  /** Axes of an input that cost least when they stay whole: where a Reshape may choose which axis is cut, not these. */
  prefersWhole?(n: OpNode, input: number, rank: number): readonly number[];
  /**
   * Emits the node at full size, its statistics taken over the kept positions of input 0: what the cut net computes at
   * the places that it keeps. For nodes that call `renormalise`; one value per output.
   */
  overKept?(n: OpNode, c: KeptContext): Ref[];
  /** Rewrites attributes or shape constants after a cut; absent: nothing to rewrite. Returns the new node. */
  resize?(n: OpNode, c: SliceContext): OpNode;
  /** Gradients with respect to each input, given those of each output (null: no gradient flows there). */
  gradient?(n: OpNode, dy: (Ref | null)[], c: GradientContext): (Ref | null)[];
  /** Inputs that training may change where they are float32 constants, and whether weight decay applies to them. */
  parameters?: readonly ParameterSlot[];
  quantize?: QuantizeRule;
  scaling?: ScalingRule;
  linear?: LinearRule;
  /** For per-channel affine operators, from their constant parameters. */
  affine?(n: OpNode, constant: (name: string) => Tensor | undefined): ChannelAffine | undefined;
  /** Input indices of a learned per-channel scale and of running statistics that follow the data. */
  runningStatistics?: { scale: number; mean: number; variance: number };
  /** The output is the plain sum of the inputs. */
  sums?: true;
  /** Multiply-accumulates for one call, from static dims of inputs and outputs. Default 0. */
  macs?(n: OpNode, inputs: readonly (readonly number[])[], outputs: readonly (readonly number[])[]): number;
  /** Each output element is a function of the input elements at the same (broadcast) place. */
  elementwise?: true;
  /** One sentence for `inspect`: why channels that meet this operator are frozen. */
  frozenBecause?: string;
}
