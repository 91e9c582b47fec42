/**
 * Which channels of a float net can be scaled without changing what it computes: chains of values from the layers that
 * write them to the layers that read them, with everything in between that lets positive factors past. Knows no operator
 * by name; asks each rule's `scaling`.
 */
import { type Graph, type OpNode, opsetOf, typeOf } from "../../graph/graph.js";
import { readsOf } from "../../graph/scope.js";
import { sizeOf } from "../../graph/tensor.js";
import { ruleFor } from "../../ops/index.js";
import type { ScalingRule } from "../../ops/rule.js";

type Contracts = Extract<ScalingRule, { kind: "contracts" }>;
type Normalizes = Extract<ScalingRule, { kind: "normalizes" }>;

/** Where a value carries the channels: on `axis`, each channel in `repeat` neighbouring places. */
export interface Carrier {
  value: string;
  axis: number;
  repeat: number;
}

/** A layer with constant weights at one end of a chain. */
export interface LayerEnd {
  node: OpNode;
  rule: Contracts;
  /** How often a channel stands in the layer's input axis; 1 for sources. */
  repeat: number;
}

/** A normalisation at the head of a chain: its scale and shift per channel take the factors up. */
export interface NormalizationEnd {
  node: OpNode;
  rule: Normalizes;
}

/** A constant that is added to a value of the chain, or makes it by a product, and has to be divided like it. */
export interface ChainConstant {
  node: OpNode;
  input: number;
  carrier: Carrier;
  /** Number of axes of the sum. */
  rank: number;
}

/** Channels that may carry factors of their own: every value = factor * value afterwards, for all members alike. */
export interface ScaleGroup {
  channels: number;
  values: readonly Carrier[];
  /** Layers whose outputs are in the group: rows of their weights are divided. */
  sources: readonly LayerEnd[];
  normalizations: readonly NormalizationEnd[];
  /** Constants per channel that multiply what cannot carry factors itself, at the head of the chain. */
  scales: readonly ChainConstant[];
  /** Layers that read values of the group: columns of their weights are multiplied. */
  sinks: readonly LayerEnd[];
  constants: readonly ChainConstant[];
  /** Clamps between members; the bounds of each belong to the value that goes in. */
  clamps: readonly { node: OpNode; carrier: Carrier }[];
  /** Passing nodes, for passes that ask more of them. */
  passers: readonly OpNode[];
}

interface Growing {
  channels: number;
  frozen: boolean;
  values: Carrier[];
  sources: LayerEnd[];
  normalizations: NormalizationEnd[];
  scales: ChainConstant[];
  sinks: LayerEnd[];
  constants: ChainConstant[];
  clamps: { node: OpNode; carrier: Carrier }[];
  passers: OpNode[];
}

/** The values that the group's readers really see. */
export function readValues(group: ScaleGroup): Carrier[] {
  const names = new Set(group.sinks.map((end) => end.node.inputs[0]));
  return group.values.filter((v) => names.has(v.value));
}

/** All groups of an inferred graph that have a source and a sink and nothing that holds them fast. In graph order. */
export function findScaleGroups(g: Graph): ScaleGroup[] {
  return new Finder(g).find();
}

class Finder {
  private readonly parents = new Map<Growing, Growing>();
  private readonly groupOf = new Map<string, Growing>();
  private readonly carriers = new Map<string, Carrier>();
  private readonly all: Growing[] = [];

  constructor(private readonly g: Graph) {}

  find(): ScaleGroup[] {
    for (const n of this.g.nodes) {
      const rule = ruleFor(n, opsetOf(this.g, n.domain))?.scaling;
      const held = new Set(readsOf(n));
      if (rule) for (const v of this.visit(n, rule)) held.delete(v);
      for (const v of held) this.freeze(v);
    }
    for (const v of this.g.outputs) this.freeze(v.name);
    const roots = this.all.filter((group) => this.root(group) === group);
    const heads = (r: Growing): number => r.sources.length + r.normalizations.length + r.scales.length;
    return roots.filter((r) => !r.frozen && r.sinks.length > 0 && heads(r) > 0);
  }

