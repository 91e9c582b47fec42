/**
 * Rewrites a float graph as ONNX QDQ: Quantize/Dequantize pairs so placed that ONNX Runtime fuses each integer node with
 * the pairs around it (QLinearConv, QLinearAdd, QGemm, QLinearGlobalAveragePool, ...). Activations are unsigned 8 bits
 * per tensor, weights signed 8 bits per output channel, biases int32 at the product of both scales.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { removeDead } from "../graph/edit.js";
import {
  type Attribute,
  attr,
  cloneGraph,
  type Graph,
  type OpNode,
  opsetOf,
  producersOf,
  typeOf,
} from "../graph/graph.js";
import { floats, scalar, type Tensor, toNumbers } from "../graph/tensor.js";
import { ruleFor } from "../ops/index.js";
import type { QuantizeRule } from "../ops/rule.js";
import { type ActivationGrid, activationGrid, type QuantRange, quantizeBias, quantizeWeight } from "./affine.js";
import { activationInputs, gridOwner, planQdq, type QdqPlan, resultsOf } from "./plan.js";
import { prepareForQuantization } from "./prepare.js";
import type { Ranges } from "./ranges.js";
import { shieldFloat } from "./shield.js";

export interface PlaceOptions {
  /** Names of nodes (in the prepared graph) that stay float. */
  keepFloat?: ReadonlySet<string>;
  /** 7-bit weights, for x64 CPUs without VNNI, whose u8 x s8 kernels saturate at 16 bits. Default false. */
  reduceRange?: boolean;
  /** Node name -> what is added to its bias before rounding (see `biasShifts`). */
  biasShifts?: ReadonlyMap<string, Float64Array>;
}

/** The QDQ form of `g`. Nodes without a quantisation rule, without a range, or named in `keepFloat` stay float. */
export const placeQdq = (g: Graph, ranges: Ranges, o: PlaceOptions = {}): Graph =>
  placePrepared(prepareForQuantization(g), ranges, o);

/** `placeQdq` for a graph that went through `prepareForQuantization` already. */
export function placePrepared(prepared: Graph, ranges: Ranges, o: PlaceOptions = {}): Graph {
  return removeDead(new Placer(prepared, ranges, planWith(prepared, ranges, o), o).place());
}

/** The plan that `placeQdq` follows. */
export function planWith(prepared: Graph, ranges: Ranges, o: PlaceOptions = {}): QdqPlan {
  const lookup = rangeLookup(prepared, ranges);
  return planQdq(prepared, {
    keepFloat: o.keepFloat ?? new Set(),
    hasRange: (v) => prepared.initializers.has(v) || lookup(v) !== undefined,
  });
}

/** Range of a value: its own, or that of the value which it is only a rearrangement or selection of. */
export function rangeLookup(prepared: Graph, ranges: Ranges): (value: string) => QuantRange | undefined {
  const producers = producersOf(prepared);
  return (value) => {
    let name = value;
    for (;;) {
      const own = ranges.values.get(name);
      if (own) return own;
      const n = producers.get(name);
      const rule = n && ruleFor(n, opsetOf(prepared, n.domain))?.quantize;
      if (!n || !rule?.passThrough || rule.clamp) return undefined;
      name = n.inputs[rule.activations[0]];
    }
  };
}

interface GridRefs {
  scale: Ref;
  zeroPoint: Ref;
  grid: ActivationGrid;
}

const codeOf = (value: number, { scale, zeroPoint }: ActivationGrid): Tensor => ({
  elemType: "uint8",
  dims: [],
  data: Uint8Array.of(Math.max(0, Math.min(255, Math.round(value / scale) + zeroPoint))),
});

class Placer {
  private readonly out: Graph;
  private readonly builder: GraphBuilder;
  private readonly grids = new Map<string, GridRefs>();
  /** Value of the float graph -> its dequantised twin. */
  private readonly dequantized = new Map<string, Ref>();
  private readonly lookup: (value: string) => QuantRange | undefined;
  private readonly graphOutputs: Set<string>;
  private readonly intervals = new Map<string, readonly [number, number]>();
  private readonly gone: Set<string>;

  constructor(
    private readonly g: Graph,
    ranges: Ranges,
    private readonly plan: QdqPlan,
    private readonly o: PlaceOptions,
  ) {
    this.out = cloneGraph(g);
    this.builder = new GraphBuilder(this.out);
    this.out.nodes = [];
    this.lookup = rangeLookup(g, ranges);
    this.graphOutputs = new Set(g.outputs.map((v) => v.name));
    this.gone = new Set([...plan.clampOf.values()].map((c) => c.node.name));
    for (const { node, interval } of plan.clampOf.values()) this.intervals.set(node.outputs[0], interval);
  }

