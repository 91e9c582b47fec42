/** Divides the values of scale groups by factors per channel, and gives the layers around them weights that make up for it. */
import { namer, removeDead } from "../../graph/edit.js";
import { cloneGraph, type Graph, type OpNode, typeOf, usesOf } from "../../graph/graph.js";
import { fromNumbers, scalar, sizeOf, type Tensor, toNumbers } from "../../graph/tensor.js";
import type { Carrier, ScaleGroup } from "./scaleGroups.js";
import { weightChannels } from "./weightChannels.js";

/** What becomes of a clamp whose input is divided by factors. */
export type ClampChange =
  /** Both bounds are divided by one number: all channels that reach them have that factor. */
  | { kind: "divide"; by: number }
  /** Only the lower bound of 0 is kept: no channel reaches the upper one. */
  | { kind: "rectify" }
  /** Bounds per channel: exact for any factors, at the price of nodes that have no integer kernel. */
  | { kind: "perChannel" };

export interface Scaling {
  group: ScaleGroup;
  /** Positive, one per channel. */
  factors: Float64Array;
  /** Per clamp of the group, by node name; absent means `perChannel`. */
  clamps?: ReadonlyMap<string, ClampChange>;
}

/** A function of the graph: same outputs, values of each group divided by its factors. Weights are computed in double precision. */
export function applyFactors(g: Graph, scalings: readonly Scaling[]): Graph {
  const editor = new ParameterEditor(g);
  for (const { group, factors, clamps } of scalings) {
    for (const end of group.sources) {
      const channels = weightChannels(end, editor.dims(end.node, end.rule.weight));
      editor.map(end.node, end.rule.weight, (v, i) => v / factors[channels.outputOf(i)]);
      if (end.rule.bias >= 0) editor.map(end.node, end.rule.bias, (v, c) => v / factors[c]);
    }
    for (const { node, rule } of group.normalizations) {
      editor.map(node, rule.scale, (v, c) => v / factors[c]);
      editor.map(node, rule.shift, (v, c) => v / factors[c]);
    }
    for (const end of group.sinks) {
      const channels = weightChannels(end, editor.dims(end.node, end.rule.weight));
      editor.map(end.node, end.rule.weight, (v, i) => v * factors[Math.floor(channels.inputOf(i) / end.repeat)]);
    }
    for (const { node, input, carrier, rank } of [...group.scales, ...group.constants]) {
      editor.divideAlong(node, input, factors, carrier, rank);
    }
    for (const { node, carrier } of group.clamps) {
      editor.changeClamp(node, carrier, factors, clamps?.get(node.name) ?? { kind: "perChannel" });
    }
  }
  return editor.finish();
}

/** Parameters under change, in double precision, and nodes that are replaced. Shared constants are split on first change. */
class ParameterEditor {
  private readonly values = new Map<string, { numbers: Float64Array; tensor: Tensor }>();
  private readonly nodes = new Map<string, OpNode>();
  private readonly added = new Map<string, OpNode[]>();
  private readonly constants = new Map<string, Tensor>();
  private readonly unique: (base: string) => string;
  private readonly uses: ReturnType<typeof usesOf>;

  constructor(private readonly g: Graph) {
    this.unique = namer(g);
    this.uses = usesOf(g);
  }

  dims(n: OpNode, input: number): readonly number[] {
    return this.g.initializers.get(n.inputs[input])!.dims;
  }

  /** Rewrites a constant input of a node, which gets a constant of its own if others read it too. */
  map(n: OpNode, input: number, f: (v: number, i: number) => number): void {
    const entry = this.own(n, input);
    if (entry) entry.numbers = entry.numbers.map(f);
  }

  /** Divides a constant that is broadcast to a value of `rank` axes, spreading it along the channels where it does not vary. */
  divideAlong(n: OpNode, input: number, factors: Float64Array, c: Carrier, rank: number): void {
    const entry = this.own(n, input);
    if (!entry) return;
    const dims = [...new Array<number>(rank - entry.tensor.dims.length).fill(1), ...entry.tensor.dims];
    const length = factors.length * c.repeat;
    const wide = dims.map((d, k) => (k === c.axis ? length : d));
    const inner = sizeOf(dims.slice(c.axis + 1));
    const out = new Float64Array(sizeOf(wide));
    for (let i = 0; i < out.length; i++) {
      const place = Math.floor(i / inner) % length;
      const outer = Math.floor(i / (inner * length));
      const from = (outer * dims[c.axis] + (dims[c.axis] === 1 ? 0 : place)) * inner + (i % inner);
      out[i] = entry.numbers[from] / factors[Math.floor(place / c.repeat)];
    }
    entry.numbers = out;
    entry.tensor = { ...entry.tensor, dims: wide };
  }

