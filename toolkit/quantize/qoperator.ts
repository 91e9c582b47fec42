/**
 * Rewrites a float graph in ONNX Runtime's QOperator format: QLinearConv, QLinearMatMul and the com.microsoft operators
 * QGemm, QLinearAdd, QLinearConcat and so on, between one Quantize per float value that enters and one Dequantize per
 * integer value that leaves. Which call belongs to an operator is in its rule.
 */
import { GraphBuilder, type Ref } from "../graph/builder.js";
import { removeDead } from "../graph/edit.js";
import { ModelError } from "../graph/errors.js";
import { cloneGraph, type Graph, type OpNode, typeOf } from "../graph/graph.js";
import { floats, scalar, type Tensor, toNumbers } from "../graph/tensor.js";
import type { IntegerValue } from "../ops/integerKernel.js";
import type { QuantizeRule } from "../ops/rule.js";
import { type ActivationGrid, activationGrid, encode, quantizeBias } from "./affine.js";
import { isWide } from "./integers.js";
import { activationInputs, type QdqPlan, resultsOf } from "./plan.js";
import type { Ranges } from "./ranges.js";
import { activationGrids, biasOf, type PlaceOptions, weightGrids } from "./scheme.js";
import { shieldFloat } from "./shield.js";
import { roundToGrid, type WeightGrid } from "./weights.js";

/** Throws ModelError `qoperator-wide` for 16-bit activations, which the format has no operators for. */
export function placeQOperator(g: Graph, ranges: Ranges, plan: QdqPlan, o: PlaceOptions): Graph {
  if (isWide(o.activations ?? "uint8")) {
    throw new ModelError("qoperator-wide", "the QOperator format has no operators on 16-bit activations", {
      hint: "use the QDQ format, or 8-bit activations",
    });
  }
  return removeDead(new Writer(g, ranges, plan, o).write());
}