  place(): Graph {
    for (const n of this.g.nodes) {
      // The clamp is done by the ends of its producer's range: Relu by a zero point of 0, Clip by the highest code.
      if (this.gone.has(n.name)) continue;
      const rule = this.plan.quantized.get(n.name);
      if (rule) this.placeInteger(n, rule);
      // A float reader of an integer value reads the dequantised one: the producer's only reader must be the Quantize.
      else this.out.nodes.push({ ...n, inputs: n.inputs.map((v) => this.dequantized.get(v) ?? v) });
    }
    return this.out;
  }

  private placeInteger(n: OpNode, rule: QuantizeRule): void {
    if (rule.onIntegers && !this.graphOutputs.has(n.outputs[0])) {
      this.placeOnIntegers(n, rule, rule.onIntegers.fill);
      return;
    }
    const inputs = [...n.inputs];
    for (const i of activationInputs(n, rule)) if (inputs[i]) inputs[i] = this.read(inputs[i]);
    if (rule.weight) this.placeWeight(n, rule, inputs);
    if (this.plan.floatOutput.has(n.name)) {
      this.out.nodes.push({ ...n, inputs });
      return;
    }
    const results = resultsOf(this.plan, n);
    // A graph output keeps its name, so the raw result gets another one.
    const raw = results.map((v) => (this.graphOutputs.has(v) ? this.builder.unique(`${v}_raw`) : v));
    this.out.nodes.push({ ...n, inputs, outputs: raw });
    results.forEach((v, i) => {
      const type = typeOf(this.g, v);
      if (type && raw[i] !== v) this.out.valueTypes.set(raw[i], type);
      this.quantizeDequantize(v, raw[i], raw[i] === v ? undefined : v);
    });
  }

  /** Between the Quantize of its input and a Dequantize of its own; new elements get the code of the value that fills them. */
  private placeOnIntegers(n: OpNode, rule: QuantizeRule, fill: number): void {
    const x = n.inputs[rule.activations[0]];
    const y = n.outputs[0];
    const { scale, zeroPoint, grid } = this.gridFor(gridOwner(this.plan, x));
    const dequantized = this.read(x);
    const inputs = [...n.inputs];
    inputs[rule.activations[0]] = this.out.nodes.find((d) => d.outputs[0] === dequantized)!.inputs[0];
    const value = toNumbers(this.g.initializers.get(n.inputs[fill] ?? "") ?? scalar(0))[0];
    while (inputs.length <= fill) inputs.push("");
    inputs[fill] = value === 0 ? zeroPoint : this.builder.initializer(`${y}_fill`, codeOf(value, grid));
    const q = this.builder.unique(`${y}_q`);
    this.out.nodes.push({ ...n, inputs, outputs: [q] });
    const dims = typeOf(this.g, y)?.dims;
    this.out.valueTypes.set(q, { elemType: "uint8", ...(dims ? { dims } : {}) });
    this.out.valueTypes.delete(y);
    const dq = this.dequantize(q, scale, zeroPoint, y);
    this.out.valueTypes.set(dq, { elemType: "float32", ...(dims ? { dims } : {}) });
    this.dequantized.set(y, dq);
  }

  /** The dequantised twin of an activation, made on first use. */
  private read(value: string): Ref {
    const known = this.dequantized.get(value);
    if (known) return known;
    const constant = this.g.initializers.get(value);
    if (constant) return this.constantActivation(value, constant);
    const source = shieldFloat(this.g, this.out, this.builder, value, (v) => this.dequantized.has(v));
    return this.quantizeDequantize(value, source);
  }

  /** Pair on `source` for `value`; the Dequantize takes over the name `output` where that is given. */
  private quantizeDequantize(value: string, source: Ref, output?: Ref): Ref {
    const { scale, zeroPoint } = this.gridFor(gridOwner(this.plan, value));
    const dims = typeOf(this.g, value)?.dims;
    const q = this.builder.emit(
      "QuantizeLinear",
      [source, scale, zeroPoint],
      {},
      { out: `${value}_q`, name: `${value}/QuantizeLinear` },
    );
    const dq = this.dequantize(q, scale, zeroPoint, value, output);
    this.out.valueTypes.set(q, { elemType: "uint8", ...(dims ? { dims } : {}) });
    if (dq !== value) this.out.valueTypes.set(dq, { elemType: "float32", ...(dims ? { dims } : {}) });
    this.dequantized.set(value, dq);
    return dq;
  }