  /** Places the node's outputs; returns the inputs through which factors may enter it. */
  private visit(n: OpNode, rule: ScalingRule): string[] {
    switch (rule.kind) {
      case "contracts":
        return this.contracts(n, rule);
      case "normalizes": {
        const rank = this.dims(n.outputs[0])?.length ?? 0;
        const axis = rule.dataAxis(n, rank);
        const scale = this.g.initializers.get(n.inputs[rule.scale] ?? "");
        const shift = n.inputs[rule.shift] ?? "";
        const channels = this.dims(n.outputs[0])?.[axis];
        if (!scale || channels === undefined || sizeOf(scale.dims) !== channels) return [];
        if (shift && !this.g.initializers.has(shift)) return [];
        this.start(n.outputs[0], axis, channels)?.normalizations.push({ node: n, rule });
        return [];
      }
      case "commutes": {
        const c = this.carriers.get(n.inputs[0]);
        const rank = this.dims(n.inputs[0])?.length ?? 0;
        if (!c || rule.when?.(n, c.axis, rank, (name) => this.g.initializers.get(name)) === false) return [];
        return this.pass(n, { ...c, value: n.outputs[0] });
      }
      case "clamps": {
        const c = this.carriers.get(n.inputs[0]);
        if (!c || n.inputs.slice(1).some((v) => v && !this.g.initializers.has(v))) return [];
        const passed = this.pass(n, { ...c, value: n.outputs[0] });
        this.group(n.inputs[0])?.clamps.push({ node: n, carrier: c });
        return passed;
      }
      case "multiplies": {
        const data = n.inputs.filter((v) => !this.g.initializers.has(v));
        const c = this.carriers.get(data[0] ?? "");
        if (data.length !== 1 || !this.sameShape(data[0], n.outputs[0])) return [];
        if (!c || this.group(data[0])?.frozen) return this.scales(n);
        return this.pass(n, { ...c, value: n.outputs[0] }, data[0]);
      }
      case "reshapes":
        return this.reshapes(n);
      case "sums":
        return this.sums(n);
    }
  }

  /** A product with one constant per channel begins a chain: factors go into the constant. */
  private scales(n: OpNode): string[] {
    const input = n.inputs.findIndex((v) => this.g.initializers.has(v));
    const dims = this.g.initializers.get(n.inputs[input])?.dims ?? [];
    const rank = this.dims(n.outputs[0])?.length ?? 0;
    const axis = dims.findIndex((d) => d > 1) + rank - dims.length;
    if (dims.filter((d) => d > 1).length !== 1 || rank < 2) return [];
    const group = this.start(n.outputs[0], axis, this.dims(n.outputs[0])![axis]);
    group?.scales.push({ node: n, input, carrier: { value: n.outputs[0], axis, repeat: 1 }, rank });
    return [];
  }

  private contracts(n: OpNode, rule: Contracts): string[] {
    const w = this.g.initializers.get(n.inputs[rule.weight] ?? "");
    const bias = rule.bias < 0 ? "" : (n.inputs[rule.bias] ?? "");
    const x = this.dims(n.inputs[0]);
    const y = this.dims(n.outputs[0]);
    if (w?.elemType !== "float32" || !x || !y || !rule.applies(n)) return [];
    if (w.dims.length < 2 || (rule.dataAxis(3) === 2 && w.dims.length !== 2)) return [];
    const outputs = y[rule.dataAxis(y.length)];
    const biasFits = !bias || this.g.initializers.get(bias)?.data.length === outputs;
    if (biasFits)
      this.start(n.outputs[0], rule.dataAxis(y.length), outputs)?.sources.push({ node: n, rule, repeat: 1 });
    const c = this.carriers.get(n.inputs[0]);
    if (!c || c.axis !== rule.dataAxis(x.length)) return [];
    this.group(n.inputs[0])?.sinks.push({ node: n, rule, repeat: c.repeat });
    return [n.inputs[0]];
  }