class Writer {
  private readonly out: Graph;
  private readonly builder: GraphBuilder;
  private readonly gridOf: (value: string) => ActivationGrid;
  private readonly weightGrids: Map<string, WeightGrid>;
  /** Value of the float graph -> its integers. */
  private readonly integers = new Map<string, IntegerValue>();
  /** Values that exist as floats in what was written so far. */
  private readonly asFloat: Set<string>;
  private readonly constants = new Map<string, { scale: Ref; zeroPoint: Ref }>();
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
    this.out.opsets.set("com.microsoft", this.out.opsets.get("com.microsoft") ?? 1);
    this.gridOf = activationGrids(g, ranges, plan, o);
    this.weightGrids = weightGrids(g, ranges, o);
    this.gone = new Set([...plan.clampOf.values()].map((c) => c.node.name));
    this.asFloat = new Set([...g.inputs.map((v) => v.name), ...g.initializers.keys()]);
  }

  write(): Graph {
    for (const n of this.g.nodes) {
      if (this.gone.has(n.name)) continue;
      const rule = this.plan.quantized.get(n.name);
      if (rule) this.integer(n, rule);
      else this.float(n);
    }
    for (const v of this.g.outputs) this.floatOf(v.name);
    return this.out;
  }

  private float(n: OpNode): void {
    this.out.nodes.push({ ...n, inputs: n.inputs.map((v) => (v ? this.floatOf(v) : v)) });
    for (const v of n.outputs) this.asFloat.add(v);
  }

  /** The value as floats, under its own name. */
  private floatOf(value: string): Ref {
    const q = this.integers.get(value);
    if (this.asFloat.has(value) || !q) return value;
    this.out.nodes.push({
      name: this.builder.unique(`${value}/DequantizeLinear`),
      opType: "DequantizeLinear",
      domain: "",
      inputs: [q.values, q.scale, q.zeroPoint],
      outputs: [value],
      attributes: {},
    });
    this.asFloat.add(value);
    return value;
  }

  private integer(n: OpNode, rule: QuantizeRule): void {
    if (rule.passThrough) {
      this.moved(n, rule);
      return;
    }
    const floatResult = this.plan.floatOutput.has(n.name);
    const [result] = resultsOf(this.plan, n);
    const y = floatResult ? undefined : this.gridConstants(result);
    const { weight, bias } = this.parameters(n, rule);
    const x = activationInputs(n, rule).map((i) => this.integersOf(n.inputs[i]));
    const call = rule.kernel?.(n, { x, bias, ...(weight ? { weight } : {}), ...(y ? { y } : {}) });
    if (!call) {
      // No call of this form: between a Dequantize and a Quantize, as in the QDQ format.
      this.float(n);
      return;
    }
    const { attributes } = call;
    if (!y) {
      this.out.nodes.push({ name: n.name, ...call, outputs: [result], attributes });
      this.asFloat.add(result);
      return;
    }
    const q = this.integerValue(result);
    const clamp = this.plan.clampOf.get(n.name);
    const raw = clamp?.kept ? this.builder.unique(`${result}_unclamped`) : q;
    this.out.nodes.push({ name: n.name, ...call, outputs: [raw], attributes });
    if (clamp?.kept) {
      const [low, high] = clamp.interval.map((end) =>
        this.builder.initializer(`${result}_limit`, this.code(result, end)),
      );
      this.out.nodes.push({
        name: clamp.node.name,
        opType: "Clip",
        domain: "",
        inputs: [raw, low, high],
        outputs: [q],
        attributes: {},
      });
    }
    this.integers.set(result, { values: q, ...y });
  }

  /** Elements are moved or selected: the operator itself does that with integers. */
  private moved(n: OpNode, rule: QuantizeRule): void {
    const [x] = rule.activations;
    const source = this.integersOf(n.inputs[x]);
    const inputs = [...n.inputs];
    inputs[x] = source.values;
    if (rule.onIntegers) {
      const { fill } = rule.onIntegers;
      const value = toNumbers(this.g.initializers.get(n.inputs[fill] ?? "") ?? scalar(0))[0];
      while (inputs.length <= fill) inputs.push("");
      inputs[fill] =
        value === 0
          ? source.zeroPoint
          : this.builder.initializer(`${n.outputs[0]}_fill`, this.code(n.inputs[x], value));
    }
    const outputs = n.outputs.map((v) => v && this.integerValue(v));
    this.out.nodes.push({ ...n, inputs, outputs });
    n.outputs.forEach((v, i) => {
      if (v) this.integers.set(v, { ...source, values: outputs[i] });
    });
  }

  private code = (value: string, v: number): Tensor => encode([v], [], this.gridOf(value));

  /** A name for the integers of a value, with its type. */
  private integerValue(value: string): Ref {
    const q = this.builder.unique(`${value}_q`);
    const dims = typeOf(this.g, value)?.dims;
    this.out.valueTypes.set(q, { elemType: this.o.activations ?? "uint8", ...(dims ? { dims } : {}) });
    return q;
  }

  /** The value as integers: known, encoded now where it is constant, or behind a Quantize. */
  private integersOf(value: string): IntegerValue {
    const known = this.integers.get(value);
    if (known) return known;
    const constant = this.g.initializers.get(value);
    let made: IntegerValue;
    if (constant) {
      const numbers = toNumbers(constant);
      const range = {
        low: numbers.reduce((a, b) => Math.min(a, b), 0),
        high: numbers.reduce((a, b) => Math.max(a, b), 0),
      };
      const grid = activationGrid(range, {
        type: this.o.activations ?? "uint8",
        symmetric: this.o.symmetric ?? false,
      });
      const values = this.builder.initializer(`${value}_q`, encode(numbers, constant.dims, grid));
      made = { values, ...this.gridRefs(value, grid) };
    } else {
      const grid = this.gridConstants(value);
      const source = shieldFloat(this.g, this.out, this.builder, value, (v) => this.integers.has(v));
      const values = this.integerValue(value);
      this.out.nodes.push({
        name: this.builder.unique(`${value}/QuantizeLinear`),
        opType: "QuantizeLinear",
        domain: "",
        inputs: [source, grid.scale, grid.zeroPoint],
        outputs: [values],
        attributes: {},
      });
      made = { values, ...grid };
    }
    this.integers.set(value, made);
    return made;
  }

  private gridConstants(value: string): { scale: Ref; zeroPoint: Ref } {
    const known = this.constants.get(value);
    if (known) return known;
    const refs = this.gridRefs(value, this.gridOf(value));
    this.constants.set(value, refs);
    return refs;
  }

  private gridRefs(base: string, grid: ActivationGrid): { scale: Ref; zeroPoint: Ref } {
    return {
      scale: this.builder.initializer(`${base}_scale`, scalar(grid.scale)),
      zeroPoint: this.builder.initializer(`${base}_zero_point`, encode([0], [], grid)),
    };
  }

  private parameters(n: OpNode, rule: QuantizeRule): { weight?: IntegerValue; bias: Ref } {
    if (!rule.weight) return { bias: "" };
    const name = n.inputs[rule.weight.input];
    const grid = this.weightGrids.get(name)!;
    const integers = roundToGrid(this.g.initializers.get(name)!, grid, this.o.rounded?.get(name));
    const dims = grid.axis === null ? [] : [grid.scale.length];
    const weight = {
      values: this.builder.initializer(`${name}_q`, integers),
      scale: this.builder.initializer(`${name}_scale`, floats(grid.scale, dims)),
      zeroPoint: this.builder.initializer(`${name}_zero_point`, {
        elemType: "int8",
        dims,
        data: new Int8Array(grid.scale.length),
      }),
    };
    const values = biasOf(this.g, n, rule, this.o);
    if (!values) return { weight, bias: "" };
    const b = quantizeBias(values, this.gridOf(n.inputs[rule.activations[0]]).scale, grid.scale);
    return { weight, bias: this.builder.initializer(`${n.inputs[rule.bias!] || `${n.name}.bias`}_q`, b.values) };
  }
}