  private dequantize(q: Ref, scale: Ref, zeroPoint: Ref | "", base: string, output?: string, axis?: number): Ref {
    const attributes: Record<string, Attribute> = axis === undefined ? {} : { axis: attr.int(axis) };
    const out = output ?? this.builder.unique(`${base}_dq`);
    const inputs = zeroPoint ? [q, scale, zeroPoint] : [q, scale];
    this.out.nodes.push({
      name: this.builder.unique(`${base}/DequantizeLinear`),
      opType: "DequantizeLinear",
      domain: "",
      inputs,
      outputs: [out],
      attributes,
    });
    return out;
  }

  private gridFor(owner: string): GridRefs {
    const known = this.grids.get(owner);
    if (known) return known;
    const range = this.lookup(owner)!;
    const interval = this.intervals.get(owner);
    const grid = activationGrid(
      interval ? { low: Math.max(range.low, interval[0]), high: Math.min(range.high, interval[1]) } : range,
    );
    const refs = this.gridConstants(owner, grid);
    this.grids.set(owner, refs);
    return refs;
  }

  private gridConstants(base: string, grid: ActivationGrid): GridRefs {
    return {
      scale: this.builder.initializer(`${base}_scale`, scalar(grid.scale)),
      zeroPoint: this.builder.initializer(`${base}_zero_point`, {
        elemType: "uint8",
        dims: [],
        data: Uint8Array.of(grid.zeroPoint),
      }),
      grid,
    };
  }

  /** A constant that is added to or joined with activations is stored in the activations' type. */
  private constantActivation(value: string, t: Tensor): Ref {
    const numbers = toNumbers(t);
    const range = {
      low: numbers.reduce((a, b) => Math.min(a, b), 0),
      high: numbers.reduce((a, b) => Math.max(a, b), 0),
    };
    const refs = this.gridConstants(value, activationGrid(range));
    const data = Uint8Array.from(numbers, (v) =>
      Math.max(0, Math.min(255, Math.round(v / refs.grid.scale) + refs.grid.zeroPoint)),
    );
    const q = this.builder.initializer(`${value}_q`, { elemType: "uint8", dims: t.dims, data });
    const dq = this.dequantize(q, refs.scale, refs.zeroPoint, value);
    this.dequantized.set(value, dq);
    return dq;
  }

  private placeWeight(n: OpNode, rule: QuantizeRule, inputs: string[]): void {
    const { input, axis } = rule.weight!;
    const name = n.inputs[input];
    const weight = this.g.initializers.get(name)!;
    const along = axis(n);
    const inputScale = this.gridFor(gridOwner(this.plan, n.inputs[rule.activations[0]])).grid.scale;
    const bias = this.biasOf(n, rule);
    const q = quantizeWeight(weight, along, {
      reduceRange: this.o.reduceRange ?? false,
      ...(bias ? { bias, inputScale } : {}),
    });
    const values = this.builder.initializer(`${name}_q`, q.values);
    const scale = this.builder.initializer(`${name}_scale`, floats(q.scales));
    const zero = this.builder.initializer(`${name}_zero_point`, {
      elemType: "int8",
      dims: [q.scales.length],
      data: new Int8Array(q.scales.length),
    });
    // The axis is always written: its default is 1, which is wrong for most weights.
    inputs[input] = this.dequantize(values, scale, zero, name, undefined, along);
    if (!bias) return;
    const biasName = n.inputs[rule.bias!] || `${n.name}.bias`;
    const b = quantizeBias(bias, inputScale, q.scales);
    const biasValues = this.builder.initializer(`${biasName}_q`, b.values);
    const biasScale = this.builder.initializer(`${biasName}_scale`, b.scales);
    while (inputs.length <= rule.bias!) inputs.push("");
    inputs[rule.bias!] = this.dequantize(biasValues, biasScale, "", biasName, undefined, 0);
  }

  private biasOf(n: OpNode, rule: QuantizeRule): Float64Array | undefined {
    if (rule.bias === undefined) return undefined;
    const own = this.g.initializers.get(n.inputs[rule.bias] ?? "");
    const shift = this.o.biasShifts?.get(n.name);
    if (!own && !shift) return undefined;
    if (!own) return shift;
    const values = toNumbers(own);
    return shift ? values.map((v, c) => v + shift[c]) : values;
  }
}