  /** Elements keep their order: a channel's elements stay together where the axes in front of it do. */
  private reshapes(n: OpNode): string[] {
    const [x, y] = n.inputs;
    const c = this.carriers.get(x);
    const [from, to] = [this.dims(x), this.dims(n.outputs[0])];
    if (!c || !from || !to || (y && !this.g.initializers.has(y))) return [];
    const before = sizeOf(from.slice(0, c.axis));
    const block = (from[c.axis] / (this.group(x)?.channels ?? 1)) * sizeOf(from.slice(c.axis + 1));
    for (let axis = 0; axis < to.length; axis++) {
      if (sizeOf(to.slice(0, axis)) !== before) continue;
      const inner = sizeOf(to.slice(axis + 1));
      // An axis of length 1 in front of the channels has the same elements before it.
      if (block % inner !== 0 || to[axis] * inner !== from[c.axis] * sizeOf(from.slice(c.axis + 1))) continue;
      return this.pass(n, { value: n.outputs[0], axis, repeat: block / inner });
    }
    return [];
  }

  private sums(n: OpNode): string[] {
    const inputs = n.inputs.filter((v) => v !== "");
    const data = inputs.filter((v) => !this.g.initializers.has(v));
    const first = this.carriers.get(data[0] ?? "");
    const rank = this.dims(n.outputs[0])?.length;
    if (!first || rank === undefined) return [];
    for (const v of data) {
      const c = this.carriers.get(v);
      const alike = c && c.axis === first.axis && c.repeat === first.repeat && this.sameShape(v, n.outputs[0]);
      if (!alike || this.group(v)?.channels !== this.group(data[0])?.channels) return [];
    }
    for (const v of data.slice(1)) this.unite(data[0], v);
    this.pass(n, { ...first, value: n.outputs[0] }, data[0]);
    n.inputs.forEach((v, input) => {
      if (this.g.initializers.has(v)) this.group(data[0])?.constants.push({ node: n, input, carrier: first, rank });
    });
    return data;
  }

  private pass(n: OpNode, carrier: Carrier, from = n.inputs[0]): string[] {
    const group = this.group(from);
    // Further outputs (a mask, indices) do not scale.
    if (!group) return [];
    this.place(carrier, group);
    group.passers.push(n);
    return [from, ...n.inputs.filter((v) => this.g.initializers.has(v))];
  }

  private start(value: string, axis: number, channels: number): Growing | undefined {
    const group: Growing = {
      channels,
      frozen: false,
      values: [],
      sources: [],
      normalizations: [],
      scales: [],
      sinks: [],
      constants: [],
      clamps: [],
      passers: [],
    };
    this.all.push(group);
    this.place({ value, axis, repeat: 1 }, group);
    return group;
  }

  private place(carrier: Carrier, group: Growing): void {
    this.carriers.set(carrier.value, carrier);
    this.groupOf.set(carrier.value, group);
    group.values.push(carrier);
  }

  private freeze(value: string): void {
    const group = this.group(value);
    if (group) group.frozen = true;
  }

  private group(value: string): Growing | undefined {
    const own = this.groupOf.get(value);
    return own && this.root(own);
  }

  private root(group: Growing): Growing {
    let r = group;
    for (let next = this.parents.get(r); next; next = this.parents.get(r)) r = next;
    return r;
  }

  private unite(a: string, b: string): void {
    const [x, y] = [this.group(a), this.group(b)];
    if (!x || !y || x === y) return;
    this.parents.set(y, x);
    x.frozen ||= y.frozen;
    x.values.push(...y.values);
    x.sources.push(...y.sources);
    x.normalizations.push(...y.normalizations);
    x.scales.push(...y.scales);
    x.sinks.push(...y.sinks);
    x.constants.push(...y.constants);
    x.clamps.push(...y.clamps);
    x.passers.push(...y.passers);
  }

  /** Static dims, a dynamic batch read as 1; undefined when the rank or another dimension is not known. */
  private dims(value: string): number[] | undefined {
    const dims = typeOf(this.g, value)?.dims;
    if (!dims?.every((d, k) => typeof d === "number" || k === 0)) return undefined;
    return dims.map((d) => (typeof d === "number" ? d : 1));
  }

  private sameShape(a: string, b: string): boolean {
    return this.dims(a)?.join() === this.dims(b)?.join();
  }
}
