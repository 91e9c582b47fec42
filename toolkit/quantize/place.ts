/**
 * Rewrites a float graph as ONNX QDQ: Quantize/Dequantize pairs so placed that ONNX Runtime fuses each integer node with
 * the pairs around it (QLinearConv, QLinearAdd, QGemm, QLinearGlobalAveragePool, ...). Activations have one scale per
 * tensor (unsigned 8 bits by default), weights are signed 8 bits, one scale per output channel by default, biases int32 at
 * the product of both scales.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { removeDead } from "../graph/edit.js";
import { type Attribute, attr, cloneGraph, type Graph, type OpNode, opsetOf, typeOf } from "../graph/graph.js";
import { floats, scalar, type Tensor, toNumbers } from "../graph/tensor.js";
import type { QuantizeRule } from "../ops/rule.js";
import { type ActivationGrid, activationGrid, encode, quantizeBias } from "./affine.js";
import { type IntegerType, isWide } from "./integers.js";
import { activationInputs, gridOwner, type QdqPlan, resultsOf } from "./plan.js";
import { prepareForQuantization } from "./prepare.js";
import { placeQOperator } from "./qoperator.js";
import type { Ranges } from "./ranges.js";
import { activationGrids, biasOf, type PlaceOptions, planWith, weightGrids } from "./scheme.js";
import { shieldFloat } from "./shield.js";
import { roundToGrid, type WeightGrid } from "./weights.js";

/** The QDQ form of `g`. Nodes without a quantisation rule, without a range, or named in `keepFloat` stay float. */
export const placeQdq = (g: Graph, ranges: Ranges, o: PlaceOptions = {}): Graph =>
  placePrepared(prepareForQuantization(g), ranges, o);

/** `placeQdq` for a graph that went through `prepareForQuantization` already, in the format that `o` names. */
export function placePrepared(prepared: Graph, ranges: Ranges, o: PlaceOptions = {}): Graph {
  if (o.format === "qoperator") return placeQOperator(prepared, ranges, planWith(prepared, ranges, o), o);
  return removeDead(new Placer(prepared, ranges, planWith(prepared, ranges, o), o).place());
}

interface GridRefs {
  scale: Ref;
  zeroPoint: Ref;
  grid: ActivationGrid;
}

/** First operator set whose Quantize takes 16 bits; before it ONNX Runtime's own operator of the same name does. */
const WIDE_OPSET = 21;
const CONTRIB = "com.microsoft";

class Placer {
  private readonly out: Graph;
  private readonly builder: GraphBuilder;
  private readonly grids = new Map<string, GridRefs>();
  /** Value of the float graph -> its dequantised twin. */
  private readonly dequantized = new Map<string, Ref>();
  private readonly gridOf: (value: string) => ActivationGrid;
  private readonly weightGrids: Map<string, WeightGrid>;
  private readonly graphOutputs: Set<string>;
  private readonly gone: Set<string>;
  private readonly type: IntegerType;
  /** Domain of the operators that quantise activations. */
  private readonly domain: string;