  changeClamp(n: OpNode, c: Carrier, factors: Float64Array, change: ClampChange): void {
    const node = this.node(n);
    const bound = (input: number): number | undefined => {
      const t = this.g.initializers.get(n.inputs[input] ?? "");
      return t && toNumbers(t)[0];
    };
    const [low, high] = [bound(1), bound(2)];
    if (change.kind === "rectify") {
      this.nodes.set(n.name, { ...node, opType: "Relu", inputs: [node.inputs[0]], attributes: {} });
      return;
    }
    if (change.kind === "divide") {
      const inputs = [...node.inputs];
      if (low !== undefined) inputs[1] = this.constant(`${n.name}_min`, scalar(low / change.by));
      if (high !== undefined) inputs[2] = this.constant(`${n.name}_max`, scalar(high / change.by));
      this.nodes.set(n.name, { ...node, inputs });
      return;
    }
    const rank = typeOf(this.g, c.value)?.dims?.length ?? 0;
    const dims = Array.from({ length: rank }, (_, k) => (k === c.axis ? factors.length * c.repeat : 1));
    const perChannel = (v: number): Tensor =>
      fromNumbers(
        "float32",
        Float64Array.from({ length: sizeOf(dims) }, (_, i) => v / factors[Math.floor(i / c.repeat)]),
        dims,
      );
    const chain: OpNode[] = [];
    let value = node.inputs[0];
    const step = (opType: string, more: string[], last: boolean): void => {
      const out = last ? node.outputs[0] : this.unique(`${n.outputs[0]}_${opType.toLowerCase()}`);
      const name = last ? node.name : this.unique(`${n.name}/${opType}`);
      chain.push({ ...node, name, opType, inputs: [value, ...more], outputs: [out], attributes: {} });
      value = out;
    };
    const top = high !== undefined && high < Number.MAX_VALUE;
    if (low === 0) step("Relu", [], !top);
    else if (low !== undefined) step("Max", [this.constant(`${n.name}_min`, perChannel(low))], !top);
    if (top) step("Min", [this.constant(`${n.name}_max`, perChannel(high))], true);
    if (chain.length === 0) return;
    this.added.set(n.name, chain.slice(0, -1));
    this.nodes.set(n.name, chain[chain.length - 1]);
  }

  finish(): Graph {
    const out = cloneGraph(this.g);
    for (const [name, { numbers, tensor }] of this.values)
      out.initializers.set(name, fromNumbers(tensor.elemType, numbers, tensor.dims));
    for (const [name, tensor] of this.constants) out.initializers.set(name, tensor);
    out.nodes = this.g.nodes.flatMap((n) => [...(this.added.get(n.name) ?? []), this.nodes.get(n.name) ?? n]);
    return removeDead(out);
  }

  private node = (n: OpNode): OpNode => this.nodes.get(n.name) ?? n;

  private constant(base: string, t: Tensor): string {
    const name = this.unique(base);
    this.constants.set(name, t);
    return name;
  }

  private own(n: OpNode, input: number): { numbers: Float64Array; tensor: Tensor } | undefined {
    const original = n.inputs[input] ?? "";
    const tensor = this.g.initializers.get(original);
    if (!tensor) return undefined;
    const current = this.node(n);
    const known = this.values.get(current.inputs[input]);
    if (known) return known;
    const shared = (this.uses.get(original)?.length ?? 0) > 1 || this.g.outputs.some((v) => v.name === original);
    const name = shared ? this.unique(`${original}_scaled`) : original;
    if (shared) this.nodes.set(n.name, { ...current, inputs: current.inputs.map((v, i) => (i === input ? name : v)) });
    const entry = { numbers: toNumbers(tensor), tensor };
    this.values.set(name, entry);
    return entry;
  }
}
