/**
 * Rewrites a training graph for ONNX Runtime's blocked kernels (`runtime/blockedKernels.ts`). Its optimiser does so for inference,
 * where weights are constants; here they change, so the graph lays them out itself. Chains of convolutions, normalisations and
 * element-wise work stay in blocks; whatever has no blocked form gets its inputs in the net's own layout and stays as it is.
 */
import type { GraphBuilder, Ref } from "../../graph/builder.js";
import { attr, attrFloat, attrInt, type Graph, type OpNode, typeOf } from "../../graph/graph.js";
import { readsOf } from "../../graph/scope.js";
import { sizeOf, toFloat32 } from "../../graph/tensor.js";
import { type Convolution, convolutionOf } from "../../ops/convolutionGradient.js";
import { BLOCKED_DOMAIN } from "../../runtime/blockedKernels.js";
import { type Deferred, staticDims } from "../autodiff.js";
import { isTrainingForm, writeOutBatchNorm } from "../writtenOut.js";
import {
  blockedBiasGradient,
  blockedConv,
  blockedInputGradient,
  blockedWeightGradientOf,
  type ConvKind,
  convKind,
} from "./convolution.js";
import { blockedBatchNorm, blockedBatchNormGradient, type Normalised } from "./normalization.js";
import { allSame, BlockedValues, type Finish, isMap } from "./values.js";

/** Element-wise operators whose result for finite numbers is finite, so that channels which no one reads stay harmless. */
const finite = new Set(
  `Abs Add And Cast Clip Equal Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu Less LessOrEqual Max Min Mul Neg Not Or
  Relu Sigmoid Sign Sub Sum Tanh Where`.split(/\s+/),
);
const bools = new Set("And Equal Greater GreaterOrEqual Less LessOrEqual Not Or".split(" "));
/** Element-wise as well, where every channel is a real one. */
const others = new Set("Div Elu Erf Exp Gelu Log Mish Pow Reciprocal Selu Softplus Softsign Sqrt".split(" "));

/** Greater than any number that a gradient meets divided by the smallest that a ReLU lets through. */
const STEEP = 1e30;

/** What of a node's gradient may be left until the graph is rewritten: the values that it reads, besides the output's gradient. */
export function deferrable(n: OpNode): readonly Ref[] | undefined {
  if (n.domain !== "") return undefined;
  if (n.opType === "Conv") return n.inputs.slice(0, 2);
  if (isTrainingForm(n)) return [n.inputs[0], n.inputs[1]];
  return n.opType === "Relu" ? [n.outputs[0]] : undefined;
}

export interface LoweringOptions {
  block: number;
  /** A vector [C] near the mean of a normalisation's input, by the name of its running mean: keeps digits of the variance. */
  nearMean: (runningMean: string) => Ref | undefined;
  /** Values that the caller goes on with, in the net's own layout. */
  results: readonly Ref[];
}

interface BlockedConvolution {
  kind: ConvKind;
  geometry: Convolution;
}

/** Rewrites the builder's nodes in place. `types` holds the shapes of the forward pass. */
export function lowerToBlocks(
  builder: GraphBuilder,
  types: Graph,
  deferred: ReadonlyMap<OpNode, Deferred>,
  o: LoweringOptions,
): void {
  builder.graph.opsets.set(BLOCKED_DOMAIN, 1);
  const nodes = builder.graph.nodes.splice(0);
  const lowering = new Lowering(builder, types, nodes, deferred, o);
  for (const n of nodes) lowering.node(n);
  for (const name of o.results) lowering.values.plain(name);
}

class Lowering {
  readonly values: BlockedValues;
  private readonly readers = new Map<Ref, OpNode[]>();
  private readonly convolutions = new Map<OpNode, BlockedConvolution>();
  private readonly normalised = new Map<OpNode, Normalised>();
  /** What was taken off a value when it was made, [C']. */
  private readonly shifts = new Map<Ref, Ref>();

  constructor(
    private readonly builder: GraphBuilder,
    private readonly types: Graph,
    nodes: readonly OpNode[],
    private readonly deferred: ReadonlyMap<OpNode, Deferred>,
    private readonly o: LoweringOptions,
  ) {
    this.values = new BlockedValues(builder, o.block, BLOCKED_DOMAIN, (name) => this.forwardDims(name));
    for (const n of nodes) {
      for (const name of readsOf(n)) {
        const list = this.readers.get(name);
        if (list) list.push(n);
        else this.readers.set(name, [n]);
      }
    }
  }

  private forwardDims(name: Ref): readonly number[] | undefined {
    const type = typeOf(this.types, name);
    const dims = type?.dims;
    if (type?.elemType !== "float32" && type?.elemType !== "bool") return undefined;
    return dims?.every((d) => typeof d === "number") ? (dims as readonly number[]) : undefined;
  }

  node(n: OpNode): void {
    const gradient = this.deferred.get(n);
    if (gradient) this.gradient(n, gradient);
    else if (!this.forward(n)) this.asItIs(n);
  }