  constructor(
    private readonly g: Graph,
    ranges: Ranges,
    private readonly plan: QdqPlan,
    private readonly o: PlaceOptions,
  ) {
    this.out = cloneGraph(g);
    this.builder = new GraphBuilder(this.out);
    this.out.nodes = [];
    this.type = o.activations ?? "uint8";
    this.domain = isWide(this.type) && opsetOf(g) < WIDE_OPSET ? CONTRIB : "";
    if (this.domain) this.out.opsets.set(CONTRIB, this.out.opsets.get(CONTRIB) ?? 1);
    this.gridOf = activationGrids(g, ranges, plan, o);
    this.weightGrids = weightGrids(g, ranges, o);
    this.graphOutputs = new Set(g.outputs.map((v) => v.name));
    this.gone = new Set([...plan.clampOf.values()].map((c) => c.node.name));
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
    if (rule.onIntegers && !isWide(this.type) && !this.graphOutputs.has(n.outputs[0])) {
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
    const clamp = this.plan.clampOf.get(n.name);
    if (clamp?.kept) {
      this.out.nodes.push({ ...n, inputs }, { ...clamp.node, outputs: raw });
    } else this.out.nodes.push({ ...n, inputs, outputs: raw });
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
    inputs[fill] = value === 0 ? zeroPoint : this.builder.initializer(`${y}_fill`, encode([value], [], grid));
    const q = this.builder.unique(`${y}_q`);
    this.out.nodes.push({ ...n, inputs, outputs: [q] });
    const dims = typeOf(this.g, y)?.dims;
    this.out.valueTypes.set(q, { elemType: this.type, ...(dims ? { dims } : {}) });
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
      { out: `${value}_q`, name: `${value}/QuantizeLinear`, domain: this.domain },
    );
    const dq = this.dequantize(q, scale, zeroPoint, value, output);
    this.out.valueTypes.set(q, { elemType: this.type, ...(dims ? { dims } : {}) });
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
      // Weights and biases come without a type of their own for activations.
      domain: axis === undefined && zeroPoint ? this.domain : "",
      inputs,
      outputs: [out],
      attributes,
    });
    return out;
  }

  private gridFor(owner: string): GridRefs {
    const known = this.grids.get(owner);
    if (known) return known;
    const refs = this.gridConstants(owner, this.gridOf(owner));
    this.grids.set(owner, refs);
    return refs;
  }

  private gridConstants(base: string, grid: ActivationGrid): GridRefs {
    return {
      scale: this.builder.initializer(`${base}_scale`, scalar(grid.scale)),
      zeroPoint: this.builder.initializer(`${base}_zero_point`, encode([0], [], grid)),
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
    const refs = this.gridConstants(
      value,
      activationGrid(range, { type: this.type, symmetric: this.o.symmetric ?? false }),
    );
    const q = this.builder.initializer(`${value}_q`, encode(numbers, t.dims, refs.grid));
    const dq = this.dequantize(q, refs.scale, refs.zeroPoint, value);
    this.dequantized.set(value, dq);
    return dq;
  }

  private placeWeight(n: OpNode, rule: QuantizeRule, inputs: string[]): void {
    const { input } = rule.weight!;
    const name = n.inputs[input];
    const weight = this.g.initializers.get(name)!;
    const inputScale = this.gridFor(gridOwner(this.plan, n.inputs[rule.activations[0]])).grid.scale;
    const bias = biasOf(this.g, n, rule, this.o);
    const grid = this.weightGrids.get(name)!;
    const values = this.builder.initializer(`${name}_q`, roundToGrid(weight, grid, this.o.rounded?.get(name)));
    const dims = grid.axis === null ? [] : [grid.scale.length];
    const scale = this.builder.initializer(`${name}_scale`, floats(grid.scale, dims));
    const zero = this.builder.initializer(`${name}_zero_point`, {
      elemType: "int8",
      dims,
      data: new Int8Array(grid.scale.length),
    });
    // The axis is always written: its default is 1, which is wrong for most weights.
    inputs[input] = this.dequantize(values, scale, zero, name, undefined, rule.weight!.axis(n));
    if (!bias) return;
    const biasName = n.inputs[rule.bias!] || `${n.name}.bias`;
    const b = quantizeBias(bias, inputScale, grid.scale);
    const biasValues = this.builder.initializer(`${biasName}_q`, b.values);
    const biasScale = this.builder.initializer(
      `${biasName}_scale`,
      grid.axis === null ? scalar((b.scales.data as Float32Array)[0]) : b.scales,
    );
    while (inputs.length <= rule.bias!) inputs.push("");
    inputs[rule.bias!] = this.dequantize(biasValues, biasScale, "", biasName, undefined, 0);
  }
}
