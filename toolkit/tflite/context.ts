/** What the converter of an operator works with: its inputs, its options, and a graph to write to. */
import type { GraphBuilder, Ref } from "../graph/builder.js";
import { ModelError } from "../graph/errors.js";
import type { Attribute } from "../graph/graph.js";
import { type ElemType, sizeOf, type Tensor, toNumberArray } from "../graph/tensor.js";
import type { Table } from "./flatBuffer.js";
import { asInFile, channelsFirst, type Layout, sameLayout } from "./layout.js";
import type { TfliteOperator, TfliteTensor } from "./model.js";
import { type Activation, activations, option } from "./schema.js";
import { type Facts, sameGrid, unsigned, type Value, type Values } from "./values.js";

/** Emits the ONNX nodes of one operator and sets its outputs. */
export type Converter = (op: Call) => void;

/** State of one import that all operators share. */
export interface Import {
  readonly values: Values;
  readonly tensors: readonly TfliteTensor[];
  /** What is known of each tensor so far, by index. */
  readonly known: Map<number, Value>;
  /** Called by operators whose result depends on the batch of the file. */
  fixBatch(op: Call, why: string): void;
}

/** Elements of the largest value that is computed. */
const MAX_ELEMENTS = 2 ** 31;

/** Numbers in every shape constant that is read or folded. */
const MAX_FOLDED = 4096;

/** One operator of the file, being converted. */
export class Call {
  readonly values: Values;
  readonly b: GraphBuilder;

  constructor(
    readonly op: TfliteOperator,
    private readonly shared: Import,
  ) {
    this.values = shared.values;
    this.b = shared.values.b;
  }

  /** How people find the operator in the file. */
  get where(): string {
    const name = this.shared.tensors[this.op.outputs[0]]?.name;
    return `operator ${this.op.index} (${this.op.type}${name ? ` "${name}"` : ""})`;
  }

  fail(code: string, message: string, hint?: string): ModelError {
    return new ModelError(code, message, { where: this.where, ...(hint ? { hint } : {}) });
  }

  unsupported(message: string): ModelError {
    return this.fail("tflite-feature", message);
  }

  get options(): Table | undefined {
    return this.op.options;
  }

  has(index: number): boolean {
    return (this.op.inputs[index] ?? -1) >= 0;
  }

  get inputCount(): number {
    return this.op.inputs.length;
  }

  get outputCount(): number {
    return this.op.outputs.length;
  }

  input(index: number): Value {
    if (!this.has(index)) throw this.fail("damaged", `input ${index} is missing`);
    const tensor = this.op.inputs[index];
    const v = this.shared.known.get(tensor);
    if (!v)
      throw this.fail("damaged", `it reads "${this.shared.tensors[tensor].name}", which nothing before it has made`);
    return v;
  }

  inputs(): Value[] {
    return this.op.inputs.map((_, i) => this.input(i));
  }

  /** The constant numbers of an input that says how, not what: shapes, axes, paddings. */
  numbers(index: number, what: string): number[] {
    const { constant } = this.input(index);
    if (!constant) throw this.unsupported(`its ${what} is computed at run time`);
    if (constant.data.length > MAX_FOLDED)
      throw this.fail("damaged", `its ${what} has ${constant.data.length} numbers`);
    const values = toNumberArray(constant);
    if (!values.every(Number.isSafeInteger)) throw this.fail("damaged", `its ${what} is not made of whole numbers`);
    return values;
  }

  /** An axis of `v` from a number that may count from the end. */
  axis(axis: number, rank: number): number {
    const out = axis < 0 ? axis + rank : axis;
    if (!Number.isInteger(out) || out < 0 || out >= rank)
      throw this.fail("damaged", `axis ${axis} does not exist in ${rank} dimensions`);
    return out;
  }

  rank(v: Value, rank: number): readonly number[] {
    if (v.dims.length !== rank)
      throw this.unsupported(`"${v.name}" has shape [${v.dims}], expected ${rank} dimensions`);
    return v.dims;
  }

  /** Declared facts of an output, as ONNX will have them. */
  declared(index: number): Facts & { name: string } {
    const t = this.tensor(index);
    const name = shortName(t.name);
    if (t.quantization && !this.values.integers) return { name, elemType: "float32" };
    const elemType = t.elemType === "float16" ? "float32" : t.elemType;
    return { name, ...unsigned({ elemType, ...(t.quantization ? { quantization: t.quantization } : {}) }) };
  }

  private tensor(index: number): TfliteTensor {
    const t = this.shared.tensors[this.op.outputs[index]];
    if (!t) throw this.fail("damaged", `output ${index} is missing`);
    return t;
  }

  /** Real numbers, which most arithmetic needs. Throws for values of whole numbers that stand for themselves. */
  real(v: Value, layout: Layout): Ref {
    const type = this.realType(v);
    if (type !== "float32") throw this.unsupported(`"${v.name}" is ${type}, expected float32 or a quantised type`);
    return this.values.real(v, layout);
  }

  /** Type of the numbers that `values.real` gives. */
  realType(v: Facts): ElemType {
    return v.quantization ? "float32" : v.elemType;
  }

  /** Sets an output that was computed in real numbers; quantised on its grid where it has one. */
  define(index: number, x: Ref, layout: Layout, dims: readonly number[], type: ElemType = "float32"): void {
    const declared = this.declared(index);
    if (this.realType(declared) !== type)
      throw this.unsupported(`it computes ${type} numbers, and "${declared.name}" is ${declared.elemType}`);
    this.store(index, this.toGrid(index, x), layout, dims);
  }