  /** The node without a blocked form. */
  private asItIs(n: OpNode): void {
    for (const name of readsOf(n)) this.values.plain(name);
    const { nodes } = this.builder.graph;
    nodes.push(n);
    if (isTrainingForm(n)) writeOutBatchNorm(this.builder, this.types, nodes.length - 1);
  }

  private forward(n: OpNode): boolean {
    if (n.domain !== "") return false;
    if (n.opType === "Conv") return this.convolution(n);
    if (isTrainingForm(n)) return this.normalisation(n);
    if (n.opType === "GlobalAveragePool") return this.globalAverage(n);
    return this.elementwise(n);
  }

  private convolution(n: OpNode): boolean {
    const [x, w, bias] = n.inputs;
    const v = this.values;
    const [xDims, wDims, yDims] = [x, w, n.outputs[0]].map((name) => this.forwardDims(name));
    if (!xDims || !wDims || !isMap(yDims) || typeOf(this.types, x)?.elemType !== "float32") return false;
    const geometry = convolutionOf(n, xDims, wDims, yDims);
    const kind = convKind(v, geometry, v.isHeld(x));
    if (!kind) return false;
    if (kind === "plain") v.plain(x);
    v.plain(w);
    if (bias) v.plain(bias);
    this.convolutions.set(n, { kind, geometry });
    const own = bias ? v.fill(bias, yDims[1]) : "";
    const shift = this.shiftOf(n.outputs[0], yDims[1]);
    if (shift) this.shifts.set(n.outputs[0], shift);
    const from = shift && (own ? this.builder.sub(own, shift) : this.builder.neg(shift));
    v.define(n.outputs[0], yDims, { make: blockedConv(v, kind, geometry, x, w, from ?? own) });
    return true;
  }

  /** Something near the mean of a value that nothing but one normalisation reads. */
  private shiftOf(y: Ref, channels: number): Ref | undefined {
    const readers = this.readers.get(y) ?? [];
    const norm = readers.find(isTrainingForm);
    const alone = readers.every((r) => r === norm || this.deferred.get(r)?.node === norm);
    const near = norm && alone && norm.inputs[0] === y ? this.o.nearMean(norm.inputs[3]) : undefined;
    return near && this.values.fill(near, channels);
  }

  private normalisation(n: OpNode): boolean {
    const [x, gamma, beta] = n.inputs;
    const [y, mean, variance] = n.outputs;
    const v = this.values;
    const dims = v.dimsOf(x);
    if (!v.isHeld(x) || !isMap(dims)) return false;
    for (const name of [gamma, beta]) v.plain(name);
    const made = blockedBatchNorm(v, { ref: v.blocked(x), shift: this.shifts.get(x) }, dims[1], {
      gamma,
      beta,
      epsilon: attrFloat(n, "epsilon", 1e-5),
    });
    if (mean) v.bind(mean, made.mean);
    if (variance) v.bind(variance, made.variance);
    v.define(y, dims, { make: made.output });
    this.normalised.set(n, made.normalised);
    return true;
  }

  private globalAverage(n: OpNode): boolean {
    const v = this.values;
    const dims = v.dimsOf(n.inputs[0]);
    if (!v.isHeld(n.inputs[0]) || !isMap(dims)) return false;
    const mean = v.emit("GlobalAveragePool", [v.blocked(n.inputs[0])]);
    const cut =
      dims[1] === v.padded(dims[1]) ? mean : this.builder.emit("Slice", [mean, ...this.firstChannels(dims[1])]);
    v.bind(n.outputs[0], cut);
    return true;
  }

  private firstChannels(channels: number): Ref[] {
    return [[0], [channels], [1]].map((list) => this.builder.ints(list));
  }

  /** Work on each element alone: blocks go in, blocks come out. */
  private elementwise(n: OpNode): boolean {
    const v = this.values;
    if (n.outputs.length !== 1 || !(finite.has(n.opType) || others.has(n.opType))) return false;
    const maps = n.inputs.filter((name) => name !== "" && !this.isScalar(name));
    if (maps.length === 0 || !maps.some((name) => v.isHeld(name)) || !allSame(maps.map((name) => v.dimsOf(name))))
      return false;
    const dims = v.dimsOf(maps[0]);
    if (!isMap(dims)) return false;
    if (others.has(n.opType) && dims[1] !== v.padded(dims[1])) return false;
    if (this.fused(n, maps, dims)) return true;
    const inputs = n.inputs.map((name) => (maps.includes(name) ? v.blocked(name) : name));
    const ref = this.builder.emit(n.opType, inputs, n.attributes);
    const bool = bools.has(n.opType) || (n.opType === "Cast" && attrInt(n, "to", 1) === 9);
    v.define(n.outputs[0], dims, { ref, bool });
    return true;
  }

  private isScalar(name: Ref): boolean {
    const constant = this.builder.graph.initializers.get(name);
    return constant !== undefined && sizeOf(constant.dims) === 1;
  }

