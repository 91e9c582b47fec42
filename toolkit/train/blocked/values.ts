/**
 * Values of a training graph that are held with their channels in blocks, [N, C' / block, H, W, block], where C' is C rounded up to
 * whole blocks. Their declared dims are [N, C', H, W]. Channels beyond C hold finite numbers that no one reads: whoever sums over
 * channels has zero weights there.
 */
import type { GraphBuilder, Ref } from "../../graph/builder.js";
import { type Attribute, attr } from "../../graph/graph.js";
import { sizeOf } from "../../graph/tensor.js";
import { padZeros, range, sameDims, slice } from "../../ops/algebra.js";

/** What the blocked Conv can do to its result in the same pass. */
export interface Finish {
  /** Blocked value that is added before the activation. */
  sum?: Ref;
  activation?: { name: "Relu" } | { name: "Clip"; low: number; high: number };
}

/** A value that is computed when someone reads it, so that what follows it can be part of the same node. */
export type Make = (finish: Finish) => Ref;

interface Held {
  ref?: Ref;
  make?: Make;
  /** The value is `factor` [C'] times `raw`; readers with weights of their own multiply those instead. */
  factored?: { raw: Ref; factor: Ref };
  bool: boolean;
  /** The value as the runtime's other operators read it exists as well. */
  alsoPlain: boolean;
}

export class BlockedValues {
  private readonly held = new Map<Ref, Held>();
  private readonly dims = new Map<Ref, readonly number[]>();

  constructor(
    readonly g: GraphBuilder,
    readonly block: number,
    private readonly domain: string,
    private readonly knownDims: (name: Ref) => readonly number[] | undefined,
  ) {}

  /** C rounded up to whole blocks. */
  padded = (channels: number): number => Math.ceil(channels / this.block) * this.block;

  /** Dims of a value in the net's own layout, where they are known. */
  dimsOf(name: Ref): readonly number[] | undefined {
    return this.dims.get(name) ?? this.knownDims(name);
  }

  setDims(name: Ref, dims: readonly number[]): void {
    this.dims.set(name, dims);
  }

  /** Blocked dims of a value. */
  shape(name: Ref): number[] {
    const [n, c, ...size] = this.dimsOf(name)!;
    return [n, this.padded(c), ...size];
  }

  isHeld(name: Ref): boolean {
    return this.held.has(name);
  }

  /** Declares a value that exists in blocks only. */
  define(name: Ref, dims: readonly number[], value: Partial<Pick<Held, "ref" | "make" | "factored" | "bool">>): void {
    this.setDims(name, dims);
    this.held.set(name, { bool: false, alsoPlain: false, ...value });
  }

  /** How to compute a value that no one has read yet. */
  pending(name: Ref): Make | undefined {
    const h = this.held.get(name);
    return h && !h.ref ? h.make : undefined;
  }

  isBool(name: Ref): boolean {
    return this.held.get(name)?.bool ?? false;
  }

  /** The value in blocks, without a factor that could be left to the reader. */
  factored(name: Ref): { raw: Ref; factor?: Ref } {
    const h = this.held.get(name);
    return h?.factored && !h.ref ? h.factored : { raw: this.blocked(name) };
  }

  /** The value in blocks; reordered where it exists in the net's own layout only. */
  blocked(name: Ref): Ref {
    let h = this.held.get(name);
    if (!h) {
      const [, c] = this.dimsOf(name)!;
      // The operator wants multiples of four and fills up to a whole block itself.
      const even = c % 4 === 0 ? name : padZeros(this.g, name, [0, 0, 0, 0, 0, this.padded(c) - c, 0, 0]);
      h = { ref: this.emit("ReorderInput", [even]), bool: false, alsoPlain: true };
      this.held.set(name, h);
    }
    if (!h.ref) {
      const channels = this.dimsOf(name)![1];
      h.ref = h.make ? h.make({}) : this.affine(h.factored!.raw, h.factored!.factor, "", channels);
    }
    return h.ref;
  }

  /** Makes sure that the value exists in the net's own layout, under its name. */
  plain(name: Ref): void {
    const h = this.held.get(name);
    if (!h || h.alsoPlain) return;
    h.alsoPlain = true;
    const { g } = this;
    const [, channels] = this.dimsOf(name)!;
    const from = this.blocked(name);
    const floating = h.bool ? g.emit("Cast", [from], { to: attr.int(1) }) : from;
    const back = this.emit("ReorderOutput", [floating], { channels: attr.int(channels) });
    if (h.bool) this.bind(name, back, "Cast", { to: attr.int(9) });
    else this.bind(name, back);
  }

  /** Gives a value the name that the rest of the graph knows it by. */
  bind(name: Ref, ref: Ref, opType = "Identity", attributes: Record<string, Attribute> = {}): void {
    const node = this.g.unique(`${name}/${opType}`);
    this.g.graph.nodes.push({ name: node, opType, domain: "", inputs: [ref], outputs: [name], attributes });
  }

  /** A node of the blocked domain. */
  emit(opType: string, inputs: readonly Ref[], attributes: Record<string, Attribute> = {}): Ref {
    return this.g.emit(opType, inputs, attributes, { domain: this.domain });
  }

  /** The blocked Conv; `filter` and `bias` as `filters.ts` lays them out. */
  conv(x: Ref, filter: Ref, bias: Ref | "", attributes: Record<string, Attribute>, finish: Finish = {}): Ref {
    const { sum = "", activation } = finish;
    const extra: Record<string, Attribute> = {};
    if (activation) extra.activation = attr.string(activation.name);
    if (activation?.name === "Clip") {
      extra.activation_params = { type: "floats", value: [activation.low, activation.high] };
    }
    return this.emit("Conv", [x, filter, bias, sum], { ...attributes, ...extra });
  }

  /** a x + b per channel, a and b [C']. */
  affine(x: Ref, a: Ref, b: Ref | "", channels: number, finish: Finish = {}): Ref {
    const filter = this.g.reshape(a, [this.padded(channels), 1, 1, 1]);
    return this.conv(x, filter, b, { group: attr.int(this.padded(channels)) }, finish);
  }

  /** Mean over images and positions, [C']. */
  mean(x: Ref, channels: number): Ref {
    const perImage = this.emit("GlobalAveragePool", [x]);
    return this.g.reshape(this.g.reduceMean(perImage, [0], true), [this.padded(channels)]);
  }

  /** A vector over channels filled up with zeros to whole blocks. */
  fill(vector: Ref, channels: number): Ref {
    return padZeros(this.g, vector, [0, this.padded(channels) - channels]);
  }

  /** A vector over whole blocks cut to the channels that there are. */
  cut(vector: Ref, channels: number): Ref {
    return channels === this.padded(channels) ? vector : slice(this.g, vector, [0], [channels], [0]);
  }
}

/** Whether a value is a map over two spatial axes. */
export const isMap = (dims: readonly number[] | undefined): dims is readonly number[] =>
  dims?.length === 4 && sizeOf(dims) > 0;

export const allSame = (lists: readonly (readonly number[] | undefined)[]): boolean =>
  lists.every((d) => d !== undefined && lists[0] !== undefined && sameDims(d, lists[0]));

/** Cuts axes that are longer than they should be, from their ends. */
export function cutTo(g: GraphBuilder, x: Ref, from: readonly number[], to: readonly number[]): Ref {
  const axes = range(from.length).filter((i) => from[i] !== to[i]);
  if (axes.length === 0) return x;
  return slice(
    g,
    x,
    axes.map(() => 0),
    axes.map((i) => to[i]),
    axes,
  );
}