  /** Real numbers on the grid of an output. */
  toGrid(index: number, x: Ref): Ref {
    const declared = this.declared(index);
    return declared.quantization ? this.values.quantize(x, declared) : x;
  }

  /** Sets an output from stored elements. */
  store(index: number, x: Ref, layout: Layout, dims: readonly number[]): void {
    this.set(index, this.values.computed(this.declared(index).name, dims, this.declared(index), [{ layout, ref: x }]));
  }

  /** Sets an output to a constant. */
  storeConstant(index: number, constant: Tensor, facts: Partial<Value> = {}): void {
    const { name } = this.declared(index);
    this.set(index, {
      name,
      forms: [],
      reals: [],
      elemType: constant.elemType,
      dims: constant.dims,
      constant,
      ...facts,
    });
  }

  set(index: number, v: Value): void {
    if (v.dims.some((d) => d < 1 || !Number.isInteger(d)) || sizeOf(v.dims) > MAX_ELEMENTS)
      throw this.fail("damaged", `its output would have the shape [${v.dims}]`);
    const tensor = this.tensor(index).index;
    if (this.shared.known.has(tensor)) throw this.fail("damaged", `"${v.name}" is made twice`);
    this.shared.known.set(tensor, v);
  }

  /** Whether an output has the grid of `v`, so that moving stored elements is enough. */
  keepsGrid(index: number, ...inputs: readonly Value[]): boolean {
    return inputs.every((v) => sameGrid(this.facts(v), this.declared(index)));
  }

  /** Type and grid of a value as ONNX has it. */
  facts(v: Value): Facts {
    return v.quantization && !this.values.integers ? { elemType: "float32" } : v;
  }

  /** Sets an output to a value that was only moved: as it is where the output has its grid, else by way of real numbers. */
  pass(index: number, v: Value): void {
    if (this.keepsGrid(index, v)) {
      this.set(index, { ...v, name: this.declared(index).name });
      return;
    }
    const layout = this.ownLayout(v);
    this.define(index, this.values.real(v, layout), layout, v.dims, this.realType(v));
  }

  /**
   * Emits the node that an output is named after. `more` says that others follow before the output is there, such as its
   * activation.
   */
  emit(
    index: number,
    opType: string,
    inputs: readonly Ref[],
    attributes: Record<string, Attribute> = {},
    more = false,
  ): Ref {
    const { name, quantization } = this.declared(index);
    const node = `${name}/${opType}`;
    return this.b.emit(opType, inputs, attributes, { name: node, out: more || quantization ? node : name });
  }

  /** A fused activation, by its number in the schema. */
  activation(fieldNumber: number): Activation {
    const code = this.options?.i8(fieldNumber) ?? 0;
    const name = activations[code];
    if (!name) throw this.fail("damaged", `it has activation ${code}, which does not exist`);
    return name;
  }

  activate(index: number, x: Ref, activation: Activation): Ref {
    switch (activation) {
      case "NONE":
        return x;
      case "RELU":
        return this.emit(index, "Relu", [x]);
      case "RELU6":
        return this.emit(index, "Clip", [x, this.b.const(0), this.b.const(6)]);
      case "RELU_N1_TO_1":
        return this.emit(index, "Clip", [x, this.b.const(-1), this.b.const(1)]);
      case "TANH":
        return this.emit(index, "Tanh", [x]);
      case "SIGN_BIT":
        throw this.unsupported("its fused activation SIGN_BIT is not supported");
    }
  }

  /** The fused activation of ADD and its like. */
  get arithmeticActivation(): Activation {
    return this.activation(option.arithmetic.activation);
  }

  /** Shape of an element-wise result. */
  broadcast(a: readonly number[], b: readonly number[]): number[] {
    const rank = Math.max(a.length, b.length);
    const at = (dims: readonly number[], axis: number): number => dims[axis - rank + dims.length] ?? 1;
    return Array.from({ length: rank }, (_, axis) => {
      const [x, y] = [at(a, axis), at(b, axis)];
      if (x !== y && x !== 1 && y !== 1) throw this.fail("shape-mismatch", `shapes [${a}] and [${b}] do not fit`);
      if (axis === 0 && x !== y) this.fixBatch("it repeats the first axis");
      return Math.max(x, y);
    });
  }

  /** The layout in which most of the given values lie already. */
  layoutOf(values: readonly Value[], rank: number): Layout {
    const computed = values.filter((v) => !v.constant && v.dims.length === rank && v.forms.length > 0);
    if (computed.length === 0) return asInFile(rank);
    const largest = computed.reduce((a, b) => (sizeOf(b.dims) > sizeOf(a.dims) ? b : a));
    const has = (v: Value, layout: Layout) => v.forms.some((f) => sameLayout(f.layout, layout));
    const common = largest.forms.find((f) => computed.every((v) => has(v, f.layout)));
    if (common) return common.layout;
    const usual = channelsFirst(rank);
    return computed.some((v) => has(v, usual)) ? usual : largest.forms[0].layout;
  }

  /** The layout of one value that an operator leaves as it is. */
  ownLayout(v: Value): Layout {
    return this.layoutOf([v], v.dims.length);
  }

  fixBatch(why: string): void {
    this.shared.fixBatch(this, why);
  }
}

/** TFLite joins the names of everything that was fused into an operator; the first is enough. */
export const shortName = (name: string): string => name.split(";")[0] || name;