  /** A sum or an activation that the node before it does in the same pass. */
  private fused(n: OpNode, maps: readonly Ref[], dims: readonly number[]): boolean {
    const v = this.values;
    const alone = (name: Ref) => (this.readers.get(name)?.length === 1 ? v.pending(name) : undefined);
    const y = n.outputs[0];
    if (n.opType === "Add" && maps.length === 2 && maps[0] !== maps[1]) {
      const first = maps.find(alone);
      if (first === undefined) return false;
      const make = alone(first)!;
      const other = maps[0] === first ? maps[1] : maps[0];
      v.define(y, dims, {
        make: ({ sum, activation }: Finish) => {
          const rest = v.blocked(other);
          return make({ sum: sum ? this.builder.add(rest, sum) : rest, activation });
        },
      });
      return true;
    }
    const activation = this.activation(n);
    const make = activation && alone(maps[0]);
    if (!make) return false;
    v.define(y, dims, { ref: make({ activation }) });
    return true;
  }

  private activation(n: OpNode): Finish["activation"] {
    if (n.opType === "Relu") return { name: "Relu" };
    if (n.opType !== "Clip") return undefined;
    const bound = (i: number): number | undefined => {
      const constant = this.builder.graph.initializers.get(n.inputs[i] ?? "");
      return constant && toFloat32(constant)[0];
    };
    const [low, high] = [bound(1), bound(2)];
    return low === undefined || high === undefined ? undefined : { name: "Clip", low, high };
  }

  private gradient(placeholder: OpNode, d: Deferred): void {
    const out = placeholder.outputs;
    if (d.node.opType === "Conv" && this.convolutionGradient(out, d)) return;
    if (d.node.opType === "BatchNormalization" && this.normalisationGradient(out, d)) return;
    if (d.node.opType === "Relu" && this.reluGradient(out, d)) return;
    this.byRule(out, d);
  }

  /** The operator's own rule, whose nodes may have blocked forms in their turn. */
  private byRule(out: readonly Ref[], d: Deferred, only: (i: number) => boolean = () => true): void {
    const { nodes } = this.builder.graph;
    const start = nodes.length;
    const needs = (i: number): boolean => out[i] !== "" && out[i] !== undefined && only(i);
    const grads = d.rule(d.node, d.dy, { ...d.context, needs });
    const fresh = nodes.splice(start);
    grads.forEach((grad, i) => {
      if (grad && needs(i)) {
        const name = this.builder.unique(`${out[i]}/Identity`);
        fresh.push({ name, opType: "Identity", domain: "", inputs: [grad], outputs: [out[i]], attributes: {} });
      }
    });
    for (const n of fresh) this.node(n);
  }

  private convolutionGradient(out: readonly Ref[], d: Deferred): boolean {
    const known = this.convolutions.get(d.node);
    if (!known) return false;
    const v = this.values;
    const [x, w] = d.node.inputs;
    const { kind, geometry } = known;
    v.setDims(d.dy[0]!, geometry.y);
    const dy = v.factored(d.dy[0]!);
    const left: number[] = [];
    if (out[0]) {
      const make = blockedInputGradient(v, kind, geometry, dy, w);
      if (make) v.define(out[0], geometry.x, { make });
      else left.push(0);
    }
    if (out[1]) {
      const ref = blockedWeightGradientOf(v, kind, geometry, dy, x);
      if (ref) v.bind(out[1], ref);
      else left.push(1);
    }
    if (out[2]) v.bind(out[2], blockedBiasGradient(v, geometry, dy));
    if (left.length > 0) this.byRule(out, d, (i) => left.includes(i));
    return true;
  }

  private normalisationGradient(out: readonly Ref[], d: Deferred): boolean {
    const known = this.normalised.get(d.node);
    if (!known) return false;
    const v = this.values;
    const dims = staticDims(this.types, d.node.inputs[0]);
    v.setDims(d.dy[0]!, dims);
    const made = blockedBatchNormGradient(v, known, v.blocked(d.dy[0]!), sizeOf(dims) / dims[1]);
    if (out[0]) v.define(out[0], dims, { factored: made.input });
    if (out[1]) v.bind(out[1], made.scale);
    if (out[2]) v.bind(out[2], made.bias);
    return true;
  }

  /** dy times a step function of y. */
  private reluGradient(out: readonly Ref[], d: Deferred): boolean {
    const v = this.values;
    const [y, dy] = [d.node.outputs[0], d.dy[0]!];
    const dims = v.dimsOf(y);
    if (!out[0] || !v.isHeld(y) || !isMap(dims)) return false;
    v.setDims(dy, dims);
    const step = this.builder.emit("HardSigmoid", [v.blocked(y)], { alpha: attr.float(STEEP), beta: attr.float(0) });
    v.define(out[0], dims, { ref: this.builder.mul(v.blocked(dy), step) });
    return true;
  }
}
