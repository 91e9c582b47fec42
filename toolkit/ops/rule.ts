/**
 * What edgefit can know about an operator. Engines (shape inference, grouping, slicing, autodiff, quantisation) never
 * name an operator: they ask its rule. A field that is absent means "not known", and the safe thing happens: without
 * `channels` every touched channel is frozen with a reason, without `gradient` training through the node is refused,
 * without `quantize` the node stays float.
 */
import type { Ref } from "../graph/builder.js";
import type { GraphBuilder } from "../graph/builder.js";
import type { OpNode, ValueType } from "../graph/graph.js";
import type { Tensor } from "../graph/tensor.js";

/** What a shape rule may ask. */
export interface ShapeContext {
  /** Version of the operator set that the node belongs to. */
  opset: number;
  /** Type of input `i`; undefined when the optional input is absent. Throws ModelError when a required type is unknown. */
  input(i: number): ValueType | undefined;
  /** Value of input `i` when it is known without running the net (initializers and shape arithmetic). */
  constant(i: number): Tensor | undefined;
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
  /** Whether the name is an initializer (a parameter that slicing may cut). */
  isParameter(name: string): boolean;
  /** Ids on every axis of an input or parameter; all null where nothing is known to be cuttable. */
  ids(name: string): AxisIds;
  /** `length` new ids, made by this node on an axis where it is free to produce fewer channels. */
  fresh(length: number): ChannelIds;
  /** Declares that positions of two id lists live or die together; lengths must agree. */
  unify(a: ChannelIds, b: ChannelIds): void;
  /** Sets (or unifies with what was set) the ids on an axis of an output or a parameter. */
  set(name: string, axis: number, ids: ChannelIds | null): void;
  /** Freezes ids: they can never be removed, and `inspect` shows the reason. */
  freeze(ids: ChannelIds, reason: string): void;
}

/** After slicing: what an operator must rewrite in itself. Old lengths and kept positions are read per value and axis. */
export interface SliceContext {
  /** Kept positions on an axis of a value, ascending; undefined when nothing was cut there. */
  kept(name: string, axis: number): Int32Array | undefined;
  /** Dims of a value before the cut; a dynamic batch reads as 1. */
  dimsBefore(name: string): readonly number[];
  dimsAfter(name: string): readonly number[];
  constant(name: string): Tensor | undefined;
  /** Gives input `i` a constant of its own (an initializer shared with other nodes is left alone). */
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
  /** Input index of a weight quantised symmetrically, with the axis of its output channels. */
  weight?: { input: number; axis: (n: OpNode) => number };
  /** Input index of a bias stored as int32 at scale sx*sw. */
  bias?: number;
  /** The operator only moves or compares values, so output and input share scale and zero point (MaxPool, Reshape, …). */
  passThrough?: boolean;
  /** The operator disappears into its producer's output range (Relu, Clip after Conv). */
  foldsIntoProducer?: boolean;
  /** The output range is known beforehand (Softmax, Sigmoid: 0..1). */
  outputRange?: readonly [number, number];
}

export interface OpRule {
  /** First opset of the default domain for which this rule holds; the table picks the greatest `since` <= opset. Default 1. */
  since?: number;
  /** Types of the outputs. Throws ModelError naming both numbers when the inputs do not fit. */
  shape(n: OpNode, c: ShapeContext): ValueType[];
  /** The operator on small constants: shape arithmetic, and movement of ids. Undefined: cannot be evaluated here. */
  evaluate?(n: OpNode, inputs: (Tensor | undefined)[], opset: number): Tensor[] | undefined;
  channels?(n: OpNode, c: ChannelContext): void;
  /** Rewrites attributes or shape constants after a cut; absent: nothing to rewrite. Returns the new node. */
  resize?(n: OpNode, c: SliceContext): OpNode;
  /** Gradients with respect to each input, given those of each output (null: no gradient flows there). */
  gradient?(n: OpNode, dy: (Ref | null)[], c: GradientContext): (Ref | null)[];
  quantize?: QuantizeRule;
  /** Multiply-accumulates for one call, from static dims of inputs and outputs. Default 0. */
  macs?(n: OpNode, inputs: readonly (readonly number[])[], outputs: readonly (readonly number[])[]): number;
  /** One sentence for `inspect`: why channels that meet this operator are frozen. */
  frozenBecause?: string;
}
